/** Decoding, by the examples of RFC 7541 appendix C, and blocks that are none. */
import { assertEquals } from "@std/assert";
import { BlockReader } from "./testing/frames.ts";
import { fromHex } from "./testing/hex.ts";

/** Decodes blocks one after another with one table. */
function decodeAll(...blocks: string[]): (string[] | undefined)[] {
  const reader = new BlockReader();
  return blocks.map((hex) => reader.lines(fromHex(hex)));
}

const FIRST = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
const SECOND = [...FIRST, "cache-control: no-cache"];
const THIRD = [
  ":method: GET",
  ":scheme: https",
  ":path: /index.html",
  ":authority: www.example.com",
  "custom-key: custom-value",
];

Deno.test("single fields, C.2", () => {
  assertEquals(
    decodeAll(
      "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
      "040c 2f73 616d 706c 652f 7061 7468",
      "1008 7061 7373 776f 7264 0673 6563 7265 74",
      "82",
      "be",
    ),
    [
      ["custom-key: custom-header"],
      [":path: /sample/path"],
      ["password: secret"],
      [":method: GET"],
      ["custom-key: custom-header"],
    ],
  );
});

Deno.test("requests without and with the Huffman code, C.3 and C.4", () => {
  assertEquals(
    decodeAll(
      "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
      "8286 84be 5808 6e6f 2d63 6163 6865",
      "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ),
    [FIRST, SECOND, THIRD],
  );
  assertEquals(
    decodeAll(
      "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
      "8286 84be 5886 a8eb 1064 9cbf",
      "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ),
    [FIRST, SECOND, THIRD],
  );
});

Deno.test("a smaller table forgets, and a later block cannot refer to what is gone", () => {
  const [, second, third] = decodeAll("4001 6101 31", "20 be", "3f e1 1f 4001 6201 32 be");
  // 20 sets the size to 0; 3f e1 1f sets it back to 4096.
  assertEquals([second, third], [undefined, ["b: 2", "b: 2"]]);
});

Deno.test("what is no block", () => {
  const bad = [
    "80", // index 0
    "be", // an entry that is not there
    "ff 80 80 80 80 80 01", // an integer that is far too large
    "41", // no value
    "41 0f 77", // a value that is cut
    "82 3f e1 1f", // a size behind a field
    "3f e2 1f", // a size of 4097
    "40 82 1f ff 00", // a name whose padding is a whole byte
    "7f", // an index that is cut
  ];
  assertEquals(decodeAll(...bad), bad.map(() => undefined));
});

Deno.test("long texts in the Huffman code: the name stays when the buffer grows for the value", () => {
  // 3000 times "0", which is 00000, five bits each: 1875 bytes of zeros.
  const length = "7f d4 0d"; // 127 + 0x54 + 0x0d * 128 = 1875
  const zeros = "00".repeat(1875);
  const coded = length.replace("7f", "ff");
  const [lines] = decodeAll(`40 ${coded} ${zeros} ${coded} ${zeros}`);
  const text = "0".repeat(3000);
  assertEquals(lines, [`${text}: ${text}`]);
});
