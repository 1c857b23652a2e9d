import { assert, assertEquals } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { Fields, latin1, parseFields, spells } from "./fields.ts";
import { fieldsOf } from "./testing/fields.ts";

const encoder = new TextEncoder();

Deno.test("lines are found by name in any case, in order and with duplicates", () => {
  const fields = fieldsOf("Vary: a\r\nX:\t b \r\nvary: C, d,\r\n\r\n");
  assertEquals([fields.count, fields.name(2), fields.value(1)], [3, "vary", "b"]);
  assertEquals([fields.find("vary"), fields.find("vary", 1), fields.find("y")], [0, 2, -1]);
  assertEquals([fields.get("vary"), fields.get("y")], ["a", undefined]);
  assertEquals(fields.list("vary"), ["a", "c", "d"]);
  assertEquals([fields.valueIs(2, "c, d,"), fields.valueIs(2, "c")], [true, false]);
});

Deno.test("a copy of the lines is independent of the buffer they were read from", () => {
  const bytes = encoder.encode("GET / HTTP/1.1\r\nA: b\r\n\r\nrest");
  const fields = parseFields(bytes, 16, bytes.length, 100, "request");
  assert(fields instanceof Fields);
  const copy = fields.copied(16);
  bytes.fill(0);
  assertEquals([copy.get("a"), copy.end, copy.isExact], ["b", 8, true]);
});

Deno.test("leaving lines out makes the section inexact; a section that has no such lines is returned itself", () => {
  const fields = fieldsOf("A: 1\r\nB: 2\r\nA: 3\r\n\r\n");
  const left = fields.without({ has: (all, index) => all.is(index, "a") });
  assertEquals([left.count, left.value(0), left.isExact], [1, "2", false]);
  assertEquals(fields.without({ has: () => false }), fields);
});

Deno.test("RFC 9112 section 2.2: a bare LF ends a line only where that is allowed", () => {
  const fields = fieldsOf("A: b\nC: d\r\n\n", "response");
  assertEquals([fields.get("a"), fields.get("c"), fields.isExact], ["b", "d", false]);
  const bytes = encoder.encode("A: b\n\n");
  assert(parseFields(bytes, 0, bytes.length, 100, "request") instanceof Fault);
});

Deno.test("bytes become one character each, and are compared without regard to case", () => {
  const bytes = Uint8Array.from({ length: 10_000 }, (_, at) => at & 255);
  const text = latin1(bytes, 0, bytes.length);
  assertEquals([text.length, text.charCodeAt(255)], [10_000, 255]);
  assertEquals([spells(bytes, 65, 68, "abc"), spells(bytes, 65, 69, "abc")], [true, false]);
  assertEquals(spells(bytes, 64, 65, "`"), false); // differs only in the bit for upper and lower case
});
