import { assert, assertEquals, assertRejects } from "@std/assert";
import { backoffMs } from "./backoff.ts";
import { ManualClock, realClock, sleep } from "./clock.ts";

Deno.test("a manual clock runs callbacks in the order of their time", async () => {
  const clock = new ManualClock();
  const ran: string[] = [];
  clock.after(20, () => ran.push("late"));
  clock.after(10, () => ran.push("early"));
  clock.after(10, () => ran.push("early too"));
  await clock.advance(15);
  assertEquals(ran, ["early", "early too"]);
  await clock.advance(5);
  assertEquals(ran, ["early", "early too", "late"]);
  assertEquals(clock.now(), 20);
});

Deno.test("a cancelled callback never runs and leaves no timer", async () => {
  const clock = new ManualClock();
  const cancel = clock.after(10, () => assert(false));
  cancel();
  assertEquals(clock.pending, 0);
  await clock.advance(100);
});

Deno.test("a callback set by a callback runs in the same advance if it is due", async () => {
  const clock = new ManualClock();
  let at = 0;
  clock.after(10, () => clock.after(10, () => at = clock.now()));
  await clock.advance(30);
  assertEquals(at, 20);
});

Deno.test("sleep ends early with the reason of its signal", async () => {
  const clock = new ManualClock();
  const abort = new AbortController();
  const sleeping = sleep(clock, 1_000, abort.signal);
  abort.abort(new Error("no longer wanted"));
  await assertRejects(() => sleeping, Error, "no longer wanted");
  assertEquals(clock.pending, 0);
});

Deno.test("the real clock goes forward and cancels", async () => {
  const before = realClock.now();
  const cancel = realClock.after(60_000, () => {});
  cancel();
  await new Promise<void>((resolve) => realClock.after(1, resolve));
  assert(realClock.now() > before);
});

Deno.test("back-off doubles from one second up to its maximum", () => {
  assertEquals([1, 2, 3, 4, 7, 99].map((n) => backoffMs(n, 60_000)), [
    1_000,
    2_000,
    4_000,
    8_000,
    60_000,
    60_000,
  ]);
  assertEquals(backoffMs(1, 500), 500);
});

Deno.test("the real clock calls nothing back too early, whose time is checked again by then", async () => {
  const early: number[] = [];
  await Promise.all(Array.from({ length: 300 }, (_, number) => {
    const ms = 5 + number * 0.137;
    const due = realClock.now() + ms;
    return new Promise<void>((resolve) =>
      realClock.after(ms, () => {
        if (realClock.now() < due) early.push(due - realClock.now());
        resolve();
      })
    );
  }));
  assertEquals(early, []);
});
