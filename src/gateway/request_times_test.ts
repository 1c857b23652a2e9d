import { assertEquals } from "@std/assert";
import {
  NO_STATUS,
  NO_UPSTREAM,
  REQUEST_BOUNDS,
  REQUEST_CELLS,
  RequestTimer,
  requestTimesOf,
} from "./request_times.ts";

/** What was counted: `METHOD STATUS UPSTREAM COUNT`. */
function linesOf(...timers: readonly RequestTimer[]): string[] {
  return requestTimesOf(timers.map(({ cells }) => cells)).map((
    { method, status, upstream, times },
  ) => `${method} ${status} ${upstream} ${times.counts.reduce((all, count) => all + count, 0)}`);
}

Deno.test("requests are counted by method, status and upstream, over all threads", () => {
  const [first, second] = [new RequestTimer(), new RequestTimer()];
  first.add("GET", 200, 0, 4);
  first.add("GET", 200, 0, 6_000);
  first.add("PROPFIND", 404, 1, 1);
  second.add("HEAD", NO_STATUS, NO_UPSTREAM, 1);
  second.add("GET", 200, 0, 5);
  assertEquals(linesOf(first, second), ["GET 200 0 3", "_OTHER 404 1 1", "HEAD 0 -1 1"]);
  const { counts } = requestTimesOf([first.cells, second.cells])[0]!.times;
  assertEquals([counts[0], counts[REQUEST_BOUNDS.indexOf(7.5)]], [2, 1]);
});

Deno.test("combinations beyond the maximum are counted together", () => {
  const timer = new RequestTimer();
  for (let turn = 0; turn < 2; turn++) {
    for (let status = 100; status < 1_000; status++) timer.add("GET", status, 0, 1);
  }
  const lines = linesOf(timer);
  assertEquals(lines.length, 64);
  assertEquals(lines[0], `_OTHER undefined undefined ${2 * (900 - 63)}`);
  assertEquals(lines[1], "GET 100 0 2");
});

Deno.test("a timer continues where the previous one ended", () => {
  const cells = new Float64Array(REQUEST_CELLS);
  new RequestTimer(cells).add("GET", 200, 0, 1);
  const next = new RequestTimer(cells);
  next.add("GET", 200, 0, 1);
  assertEquals(linesOf(next), ["GET 200 0 2"]);
});
