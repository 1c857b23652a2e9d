import { assertEquals } from "@std/assert";
import { Histogram } from "../base/histogram.ts";
import { family, histogramFamily } from "./exposition.ts";

Deno.test("label values and help texts cannot break out of their line", () => {
  assertEquals(
    family("x", "gauge", "a\\b\nc", [[{ l: 'q"\\\n' }, Infinity], [{}, 1e21]]),
    '# HELP x a\\\\b\\nc\n# TYPE x gauge\nx{l="q\\"\\\\\\n"} +Inf\nx 1e+21\n',
  );
  assertEquals(family("x", "gauge", "", []), "");
});

Deno.test("the buckets of a histogram are cumulative and end with +Inf, which is the count", () => {
  const histogram = new Histogram([0.1, 1]);
  for (const ms of [50, 500, 500, 2_000]) histogram.add(ms);
  assertEquals(
    histogramFamily("x_seconds", "help", [[{ l: "a" }, histogram]]),
    "# HELP x_seconds help\n# TYPE x_seconds histogram\n" +
      'x_seconds_bucket{l="a",le="0.1"} 1\nx_seconds_bucket{l="a",le="1"} 3\n' +
      'x_seconds_bucket{l="a",le="+Inf"} 4\nx_seconds_sum{l="a"} 3.05\nx_seconds_count{l="a"} 4\n',
  );
  assertEquals(histogramFamily("x_seconds", "help", []), "");
});
