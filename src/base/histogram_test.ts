import { assertEquals } from "@std/assert";
import { Histogram } from "./histogram.ts";

Deno.test("a time falls into the first range whose end it does not exceed", () => {
  const histogram = new Histogram([0.1, 1]);
  for (const ms of [0, 100, 500, 1_000, 5_000]) histogram.add(ms);
  assertEquals([...histogram.counts], [2, 2, 1]);
  assertEquals(histogram.sum, 6.6);
});
