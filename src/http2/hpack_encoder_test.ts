/** Encoding: what a decoder makes of it is what went in. */
import { assertEquals } from "@std/assert";
import { FRAME } from "./frames.ts";
import { endBlock, putField, putInteger, putStatus } from "./hpack_encoder.ts";
import { block, BlockReader, framesOf, joined, printed } from "./testing/frames.ts";

Deno.test("integers, RFC 7541 C.1", () => {
  assertEquals([...printed((out) => putInteger(out, 0, 5, 10))], [0b01010]);
  assertEquals([...printed((out) => putInteger(out, 0, 5, 1337))], [31, 154, 10]);
  assertEquals([...printed((out) => putInteger(out, 0x80, 7, 127))], [0xff, 0]);
});

Deno.test("a status of the static table takes one byte, each other one five", () => {
  const reader = new BlockReader();
  for (const [status, size] of [[200, 1], [404, 1], [100, 5], [302, 5], [599, 5]] as const) {
    const bytes = printed((out) => putStatus(out, status));
    assertEquals([bytes.length, reader.lines(bytes)], [size, [`:status: ${status}`]]);
  }
});

Deno.test("names are put into lower case, and known ones are sent as an index", () => {
  const bytes = block([["Content-Type", "text/plain"], ["X-Own", ""], ["Set-Cookie", "a=b"]]);
  assertEquals(new BlockReader().lines(bytes), [
    "content-type: text/plain",
    "x-own: ",
    "set-cookie: a=b",
  ]);
  // content-type is 31: 0x0f 0x10; set-cookie is 55 and must never be kept: 0x1f 0x28.
  assertEquals([bytes[0], bytes[1]], [0x0f, 0x10]);
  assertEquals([bytes.at(-6), bytes.at(-5)], [0x1f, 0x28]);
});

Deno.test("a long block goes on in CONTINUATION frames", () => {
  const value = "v".repeat(40_000);
  const bytes = printed((out) => {
    const at = out.begin(FRAME.headers, 0, 1);
    const text = new TextEncoder().encode(`x${value}`);
    putField(out, text, 0, 1, 1, text.length);
    endBlock(out, at, 1);
  });
  const [frames, taken] = framesOf(bytes);
  assertEquals(taken, bytes.length);
  assertEquals(frames.map(({ type, flags }) => [type, flags]), [
    ["headers", 0],
    ["continuation", 0],
    ["continuation", 4],
  ]);
  const whole = joined(frames.map(({ payload }) => payload));
  assertEquals(new BlockReader().lines(whole), [`x: ${value}`]);
});
