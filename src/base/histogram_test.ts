import { assertEquals } from "@std/assert";
import { cellsOf, Histogram } from "./histogram.ts";

Deno.test("a time falls into the first range whose end it does not exceed", () => {
  const histogram = new Histogram([0.1, 1]);
  for (const ms of [0, 100, 500, 1_000, 5_000]) histogram.add(ms);
  assertEquals([...histogram.counts], [2, 2, 1]);
  assertEquals(histogram.sum, 6.6);
});

Deno.test("histograms of several threads are added, and keep the counts of threads that have ended", () => {
  const memory = new Float64Array(cellsOf([1]));
  new Histogram([1], memory).add(500);
  new Histogram([1], memory).add(2_000);
  const other = new Float64Array(cellsOf([1]));
  new Histogram([1], other).add(250);
  const total = Histogram.total([1], [memory, other]);
  assertEquals([[...total.counts], total.sum], [[2, 1], 2.75]);
});
