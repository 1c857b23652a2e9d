import { assertEquals } from "@std/assert";
import { newServiceMemory, sumCounters } from "./memory.ts";

Deno.test("counters are added over the threads, and of the longest times the longest is taken", () => {
  const memory = newServiceMemory(2, []);
  memory.counters[0]!.set([1, 300]);
  memory.counters[1]!.set([2, 200]);
  assertEquals(sumCounters(["accepted", "longestHoldMs"], memory), {
    accepted: 3,
    longestHoldMs: 300,
  });
});
