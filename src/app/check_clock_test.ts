import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { CoarseClock } from "../net/coarse_clock.ts";
import { checkClockOf } from "./check_clock.ts";

Deno.test("frequent checks have timers of their own, and the others share those of the coarse clock", () => {
  const clock = new ManualClock();
  const coarseClock = new CoarseClock(clock);
  const clockAt = (checkInterval: number) =>
    checkClockOf({ checkInterval }, { clock, coarseClock });
  assertEquals([clockAt(100), clockAt(999)], [clock, clock]);
  assertEquals([clockAt(1_000), clockAt(2_000)], [coarseClock, coarseClock]);
});
