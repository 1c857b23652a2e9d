import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { LARGE_BYTES, ReadBuffer, SMALL_BYTES } from "./read_buffer.ts";
import { random } from "./testing/mutations.ts";

function add(buffer: ReadBuffer, text: string, isLarge = false): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) {
    const room = buffer.room(isLarge);
    const part = bytes.subarray(at, at + room.length);
    room.set(part);
    buffer.added(part.length);
    at += part.length;
  }
}

const said = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

Deno.test("bytes are taken in the order in which they were added", () => {
  const buffer = new ReadBuffer();
  assert(buffer.isEmpty);
  add(buffer, "hello");
  assertEquals(said(buffer.take(2)), "he");
  add(buffer, " world");
  assertEquals([buffer.length, said(buffer.take(9))], [9, "llo world"]);
  assert(buffer.isEmpty);
  add(buffer, "x");
  buffer.clear();
  assert(buffer.isEmpty);
  buffer.dispose(false);
});

Deno.test("an empty buffer is small for a head and large for a body", () => {
  const buffer = new ReadBuffer();
  assertEquals(buffer.room(false).length, SMALL_BYTES);
  assertEquals(buffer.room(true).length, LARGE_BYTES);
  assertEquals(buffer.room(false).length, SMALL_BYTES);
  buffer.dispose(false);
});

Deno.test("a held head stays in place, whatever is read after it", () => {
  const buffer = new ReadBuffer();
  add(buffer, "head");
  const { bytes } = buffer;
  const head = buffer.take(4);
  buffer.hold();
  for (let i = 0; i < 3; i++) {
    add(buffer, "x".repeat(SMALL_BYTES + 1), true);
    assertEquals(said(head), "head");
    buffer.clear();
  }
  assert(buffer.bytes !== bytes);
  // From now on it may be reused.
  buffer.unhold();
  buffer.dispose(false);
});

Deno.test("a buffer that is full of unused bytes grows, also while it is held", () => {
  for (const isHeld of [false, true]) {
    const buffer = new ReadBuffer();
    const text = "0123456789".repeat(30_000);
    if (isHeld) buffer.hold();
    add(buffer, text);
    assertEquals(buffer.length, text.length);
    assertEquals(said(buffer.take(text.length)) === text, true);
    buffer.dispose(false);
  }
});

Deno.test("a buffer that a read may still write to is not reused", () => {
  const first = new ReadBuffer();
  const bytes = first.room(false);
  first.dispose(true);
  const second = new ReadBuffer();
  const own = second.room(false);
  assert(own !== bytes);
  second.dispose(false);
  const third = new ReadBuffer();
  assertStrictEquals(third.room(false), own);
  third.dispose(false);
});

Deno.test("a buffer is released for others to use, unless bytes in it are unused or held", () => {
  const buffer = new ReadBuffer();
  add(buffer, "ab");
  const { bytes } = buffer;
  buffer.release();
  assertEquals(said(buffer.take(1)), "a");
  buffer.hold();
  buffer.take(1);
  buffer.release();
  assertStrictEquals(buffer.bytes, bytes);
  buffer.unhold();
  buffer.release();
  assertEquals([buffer.bytes.length, buffer.isEmpty], [0, true]);
  const other = new ReadBuffer();
  assertStrictEquals(other.room(false), bytes);
  add(buffer, "cd");
  assertEquals(said(buffer.take(2)), "cd");
  other.dispose(false);
  buffer.dispose(false);
});

Deno.test("no byte is lost or changed, in whatever pieces it is read and taken", () => {
  const next = random(3);
  const buffer = new ReadBuffer();
  let written = 0;
  let taken = 0;
  for (let round = 0; round < 20_000; round++) {
    if (next(2) === 0 && buffer.length < 200_000) {
      const room = buffer.room(next(2) === 0);
      assert(room.length > 0);
      const count = Math.min(room.length, 1 + next(10_000));
      for (let i = 0; i < count; i++) room[i] = written++ % 251;
      buffer.added(count);
    } else {
      const view = buffer.take(Math.min(buffer.length, next(20_000)));
      for (const byte of view) assert(byte === taken++ % 251);
    }
    if (next(10) === 0) buffer.hold();
    if (next(10) === 0) buffer.unhold();
    if (next(10) === 0) buffer.release();
    assertEquals(buffer.length, written - taken);
  }
  buffer.dispose(false);
});
