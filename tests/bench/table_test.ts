import { assertEquals } from "@std/assert";
import { head, median, number, percentile } from "./table.ts";

Deno.test("[bench] the median of an even number of values lies between the two in the middle", () => {
  assertEquals(median([9, 1, 5]), 5);
  assertEquals(median([9, 1, 5, 3]), 4);
});

Deno.test("[bench] a percentile is one of the values, and the last of them at most", () => {
  const hundred = Float64Array.from({ length: 100 }, (_, i) => i + 1);
  assertEquals([50, 90, 99, 100].map((percent) => percentile(hundred, percent)), [50, 90, 99, 100]);
  assertEquals(percentile([7], 50), 7);
  assertEquals(percentile([1, 2, 3], 99), 3);
  assertEquals(percentile([1, 2, 3], 0), 1);
  assertEquals(percentile([], 99), NaN);
});

Deno.test("[bench] numbers have three digits, large ones all of theirs; columns of numbers end at the right", () => {
  assertEquals([0.0123456, 12.3456, 123456.7].map(number), ["0.0123", "12.3", "123457"]);
  assertEquals(head(["work", ">rate"]), "| work | rate |\n| --- | ---: |");
});
