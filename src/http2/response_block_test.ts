/** Heads of responses as frames. */
import { assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { HeadWriter } from "../http1/head_writer.ts";
import { putHead } from "./response_block.ts";
import { BlockReader, framesOf, printed } from "./testing/frames.ts";

function head(status: number, lines: readonly (readonly [string, string])[]): HeadWriter {
  const out = new HeadWriter();
  out.statusLine(status, "Reason");
  for (const [name, value] of lines) out.line(name, value);
  out.endHead();
  return out;
}

Deno.test("the fields of a connection are left out, and a length is added", () => {
  const out = head(200, [
    ["Connection", "close"],
    ["Keep-Alive", "5"],
    ["Transfer-Encoding", "chunked"],
    ["Upgrade", "x"],
    ["Proxy-Connection", "x"],
    ["X-Own", "1"],
    ["X-Left-Out", "2"],
  ]);
  const options = { isLast: true, length: 12, without: "x-left-out" };
  const [[frame]] = framesOf(printed((to) => putHead(to, 7, out, options)));
  assertEquals([frame!.type, frame!.flags, frame!.stream], ["headers", 5, 7]);
  const lines = new BlockReader().lines(frame!.payload);
  assertEquals(lines, [":status: 200", "x-own: 1", "content-length: 12"]);
});

Deno.test("another status, and bytes before the block", () => {
  const options = { isLast: false, status: 200, first: 0x20 };
  const [[frame]] = framesOf(printed((to) => putHead(to, 1, head(101, []), options)));
  assertEquals([frame!.flags, [...frame!.payload]], [4, [0x20, 0x88]]);
});

Deno.test("what is no head is refused", () => {
  const out = new HeadWriter();
  out.raw(new TextEncoder().encode("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"));
  assertThrows(() => printed((to) => putHead(to, 1, out, { isLast: true })), Fault);
});
