import { assertEquals } from "@std/assert";
import { COUNT, newCounters, sumCounters } from "./counters.ts";

Deno.test("the counters of all workers are added, of the longest hold the maximum is taken", () => {
  const [first, second] = [newCounters(), newCounters()];
  first[COUNT.accepted] = 3;
  second[COUNT.accepted] = 4;
  first[COUNT.longestHoldMs] = 200;
  second[COUNT.longestHoldMs] = 150;
  // These two concern one worker and are not part of the sum.
  first[COUNT.beat] = second[COUNT.listener] = 9;
  assertEquals(sumCounters([first, second]), {
    accepted: 7,
    active: 0,
    held: 0,
    released: 0,
    lost: 0,
    abandoned: 0,
    cut: 0,
    clientSentBytes: 0,
    clientReceivedBytes: 0,
    longestHoldMs: 200,
  });
});
