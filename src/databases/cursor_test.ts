import { assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { Cursor } from "./cursor.ts";

const bytes = (...values: number[]) => new Uint8Array(values);

Deno.test("a cursor reads numbers, text and bytes one after another", () => {
  const cursor = new Cursor(bytes(1, 0, 2, 3, 0, 0xff, 0xff, 0xff, 0xfe, 97, 98, 0, 9, 8));
  assertEquals([cursor.u8(), cursor.u16(), cursor.u16(true)], [1, 2, 3]);
  assertEquals([cursor.i32(), cursor.cstring(), cursor.left], [-2, "ab", 2]);
  assertEquals([...cursor.rest()], [9, 8]);
  const little = new Cursor(bytes(1, 0, 0, 0, 0, 0, 0, 2));
  assertEquals([little.u32(true), little.u32()], [1, 2]);
});

Deno.test("a cursor reads text with and without an end", () => {
  const cursor = new Cursor(bytes(97, 0, 98));
  assertEquals([cursor.looseString(), cursor.looseString(), cursor.left], ["a", "b", 0]);
});

Deno.test("reading beyond the end of a message is a fault", () => {
  const reads: ((cursor: Cursor) => unknown)[] = [
    (cursor) => cursor.u16(),
    (cursor) => cursor.u32(),
    (cursor) => cursor.i32(),
    (cursor) => cursor.bytes(2),
    (cursor) => cursor.cstring(),
  ];
  for (const read of reads) {
    const error = assertThrows(() => read(new Cursor(bytes(1))), Fault);
    assertEquals(error.fault, "badResponse");
  }
});
