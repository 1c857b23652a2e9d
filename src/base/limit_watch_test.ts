/** When a reached limit is reported. */
import { assertEquals } from "@std/assert";
import { LimitWatch } from "./limit_watch.ts";

Deno.test("a limit is reported once while it stays reached, however long that is", () => {
  let reported = 0;
  const watch = new LimitWatch(10, () => reported++);
  assertEquals(watch.isReached(9, 0), false);
  for (let now = 0; now < 100_000; now += 1_000) {
    assertEquals(watch.isReached(10, now), true);
    assertEquals(watch.isReached(9.5, now), false); // a place that is taken again at once
  }
  assertEquals(reported, 1);
});

Deno.test("a limit that comes and goes is reported at most each ten seconds", () => {
  const reported: number[] = [];
  let now = 0;
  const watch = new LimitWatch(2, () => reported.push(now));
  for (; now < 25_000; now += 100) {
    watch.isReached(2, now);
    watch.isReached(0, now);
  }
  assertEquals(reported, [0, 10_000, 20_000]);
});

Deno.test("limits of one and of zero work as well", () => {
  let reported = 0;
  const one = new LimitWatch(1, () => reported++);
  assertEquals([one.isReached(0, 0), one.isReached(1, 0), one.isReached(0, 1)], [
    false,
    true,
    false,
  ]);
  one.isReached(1, 20_000);
  assertEquals(reported, 2);
  assertEquals(new LimitWatch(0, () => {}).isReached(0, 0), true);
});
