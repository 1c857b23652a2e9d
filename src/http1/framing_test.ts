/** Message body length (RFC 9112 section 6.3) and the chunked coding (section 7.1). */
import { assertEquals, assertInstanceOf, assertMatch } from "@std/assert";
import { Fault } from "../base/fault.ts";
import type { MessageSide } from "./fields.ts";
import {
  CHUNKED,
  ChunkedDecoder,
  type FramingFields,
  parseLength,
  readCoding,
  readLength,
  responseFraming,
  UNTIL_CLOSE,
} from "./framing.ts";
import { fieldsOf } from "./testing/fields.ts";

/** Decodes `text` in pieces of `size`; returns the payload, and how it ended. */
function decode(text: string, size = text.length): { body: string; end: string; rest: string } {
  const decoder = new ChunkedDecoder("request");
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  let body = "";
  let at = 0;
  for (let end = 0; end < bytes.length;) {
    end = Math.min(bytes.length, end + size);
    for (;;) {
      const step = decoder.step(bytes, at, end);
      at = decoder.at;
      if (step === "data") body += text.slice(decoder.dataStart, decoder.dataEnd);
      else if (step === "more") break;
      else if (step === "end") return { body, end: trailersOf(decoder), rest: text.slice(at) };
      else return { body, end: step.fault, rest: "" };
    }
  }
  return { body, end: "more", rest: "" };
}

function trailersOf(decoder: ChunkedDecoder): string {
  const { trailers } = decoder;
  return trailers === undefined ? "end" : `${trailers.name(0)}=${trailers.value(0)}`;
}

Deno.test("section 6.3: which responses have a body, and how long it is", () => {
  const none = { length: -1, chunked: false };
  const ten = { length: 10, chunked: false };
  const chunked = { length: -1, chunked: true };
  assertEquals(responseFraming("HEAD", 200, ten), 0);
  assertEquals(responseFraming("GET", 204, ten), 0);
  assertEquals(responseFraming("GET", 304, chunked), 0);
  assertEquals(responseFraming("GET", 101, ten), 0);
  assertEquals(responseFraming("CONNECT", 200, ten), 0);
  assertEquals(responseFraming("CONNECT", 403, ten), 10);
  assertEquals(responseFraming("GET", 200, chunked), CHUNKED);
  assertEquals(responseFraming("GET", 200, ten), 10);
  assertEquals(responseFraming("GET", 200, none), UNTIL_CLOSE);
});

Deno.test("section 7.1: a chunked body is the same however its bytes are divided", () => {
  const text = '5\r\nhello\r\n00A;x="y";z\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nGET';
  for (let size = 1; size <= text.length; size++) {
    assertEquals(decode(text, size), {
      body: "hello0123456789",
      end: "X-Sum=1",
      rest: "GET",
    });
  }
  assertEquals(decode("0\r\n\r\n"), { body: "", end: "end", rest: "" });
  assertEquals(decode("3\r\nabc\r\n").end, "more");
});

Deno.test("section 7.1: a chunk that differs from its size line in any way is refused", () => {
  for (
    const text of [
      "\r\n",
      ";\r\n",
      "0x3\r\nabc\r\n",
      "+3\r\nabc\r\n",
      "-3\r\nabc\r\n",
      " 3\r\nabc\r\n",
      "3 \r\nabc\r\n",
      "3\nabc\r\n",
      "3\r\nabcd\r\n",
      "3\r\nab\r\n0",
      "3\r\nabc\n0\r\n\r\n",
      "3\r\nabc\rX",
      "3\rXabc",
      "g\r\n",
      "3;a\nb\r\nabc",
      "3;a\0\r\nabc",
      "3;a\rb\r\nabc",
      "fffffffffffffffff\r\n",
      "0000000000003\r\nabc",
      `3;${"a".repeat(5000)}\r\nabc\r\n`,
      "0\r\nX : 1\r\n\r\n",
      "0\r\n folded\r\n\r\n",
      "0\r\nContent-Length: 3\r\n\r\n",
      "0\r\nHost: a\r\n\r\n",
      `0\r\nX: ${"a".repeat(9000)}\r\n\r\n`,
    ]
  ) assertEquals(decode(text).end, "badRequest", JSON.stringify(text.slice(0, 40)));
});

