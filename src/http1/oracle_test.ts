/**
 * Compares our parser with llhttp, Node's parser: where two parsers of the same bytes differ, requests can
 * be smuggled. The property: the requests that we read are the first ones that llhttp reads, with the same
 * method, target, fields and body; it may read more requests than we do, but no others. The cases in which
 * we are stricter, and those in which we are not, are listed, so that a change of either is noticed.
 */
import { assert, assertEquals } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { chosenSeed } from "../base/testing/dice.ts";
import type { Fields } from "./fields.ts";
import { CHUNKED, ChunkedDecoder } from "./framing.ts";
import { parseRequestHead, parseResponseHead, type RequestHead } from "./head.ts";
import {
  CHUNKS,
  mutated,
  NEXT,
  POST,
  random,
  REQUEST_PIECES,
  REQUESTS,
  RESPONSE_PIECES,
  RESPONSES,
} from "./testing/mutations.ts";
import { LLHTTP_METHODS, readByLlhttp, type Reading, type ReadMessage } from "./testing/llhttp.ts";

const LIMITS = { headBytesMax: 60_000, fieldsMax: 100 };

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Reads requests as `server.ts` does: one after the other, until there is an error or the last one. */
function readByUs(bytes: Uint8Array): Reading {
  const messages: ReadMessage[] = [];
  for (let at = 0; at < bytes.length;) {
    const head = parseRequestHead(bytes, at, bytes.length, LIMITS);
    if (head === undefined) break;
    if (head instanceof Fault) return { messages, error: head.message };
    const message = messageOf(head);
    messages.push(message);
    at = head.framing === CHUNKED
      ? readChunks(bytes, head.end, message)
      : readPlain(bytes, head.end, head.framing, message);
    if (!message.whole || !head.keepAlive || head.wantsUpgrade) break;
  }
  return { messages, error: undefined };
}

function messageOf({ method, target, fields }: RequestHead): ReadMessage {
  return { method, target, status: 0, fields: linesOf(fields), body: "", whole: false };
}

function linesOf(fields: Fields): string[] {
  return Array.from({ length: fields.count }, (_, i) => [fields.name(i), fields.value(i)]).flat();
}

function readPlain(bytes: Uint8Array, start: number, length: number, message: ReadMessage): number {
  const end = Math.min(bytes.length, start + length);
  message.body = String.fromCharCode(...bytes.subarray(start, end));
  message.whole = end === start + length;
  return end;
}

function readChunks(bytes: Uint8Array, start: number, message: ReadMessage): number {
  const decoder = new ChunkedDecoder("request");
  for (let at = start;; at = decoder.at) {
    const step = decoder.step(bytes, at, bytes.length);
    if (step === "end") message.whole = true;
    if (step !== "data") return decoder.at;
    message.body += String.fromCharCode(...bytes.subarray(decoder.dataStart, decoder.dataEnd));
  }
}

/** Undefined if our result is the beginning of llhttp's; otherwise what we accepted and llhttp did not. */
function difference(ours: Reading, theirs: Reading): string | undefined {
  for (const [i, mine] of ours.messages.entries()) {
    const other = theirs.messages[i];
    if (other === undefined) {
      if (!LLHTTP_METHODS.has(mine.method)) return "a method that llhttp does not know";
      const isClosed = theirs.error === "HPE_CLOSED_CONNECTION";
      return isClosed ? "what follows a keep-alive with a tab after it" : `a head: ${mine.target}`;
    }
    const { body, whole, ...head } = mine;
    const { body: otherBody, whole: otherWhole, ...otherHead } = other;
    assertEquals(head, otherHead);
    if (body === otherBody && whole === otherWhole) continue;
    if (!whole && otherBody.startsWith(body)) return undefined;
    const isExtension = !otherWhole && theirs.error === "HPE_STRICT";
    return isExtension ? "a chunk extension that is not a token" : `another body: ${body}`;
  }
  return undefined;
}

