import { assertEquals } from "@std/assert";
import { backoffMs } from "./backoff.ts";

Deno.test("the pause doubles with each failure, up to the maximum", () => {
  const pauses = [1, 2, 3, 4, 5].map((failures) => backoffMs(failures, 5_000));
  assertEquals(pauses, [1_000, 2_000, 4_000, 5_000, 5_000]);
  assertEquals([1, 2, 9].map((failures) => backoffMs(failures, 1_000, 10)), [10, 20, 1_000]);
});

Deno.test("the pause stays finite after any number of failures", () => {
  assertEquals(backoffMs(1_000_000, 60_000), 60_000);
  assertEquals(backoffMs(1_000_000, Infinity), 1_000 * 2 ** 30);
  assertEquals(backoffMs(0, 60_000), 1_000);
});
