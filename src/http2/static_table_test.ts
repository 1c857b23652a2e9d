/** The table of RFC 7541 appendix A. */
import { assertEquals } from "@std/assert";
import { STATIC_COUNT, STATIC_TABLE, staticNameIndex } from "./static_table.ts";

const text = new TextDecoder();

function line(index: number): string {
  const { name, value } = STATIC_TABLE[index]!;
  return `${text.decode(name)}=${text.decode(value)}`;
}

Deno.test("it has 61 entries at their places", () => {
  assertEquals(STATIC_COUNT, 61);
  assertEquals([1, 2, 5, 8, 14, 16, 31, 38, 55, 61].map(line), [
    ":authority=",
    ":method=GET",
    ":path=/index.html",
    ":status=200",
    ":status=500",
    "accept-encoding=gzip, deflate",
    "content-type=",
    "host=",
    "set-cookie=",
    "www-authenticate=",
  ]);
});

Deno.test("a name is found at its first entry", () => {
  const find = (name: string) => {
    const bytes = new TextEncoder().encode(`x${name}y`);
    return staticNameIndex(bytes, 1, 1 + name.length);
  };
  for (let index = 1; index <= STATIC_COUNT; index++) {
    const found = find(text.decode(STATIC_TABLE[index]!.name));
    assertEquals(text.decode(STATIC_TABLE[found]!.name), text.decode(STATIC_TABLE[index]!.name));
    assertEquals(found <= index, true);
  }
  assertEquals([find(":status"), find("x-own"), find("datf"), find("")], [8, 0, 0, 0]);
});
