import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
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