Deno.test("what both accept is read alike, and so is what follows it", () => {
  for (
    const text of [
      `GET / HTTP/1.1\r\nHost: a\r\n\r\n${NEXT}`,
      `${POST}Content-Length: 3\r\n\r\nabc${NEXT}`,
      `${POST}Content-Length: 0003\r\n\r\nabc${NEXT}`,
      `${POST}Transfer-Encoding: chunked\r\n\r\n${CHUNKS}${NEXT}`,
      `${POST}Transfer-Encoding: chunked\r\n\r\n0003\r\nabc\r\n00\r\n\r\n${NEXT}`,
      `${POST}Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0;x\r\nX: y\r\n\r\n${NEXT}`,
      `GET http://b/x?y HTTP/1.1\r\nHost: a\r\n\r\n${NEXT}`,
      `\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n${NEXT}`,
      `GET / HTTP/1.1\r\nHost:a\r\nX:\t \r\nY: a b\t\r\n\r\n${NEXT}`,
    ]
  ) {
    const ours = readByUs(bytesOf(text));
    assertEquals(ours, readByLlhttp("REQUEST", bytesOf(text)), JSON.stringify(text));
    assertEquals(ours.messages.length, 2);
  }
});

const ROUNDS = 20_000;

/** What we refuse and llhttp accepts. Each is a rule of RFC 9112, or read differently by other parsers. */
const STRICTER = [
  "bad Host", // section 3.2
  "bad Transfer-Encoding", // section 6.1: chunked twice, or not last
  "bad method", // section 2.2: more than one empty line before a request, or one that is an LF
  "bad request target", // section 3.2: bytes that no URI has
  "bad version", // section 3: two spaces before it
  "bare CR", // section 2.2: before a request
  "more than one Host", // section 3.2
  "no Host", // section 3.2
  "transfer coding", // section 6.1: 501 for a coding that we do not know
  "Transfer-Encoding in HTTP/1.0", // section 6.1
].sort();

/** What we accept and llhttp refuses. None of it is forwarded unchanged: we always write the framing ourselves. */
const LAXER = [
  "a chunk extension that is not a token",
  "a method that llhttp does not know",
  "what follows a keep-alive with a tab after it", // too rare for the seed below
];

function reasonOf(message: string): string {
  return message.slice(message.indexOf(": ") + 2);
}

Deno.test("of mutated requests we accept what llhttp accepts, or less", () => {
  const next = random(7);
  const seen = { same: 0, stricter: new Set<string>(), laxer: new Set<string>() };
  for (let round = 0; round < ROUNDS; round++) {
    const text = mutated(next, REQUESTS, REQUEST_PIECES);
    const bytes = bytesOf(text);
    const [ours, theirs] = [readByUs(bytes), readByLlhttp("REQUEST", bytes)];
    const laxer = difference(ours, theirs);
    if (laxer !== undefined) {
      assert(LAXER.includes(laxer), `${laxer} ${theirs.error}: ${JSON.stringify(text)}`);
      seen.laxer.add(laxer);
    } else if (ours.error === undefined) seen.same++;
    else if (theirs.error === undefined) seen.stricter.add(reasonOf(ours.error));
  }
  if (chosenSeed !== undefined) return;
  assert(seen.same > ROUNDS / 20, `only ${seen.same} were read alike`);
  assertEquals([...seen.stricter].sort(), STRICTER);
  assertEquals([...seen.laxer].sort(), LAXER.slice(0, 2));
});

Deno.test("of mutated response heads we accept what llhttp accepts, or less", () => {
  const next = random(8);
  const seen = { same: 0, stricter: new Set<string>() };
  for (let round = 0; round < ROUNDS; round++) {
    const text = mutated(next, RESPONSES, RESPONSE_PIECES);
    const bytes = bytesOf(text);
    const ours = parseResponseHead(bytes, 0, bytes.length, LIMITS);
    const { messages: [first], error } = readByLlhttp("RESPONSE", bytes, true);
    if (ours === undefined) continue;
    if (ours instanceof Fault) {
      if (first !== undefined) seen.stricter.add(reasonOf(ours.message));
      continue;
    }
    assert(first !== undefined, `${error}: ${JSON.stringify(text)}`);
    const { status, reason, fields } = ours;
    assertEquals([status, reason, linesOf(fields)], [first.status, first.target, first.fields]);
    seen.same++;
  }
  if (chosenSeed !== undefined) return;
  assert(seen.same > ROUNDS / 20, `only ${seen.same} were read alike`);
  assertEquals(
    [...seen.stricter].sort(),
    [
      "Transfer-Encoding in HTTP/1.0",
      "bad Transfer-Encoding",
      "bad reason phrase", // a NUL in it
      "bad status", // below 100
      "bad version", // an empty line before it
      "bare CR", // before a line end
      "more than one Transfer-Encoding",
    ].sort(),
  );
});
