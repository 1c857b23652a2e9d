/**
 * The property: for all bytes, each prefix parses to "need more" or to the result of the whole, which is a
 * head or a `Fault`; and a chunked body decodes to the same payload and the same end however it is divided.
 * Nothing else is ever thrown. Seeded, so that a failure can be repeated.
 */
import { assertEquals } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { ChunkedDecoder } from "./framing.ts";
import { parseRequestHead, parseResponseHead } from "./head.ts";
import { random } from "./testing/mutations.ts";

const LIMITS = { headBytesMax: 300, fieldsMax: 6 };
const ROUNDS = 1500;

const HEAD_PARTS = [
  ..."GET / HTTP/1.1|\r\n|Host: a|Content-Length: 3|Transfer-Encoding: chunked|HTTP/1.1 200 OK"
    .split("|"),
  ..."POST /a?b HTTP/1.0|X: y|Connection: close, upgrade|Upgrade: x|Expect: 100-continue".split(
    "|",
  ),
  ..."\r|\n| |\t|:|,|\0|\x7f|\xff|chunked|GET|*|http://b/|/|HTTP/1.1|HTTP/9.9|aaaaaaaaaaaaaaaaaaaa"
    .split("|"),
];
const CHUNK_PARTS =
  "3\r\nabc\r\n|0\r\n\r\n|1|a|0|\r\n|\r|\n|;|;x=y| |ff\r\n|X: y\r\n|Host: a\r\n|g|\0".split("|");

function randomBytes(next: (below: number) => number, parts: readonly string[], start: string[]) {
  let text = start[next(start.length)]!;
  for (let count = next(12); count > 0; count--) text += parts[next(parts.length)];
  if (next(3) === 0) {
    const at = next(text.length + 1);
    text = text.slice(0, at) + String.fromCharCode(next(256)) + text.slice(at + next(2));
  }
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

type Parse = (bytes: Uint8Array, end: number) => unknown;

function outcome(parse: Parse, bytes: Uint8Array, end: number): string | undefined {
  const result = parse(bytes, end);
  if (result === undefined) return undefined;
  if (result instanceof Fault) return `${result.fault}: ${result.message}`;
  const { fields: _, ...head } = result as Record<string, unknown>;
  return JSON.stringify(head);
}

function checkEveryPrefix(parse: Parse, bytes: Uint8Array): string | undefined {
  const whole = outcome(parse, bytes, bytes.length);
  let decided = false;
  for (let end = 0; end <= bytes.length; end++) {
    const result = outcome(parse, bytes.slice(0, end), end);
    const context = `${JSON.stringify(String.fromCharCode(...bytes))} to ${end}`;
    if (result !== undefined || decided) assertEquals(result, whole, context);
    decided ||= result !== undefined;
  }
  assertEquals(decided, whole !== undefined);
  return whole;
}

Deno.test("any bytes are a request head, need more, or are a Fault, however they arrive", () => {
  const next = random(1);
  const seen = { heads: 0, faults: 0, more: 0 };
  const start = ["", "GET / HTTP/1.1\r\nHost: a\r\n", "POST /x HTTP/1.1\r\nHost: a\r\nX: y\r\n"];
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = randomBytes(next, HEAD_PARTS, start);
    const whole = checkEveryPrefix((b, end) => parseRequestHead(b, 0, end, LIMITS), bytes);
    if (whole === undefined) seen.more++;
    else if (whole.startsWith("{")) seen.heads++;
    else seen.faults++;
  }
  // A fuzz test that never gets a result of some kind proves nothing about it.
  for (const count of Object.values(seen)) assertEquals(count > 20, true, JSON.stringify(seen));
});

Deno.test("any bytes are a response head, need more, or are a Fault, however they arrive", () => {
  const next = random(2);
  const start = ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.0 404 \r\nX: y\r\n"];
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = randomBytes(next, HEAD_PARTS, start);
    checkEveryPrefix((b, end) => parseResponseHead(b, 0, end, LIMITS), bytes);
  }
});

Deno.test("any bytes decode as chunks to one payload and one end, however they arrive", () => {
  const next = random(3);
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = randomBytes(next, CHUNK_PARTS, ["", "3\r\nabc\r\n", "a;b\r\n0123456789\r\n"]);
    const whole = decodeIn(bytes, () => bytes.length);
    assertEquals(decodeIn(bytes, () => 1), whole, JSON.stringify(String.fromCharCode(...bytes)));
    assertEquals(decodeIn(bytes, () => 1 + next(7)), whole);
  }
});

function decodeIn(bytes: Uint8Array, size: () => number): string {
  const decoder = new ChunkedDecoder("request");
  let body = "";
  let at = 0;
  for (let end = 0; end < bytes.length;) {
    end = Math.min(bytes.length, end + size());
    for (;;) {
      const step = decoder.step(bytes, at, end);
      at = decoder.at;
      if (step === "more") break;
      if (step instanceof Fault) return `${body} ${step.message}`;
      if (step === "end") return `${body} end at ${at} ${decoder.trailers?.count}`;
      body += String.fromCharCode(...bytes.subarray(decoder.dataStart, decoder.dataEnd));
    }
  }
  return `${body} more`;
}

Deno.test("garbage of every length is never taken for a head and never throws", () => {
  const next = random(4);
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = Uint8Array.from({ length: next(80) }, () => next(256));
    checkEveryPrefix((b, end) => parseRequestHead(b, 0, end, LIMITS), bytes);
    checkEveryPrefix((b, end) => parseResponseHead(b, 0, end, LIMITS), bytes);
  }
});
