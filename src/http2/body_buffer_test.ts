/** What has come of a body, in blocks that all bodies share. */
import { assertEquals } from "@std/assert";
import { chosenSeed, Dice } from "../base/testing/dice.ts";
import { BodyBuffer } from "./body_buffer.ts";

const BLOCK = 32 * 1024;

function filled(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}

/** Takes everything, and says which values came how often. */
function drained(buffer: BodyBuffer): Map<number, number> {
  const seen = new Map<number, number>();
  for (let view = buffer.take(); view !== undefined; view = buffer.take()) {
    for (const byte of view) seen.set(byte, (seen.get(byte) ?? 0) + 1);
    buffer.returned();
  }
  return seen;
}

Deno.test("large frames stand together in one block", () => {
  const buffer = new BodyBuffer();
  for (let i = 0; i < 4; i++) buffer.add(filled(10_000, i), 0, 10_000);
  const lengths: number[] = [];
  for (let view = buffer.take(); view !== undefined; view = buffer.take()) {
    lengths.push(view.length);
    buffer.returned();
  }
  assertEquals(lengths, [BLOCK, 40_000 - BLOCK]);
  assertEquals([buffer.isEmpty, buffer.take()], [true, undefined]);
});

Deno.test("a small body has no more memory than it needs", () => {
  const buffer = new BodyBuffer();
  buffer.add(filled(100, 7), 10, 20);
  assertEquals(buffer.isEmpty, false);
  const view = buffer.take()!;
  assertEquals([view.length, view.buffer.byteLength], [10, 10]);
  assertEquals(buffer.isEmpty, true);
});

Deno.test("frames of one byte are joined, also while what came before them is handed out", () => {
  const buffer = new BodyBuffer();
  buffer.add(filled(1, 1), 0, 1);
  const view = buffer.take()!;
  for (let i = 0; i < 10_000; i++) buffer.add(filled(1, 2), 0, 1);
  assertEquals([...view], [1]);
  buffer.returned();
  const lengths: number[] = [];
  for (let part = buffer.take(); part !== undefined; part = buffer.take()) {
    assertEquals(part.every((byte) => byte === 2), true);
    lengths.push(part.length);
    buffer.returned();
  }
  assertEquals([lengths.length, lengths.reduce((a, b) => a + b)], [3, 10_000]);
  assertEquals(buffer.isEmpty, true);
});

Deno.test("what comes while a view is handed out does not change it", () => {
  const buffer = new BodyBuffer();
  buffer.add(filled(10_000, 1), 0, 10_000);
  const view = buffer.take()!;
  for (let i = 0; i < 10; i++) buffer.add(filled(10_000, 2), 0, 10_000);
  assertEquals(view.every((byte) => byte === 1), true);
  buffer.returned();
  assertEquals(drained(buffer), new Map([[2, 100_000]]));
});

Deno.test("a view of a body that was dropped is never given to another one", () => {
  const buffer = new BodyBuffer();
  for (let i = 0; i < 10; i++) buffer.add(filled(10_000, 1), 0, 10_000);
  const view = buffer.take()!;
  assertEquals(buffer.clear(), 100_000 - view.length);
  assertEquals(buffer.isEmpty, true);
  const others = Array.from({ length: 100 }, () => new BodyBuffer());
  for (const other of others) other.add(filled(BLOCK, 2), 0, BLOCK);
  assertEquals(view.every((byte) => byte === 1), true);
  // Calling it after the end is harmless.
  buffer.returned();
  for (const other of others) assertEquals(drained(other), new Map([[2, BLOCK]]));
});

Deno.test("bytes come out as they went in, whatever the sizes, of many bodies at one time", () => {
  const dice = new Dice(chosenSeed ?? 1);
  const bodies = Array.from({ length: 5 }, () => ({
    buffer: new BodyBuffer(),
    added: 0,
    taken: 0,
  }));
  const at = (index: number) => (index * 31 + (index >> 8)) & 0xff;
  for (let step = 0; step < 3_000; step++) {
    const body = dice.pick(bodies);
    if (dice.once(2)) {
      const count = dice.once(3) ? dice.under(50) : dice.under(20_000);
      body.buffer.add(Uint8Array.from({ length: count }, (_, i) => at(body.added + i)), 0, count);
      body.added += count;
    } else {
      const view = body.buffer.take();
      const isRight = view?.every((byte, i) => byte === at(body.taken + i)) ?? true;
      assertEquals(isRight, true, `step ${step}`);
      body.taken += view?.length ?? 0;
      body.buffer.returned();
      assertEquals(body.buffer.isEmpty, body.taken === body.added);
    }
  }
});
