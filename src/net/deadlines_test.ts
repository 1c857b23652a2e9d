import { assertEquals } from "@std/assert";
import { type Clock, ManualClock } from "../base/clock.ts";
import { Deadlines, TICK_MS } from "./deadlines.ts";
import { caught } from "../http1/testing/caught.ts";

Deno.test("a bug in one deadline is reported, and the others still run", async () => {
  const clock = new ManualClock();
  const deadlines = new Deadlines(clock);
  let ticks = 0;
  const broken = {
    place: -1,
    tick: () => {
      throw new Error("made by a test");
    },
  };
  const sound = { place: -1, tick: () => ticks++ };
  deadlines.add(broken);
  deadlines.add(sound);
  const errors = await caught(() => clock.advance(3 * TICK_MS));
  assertEquals(errors, ["made by a test", "made by a test", "made by a test"]);
  assertEquals(ticks, 3);
  deadlines.delete(broken);
  deadlines.delete(sound);
  assertEquals(clock.pending, 0);
});

Deno.test("time in which the process was suspended does not count", async () => {
  const manual = new ManualClock();
  let stoodStillMs = 0;
  const clock: Clock = {
    now: () => manual.now() + stoodStillMs,
    recent: () => manual.now() + stoodStillMs,
    wall: () => manual.wall(),
    after: (ms, callback) => manual.after(ms, callback),
  };
  const deadlines = new Deadlines(clock);
  let [by, passed] = [Infinity, 0];
  const timed = { place: -1, tick: (now: number) => passed += now >= by ? 1 : 0 };
  deadlines.add(timed);
  await manual.advance(TICK_MS - 1);
  // What is set before the overdue tick runs is not overdue.
  stoodStillMs = 10_000;
  by = deadlines.in(TICK_MS);
  await manual.advance(1);
  assertEquals(passed, 0);
  await manual.advance(TICK_MS);
  assertEquals(passed, 1);
  deadlines.delete(timed);
});
