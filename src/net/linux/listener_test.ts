import { assertEquals } from "@std/assert";
import { EAGAIN, ECONNRESET, EMFILE } from "../../linux/errno.ts";
import type { Kernel } from "../../linux/kernel.ts";
import { acceptBatch, type BatchTaker } from "./listener.ts";

/** A kernel whose `accept` gives one after another of `results`, and then EAGAIN. */
function kernel(...results: number[]): Kernel {
  return { accept: () => results.shift() ?? -EAGAIN } as unknown as Kernel;
}

/** Has room for `room` clients, and pauses after `pauseAfter`. */
function taker(room = Infinity, pauseAfter = Infinity): BatchTaker & { readonly taken: number[] } {
  const taken: number[] = [];
  return {
    taken,
    get hasRoom() {
      return taken.length < room;
    },
    get isPaused() {
      return taken.length >= pauseAfter;
    },
    take: (client) => taken.push(client),
  };
}

Deno.test("a batch accepts the clients that wait, and skips errors of single connections", () => {
  const all = taker();
  assertEquals(acceptBatch(kernel(5, -ECONNRESET, 6), 3, all), "empty");
  assertEquals(all.taken, [5, 6]);
});

Deno.test("a batch ends when there is no room, before it accepts", () => {
  const one = taker(1);
  assertEquals(acceptBatch(kernel(5, 6), 3, one), "full");
  assertEquals(one.taken, [5]);
});

Deno.test("a batch ends with a shortage, and after a client that caused a pause", () => {
  assertEquals(acceptBatch(kernel(5, -EMFILE, 6), 3, taker()), -EMFILE);
  const paused = taker(9, 1);
  assertEquals(acceptBatch(kernel(5, 6), 3, paused), "empty");
  assertEquals(paused.taken, [5]);
});

Deno.test("a batch is bounded", () => {
  const all = taker();
  const many = Array.from({ length: 100 }, (_, i) => i + 10);
  assertEquals(acceptBatch(kernel(...many), 3, all), "more");
  assertEquals(all.taken.length, 64);
});
