/** The code of RFC 7541: its examples, and texts that are not in it. */
import { assertEquals } from "@std/assert";
import { decodeHuffman } from "./huffman.ts";
import { fromHex } from "./testing/hex.ts";

function decoded(hex: string): string | undefined {
  const bytes = fromHex(hex);
  const to = new Uint8Array(bytes.length * 2 + 3);
  const end = decodeHuffman(bytes, 0, bytes.length, to, 3);
  return end < 0 ? undefined : new TextDecoder().decode(to.subarray(3, end));
}

Deno.test("the texts of RFC 7541 appendix C", () => {
  assertEquals(decoded("f1e3 c2e5 f23a 6ba0 ab90 f4ff"), "www.example.com");
  assertEquals(decoded("a8eb 1064 9cbf"), "no-cache");
  assertEquals(decoded("25a8 49e9 5bb8 e8b4 bf"), "custom-value");
  assertEquals(
    decoded("d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff"),
    "Mon, 21 Oct 2013 20:13:21 GMT",
  );
  assertEquals(decoded("9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3"), "https://www.example.com");
  assertEquals(
    decoded(
      "94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ),
    "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
  );
});

Deno.test("an empty text is one", () => assertEquals(decoded(""), ""));

Deno.test("padding is ones, and less than a byte", () => {
  // "a" is 00011, so 00011111 is "a"; 00011000 has zeros behind it, and 00011111 11111111 a whole byte of ones.
  assertEquals(decoded("1f"), "a");
  assertEquals(decoded("18"), undefined);
  assertEquals(decoded("1fff"), undefined);
});

Deno.test("the end-of-string symbol must not occur", () => {
  assertEquals(decoded("ffff ffff"), undefined);
  assertEquals(decoded("1fff ffff fc"), undefined);
});
