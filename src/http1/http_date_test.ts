import { assertEquals } from "@std/assert";
import { httpDate } from "./http_date.ts";

Deno.test("RFC 9110 section 5.6.7: a date is an IMF-fixdate in GMT", () => {
  assertEquals(httpDate(784_111_777_000), "Sun, 06 Nov 1994 08:49:37 GMT");
});

Deno.test("the date is that of the second of each call, also when the clock is set back", () => {
  const seconds = [1_999, 2_000, 2_999, 1_000].map((ms) => httpDate(ms).slice(17, 25));
  assertEquals(seconds, ["00:00:01", "00:00:02", "00:00:02", "00:00:01"]);
});
