/** Ranges of status codes. */
import { assert } from "@std/assert";
import { isInRanges } from "./status_range.ts";

Deno.test("both ends of a range belong to it, and a status may be in any of several ranges", () => {
  const ranges = [{ from: 200, to: 299 }, { from: 404, to: 404 }];
  for (const status of [200, 250, 299, 404]) assert(isInRanges(status, ranges), `${status}`);
  for (const status of [199, 300, 403, 405]) assert(!isInRanges(status, ranges), `${status}`);
  assert(!isInRanges(200, []));
});
