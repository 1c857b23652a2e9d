import { assert, assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { CoarseClock } from "./coarse_clock.ts";

/** The longest delay of a callback, in milliseconds. */
const LATE_MS = 16;

Deno.test("a callback is never early and at most 16 ms late, near or far", async () => {
  for (const ms of [0, 1, 15, 16, 17, 100, 2_000, 8_191, 30_000, 3_600_000]) {
    for (const start of [0, 7, 1_000_003]) {
      const real = new ManualClock(start);
      const clock = new CoarseClock(real);
      await real.advance(5); // it is not made at the moment of the first call
      const setAt = clock.now();
      let ranAt: number | undefined;
      clock.after(ms, () => ranAt = clock.now());
      await real.advance(ms + LATE_MS);
      const lateMs = ranAt! - setAt - ms;
      assert(lateMs >= 0 && lateMs <= LATE_MS, `${ms} ms: ${lateMs} ms late`);
      assertEquals(real.pending, 0);
    }
  }
});

Deno.test("callbacks of the same moment share one timer, and an earlier one is not late for a later one", async () => {
  const real = new ManualClock();
  const clock = new CoarseClock(real);
  const ran: string[] = [];
  clock.after(5_000, () => ran.push("late"));
  for (let n = 0; n < 100; n++) clock.after(100 + n / 100, () => ran.push("soon"));
  assertEquals(real.pending, 1);
  await real.advance(100 + 2 * LATE_MS);
  assertEquals(ran.length, 100);
  await real.advance(5_000);
  assertEquals(ran.at(-1), "late");
});

Deno.test("a timer that a callback sets is called in time, and one that it cancels is not", async () => {
  const real = new ManualClock();
  const clock = new CoarseClock(real);
  const ran: string[] = [];
  clock.after(10, () => {
    ran.push("first");
    cancel();
    clock.after(0, () => ran.push("at once"));
    clock.after(50, () => ran.push("soon"));
  });
  const cancel = clock.after(10, () => ran.push("cancelled"));
  await real.advance(10 + LATE_MS);
  await real.advance(LATE_MS);
  assertEquals(ran, ["first", "at once"]);
  await real.advance(50);
  assertEquals(ran, ["first", "at once", "soon"]);
});

Deno.test("no timer is left when all callbacks were cancelled", () => {
  const real = new ManualClock();
  const clock = new CoarseClock(real);
  const cancels = [1_000, 10, 5_000].map((ms) => clock.after(ms, () => {}));
  for (const cancel of cancels) cancel();
  for (const cancel of cancels) cancel();
  assertEquals(real.pending, 0);
});

Deno.test("a bug in one callback does not keep the others from being called", async () => {
  const real = new ManualClock();
  const clock = new CoarseClock(real);
  const caught: unknown[] = [];
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    caught.push(event.error);
  };
  globalThis.addEventListener("error", onError);
  let ran = 0;
  clock.after(10, () => {
    throw new Error("a bug");
  });
  clock.after(10, () => ran++);
  await real.advance(10 + LATE_MS);
  globalThis.removeEventListener("error", onError);
  assertEquals([ran, caught.length], [1, 1]);
});
