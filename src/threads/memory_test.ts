import { assertEquals } from "@std/assert";
import { Histogram, HOLD_BOUNDS } from "../base/histogram.ts";
import {
  BUSY,
  holdCells,
  holdTimesOf,
  moreCells,
  newServiceMemory,
  sumCounters,
} from "./memory.ts";

Deno.test("the counters of the threads are added, and the longest time is the maximum", () => {
  const memory = newServiceMemory(2, []);
  memory.counters[0]!.set([1, 300]);
  memory.counters[1]!.set([2, 200]);
  assertEquals(sumCounters(["accepted", "longestHoldMs"], memory), {
    accepted: 3,
    longestHoldMs: 300,
  });
});

Deno.test("the parts of a thread's memory do not overlap", () => {
  const memory = newServiceMemory(2, [], 3);
  const [first, second] = memory.counters;
  new Histogram(HOLD_BOUNDS, holdCells(first!)).add(20);
  new Histogram(HOLD_BOUNDS, holdCells(second!)).add(70_000);
  moreCells(first!).fill(9);
  assertEquals(moreCells(first!).length, 3);
  assertEquals([first![BUSY], second!.subarray(0, BUSY + 1).some((each) => each !== 0)], [
    0,
    false,
  ]);
  const { counts, sum } = holdTimesOf(memory);
  assertEquals([counts[1], counts[HOLD_BOUNDS.length], sum], [1, 1, 70.02]);
});
