import { assertEquals } from "@std/assert";
import { accountForDeadRelay, COUNT, RELAY_COUNTERS } from "./counters.ts";

Deno.test("each counter stands at its index", () => {
  assertEquals(
    Object.entries(COUNT),
    RELAY_COUNTERS.map((name, at) => [name, at] as [never, never]),
  );
});

Deno.test("the sessions of a dead thread are cut, and its waiting clients lost", () => {
  const counters = new Float64Array(RELAY_COUNTERS.length);
  counters[COUNT.active] = 2;
  counters[COUNT.held] = 3;
  assertEquals(accountForDeadRelay(counters), 5);
  assertEquals(
    [COUNT.active, COUNT.held, COUNT.cut, COUNT.lost].map((at) => counters[at]),
    [0, 0, 2, 3],
  );
});