Deno.test("chunk extensions are limited over the whole body, not per chunk", () => {
  const chunk = `1;${"a".repeat(100)}\r\nx\r\n`;
  assertEquals(decode(chunk.repeat(40)).end, "more");
  assertEquals(decode(chunk.repeat(41)).end, "badRequest");
});

Deno.test("a decoder for responses blames the upstream", () => {
  const step = new ChunkedDecoder("response").step(Uint8Array.of(120), 0, 1);
  assertInstanceOf(step, Fault);
  assertEquals(step.fault, "badResponse");
});

Deno.test("a length is digits only, and exact as a number", () => {
  const good: readonly (readonly [string, number])[] = [
    ["0", 0],
    ["9", 9],
    ["0042", 42],
    ["999999999999999", 999_999_999_999_999],
  ];
  for (const [text, length] of good) assertEquals(parseLength(text), length, text);
  const bad = ["", "+1", "-1", "1.0", "0x1", "1 ", "1,1", "1a", "/", ":", "1000000000000000"];
  for (const text of bad) assertEquals(parseLength(text), undefined, text);
});

/** What the framing lines of a head come to, or the words of the fault. */
function framingOf(lines: string, side: MessageSide = "request", minor: 0 | 1 = 1): unknown {
  const fields = fieldsOf(`${lines}\r\n`, side);
  const into: FramingFields = { length: -1, chunked: false };
  for (let i = 0; i < fields.count; i++) {
    const fault = fields.is(i, "content-length")
      ? readLength(fields, i, side, into)
      : readCoding(fields, i, side, minor, into);
    if (fault !== undefined) return `${fault.fault}: ${fault.message}`;
  }
  return into;
}

Deno.test("a length that is repeated, or that a server may read in another way, is refused", () => {
  assertEquals(framingOf("Content-Length: 5 \r\n"), { length: 5, chunked: false });
  for (const lines of ["Content-Length: 5\t\r\n", "Content-Length: 5 \t\r\n"]) {
    assertMatch(String(framingOf(lines)), /^badRequest: .*bad Content-Length$/);
  }
  assertMatch(String(framingOf("Content-Length: 5, 5\r\n")), /bad Content-Length$/);
  const twice = "Content-Length: 0\r\nContent-Length: 0\r\n";
  assertMatch(String(framingOf(twice)), /more than one Content-Length$/);
  assertMatch(String(framingOf(twice, "response")), /^badResponse: .*more than one/);
});

Deno.test("only the coding chunked is understood, once and from HTTP/1.1 on", () => {
  const coding = (value: string, side: MessageSide = "request", minor: 0 | 1 = 1) =>
    framingOf(`Transfer-Encoding: ${value}\r\n`, side, minor);
  assertEquals(coding("Chunked"), { length: -1, chunked: true });
  assertMatch(String(coding("chunked", "request", 0)), /Transfer-Encoding in HTTP\/1\.0$/);
  assertMatch(String(coding("chunked\t")), /bad Transfer-Encoding$/);
  assertMatch(String(coding("chunked\r\nTransfer-Encoding: chunked")), /more than one Transfer/);
  assertMatch(String(coding("gzip, chunked")), /^notImplemented: /);
  assertMatch(String(coding("gzip, chunked", "response")), /^badResponse: /);
  for (const value of ["gzip", "chunked, gzip", "chunked, chunked", "chunked;q=1", ""]) {
    assertMatch(String(coding(value)), /^badRequest: .*bad Transfer-Encoding$/, value);
  }
});
