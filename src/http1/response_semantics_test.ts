import { assertEquals } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { parseResponseHead, type ResponseHead } from "./head.ts";
import { announcedMs, hasDoubtfulFraming, isEventStream, keptFor } from "./response_semantics.ts";

function head(first: string, ...lines: readonly string[]): ResponseHead {
  const text = [`HTTP/1.1 ${first}`, ...lines, "", ""].join("\r\n");
  const bytes = new TextEncoder().encode(text);
  const limits = { headBytesMax: 4096, fieldsMax: 16 };
  const parsed = parseResponseHead(bytes, 0, bytes.length, limits);
  if (parsed === undefined || parsed instanceof Fault) throw parsed ?? new Error("no head");
  return parsed;
}

Deno.test("a 204 or 304 that declares a body is doubtful, anything else is not", () => {
  const cases = [
    ["204 No", "Content-Length: 1", true],
    ["304 Same", "Transfer-Encoding: chunked", true],
    ["204 No", "Content-Length: 0", false],
    ["304 Same", "X: y", false],
    ["200 OK", "Content-Length: 1", false],
  ] as const;
  for (const [first, line, doubtful] of cases) {
    assertEquals(hasDoubtfulFraming(head(first, line)), doubtful, `${first} ${line}`);
  }
});

Deno.test("how long an upstream keeps a connection is read, and a second less is used", () => {
  const said = (value: string) => announcedMs(head("200 OK", `Keep-Alive: ${value}`));
  assertEquals([said("timeout=5, max=100"), said("max=9,timeout=60")], [5_000, 60_000]);
  assertEquals([said("max=100"), said("timeout=x"), announcedMs(head("200 OK"))], [
    undefined,
    undefined,
    undefined,
  ]);
  assertEquals([5_000, 1_000, 0, Infinity].map(keptFor), [4_000, 500, 1, Infinity]);
});

Deno.test("an event stream is known by its type alone", () => {
  const is = (type: string) => isEventStream(head("200 OK", `Content-Type: ${type}`));
  assertEquals([is("text/event-stream"), is("Text/Event-Stream; charset=utf-8")], [true, true]);
  assertEquals([is("text/event-streams"), is("text/plain"), isEventStream(head("200 OK"))], [
    false,
    false,
    false,
  ]);
});
