import { assertEquals, assertRejects } from "@std/assert";
import { ManualClock } from "./clock.ts";
import {
  endAfter,
  type EndCause,
  inTime,
  settlesWithin,
  whenAborted,
  withDeadline,
} from "./deadline.ts";

Deno.test("a wait ends once when its time is over, and leaves no timer", async () => {
  const clock = new ManualClock();
  const abort = new AbortController();
  const ends: EndCause[] = [];
  endAfter(abort.signal, 100, clock, (cause) => ends.push(cause));
  await clock.advance(99);
  assertEquals(ends, []);
  await clock.advance(1);
  abort.abort();
  assertEquals([ends, clock.pending], [["late"], 0]);
});

Deno.test("a wait ends once when its signal aborts, and leaves no timer", async () => {
  const clock = new ManualClock();
  const abort = new AbortController();
  const ends: EndCause[] = [];
  endAfter(abort.signal, 100, clock, (cause) => ends.push(cause));
  abort.abort();
  assertEquals([ends, clock.pending], [["aborted"], 0]);
  await clock.advance(1_000);
  assertEquals(ends, ["aborted"]);
});

Deno.test("a wait whose signal has aborted already ends at once and sets no timer", () => {
  const clock = new ManualClock();
  const ends: EndCause[] = [];
  endAfter(AbortSignal.abort(), 100, clock, (cause) => ends.push(cause))();
  assertEquals([ends, clock.pending], [["aborted"], 0]);
});

Deno.test("a wait that was cancelled is ended by neither its time nor its signal", async () => {
  const clock = new ManualClock();
  const abort = new AbortController();
  const ends: EndCause[] = [];
  const cancel = endAfter(abort.signal, 100, clock, (cause) => ends.push(cause));
  cancel();
  cancel();
  abort.abort();
  await clock.advance(1_000);
  assertEquals([ends, clock.pending], [[], 0]);
});

Deno.test("a deadline's signal shows whether the time has passed", async () => {
  const clock = new ManualClock();
  const abort = new AbortController();
  using late = withDeadline(abort.signal, 50, clock);
  using cancelled = withDeadline(abort.signal, 100, clock);
  await clock.advance(50);
  abort.abort();
  assertEquals([late.signal.aborted, late.isLate], [true, true]);
  assertEquals([cancelled.signal.aborted, cancelled.isLate], [true, false]);
});

Deno.test("a deadline that was disposed of leaves no timer", () => {
  const clock = new ManualClock();
  const deadline = withDeadline(new AbortController().signal, 50, clock);
  deadline[Symbol.dispose]();
  assertEquals([deadline.signal.aborted, clock.pending], [false, 0]);
});

Deno.test("work that takes too long rejects with the given error, other work keeps its own result", async () => {
  const clock = new ManualClock();
  const onLate = () => new Error("too slow");
  const slow = inTime(new Promise<never>(() => {}), 10, clock, onLate);
  const rejected = assertRejects(() => slow, Error, "too slow");
  await clock.advance(10);
  await rejected;
  assertEquals(await inTime(Promise.resolve(7), 10, clock, onLate), 7);
  const broken = Promise.reject(new Error("broken"));
  await assertRejects(() => inTime(broken, 10, clock, onLate), Error, "broken");
  assertEquals(clock.pending, 0);
});

Deno.test("the abort of a signal can be awaited, also after it has happened", async () => {
  const abort = new AbortController();
  const waiting = whenAborted(abort.signal);
  abort.abort();
  await waiting;
  await whenAborted(abort.signal);
});

Deno.test("work that settles before the deadline is distinguished from work that does not, and no timer is left", async () => {
  const clock = new ManualClock();
  const work = Promise.withResolvers<void>();
  const slow = settlesWithin(work.promise, 10, clock);
  await clock.advance(10);
  assertEquals(await slow, false);
  assertEquals(await settlesWithin(Promise.resolve(), 10, clock), true);
  assertEquals(await settlesWithin(Promise.reject(new Error("broken")), 10, clock), true);
  work.resolve();
  assertEquals(clock.pending, 0);
});
