/** Heads as they are serialized, and names and values that are refused. */
import { assertEquals, assertThrows } from "@std/assert";
import { HeadWriter } from "./head_writer.ts";
import { fieldsOf } from "./testing/fields.ts";

function textOf(out: HeadWriter): string {
  return new TextDecoder("latin1").decode(out.view());
}

Deno.test("a head and its payload are serialized in order", () => {
  const out = new HeadWriter();
  out.statusLine(200, "OK");
  out.line("X-Own", "a\u00e9");
  out.contentLength(1_234_567);
  out.endHead();
  out.raw(new TextEncoder().encode("body"));
  assertEquals(
    textOf(out),
    "HTTP/1.1 200 OK\r\nX-Own: a\u00e9\r\nContent-Length: 1234567\r\n\r\nbody",
  );
  out.clear();
  out.requestLine("GET", "/a?b");
  assertEquals(textOf(out), "GET /a?b HTTP/1.1\r\n");
  out.release();
});

Deno.test("no name, value or target can inject a line break into a head", () => {
  const out = new HeadWriter();
  for (const [name, value] of [["", "a"], ["a b", "c"], ["a:", "c"], ["a", "b\r\nc: d"]] as const) {
    assertThrows(() => out.line(name, value), TypeError);
  }
  for (const value of ["\n", "\0", "\u007f", "\u0100"]) {
    assertThrows(() => out.line("a", value), TypeError);
  }
  for (const target of ["/a b", "/a\r\n", "/\u00e9"]) {
    assertThrows(() => out.requestLine("GET", target), TypeError);
  }
  assertThrows(() => out.requestLine("GET /", "/"), TypeError);
  out.release();
});

Deno.test("received lines are copied unchanged, except that a bare LF becomes CRLF", () => {
  const out = new HeadWriter();
  const exact = fieldsOf("A:  1 \r\nb: 2\r\nC: 3\r\n\r\n");
  for (const index of [0, 1]) out.copy(exact, index);
  out.line("Own", "x");
  out.copy(exact, 2);
  assertEquals(textOf(out), "A:  1 \r\nb: 2\r\nOwn: x\r\nC: 3\r\n");
  out.clear();
  const loose = fieldsOf("a: 1\nb: 2\r\n\n", "response");
  for (const index of [0, 1]) out.copy(loose, index);
  assertEquals(textOf(out), "a: 1\r\nb: 2\r\n");
  out.release();
});

Deno.test("chunks have their size in hexadecimal, an empty chunk is omitted, and the last chunk ends the body", () => {
  const out = new HeadWriter();
  out.chunk(new Uint8Array(26).fill(97));
  out.chunk(new Uint8Array(0));
  out.lastChunk(fieldsOf("T: 1\r\n\r\n"));
  assertEquals(textOf(out), `1a\r\n${"a".repeat(26)}\r\n0\r\nT: 1\r\n\r\n`);
  out.release();
});

Deno.test("a buffer grows with what is written, and clearing drops a large one", () => {
  const out = new HeadWriter();
  const value = "v".repeat(5_000);
  out.line("a", value);
  assertEquals([out.length, textOf(out)], [5_005, `a: ${value}\r\n`]);
  out.clear(1_024);
  assertEquals([out.length, out.bytes.length], [0, 1_024]);
  out.release();
});
