import { assertEquals } from "@std/assert";
import { Loop } from "../linux/loop.ts";
import { FakeKernel } from "../linux/testing/fake_kernel.ts";
import { LoopClock } from "./loop_clock.ts";

function clockOn(kernel: FakeKernel) {
  const loop = new Loop(kernel);
  return { loop, clock: new LoopClock({ loop, again: (tick) => loop.again(tick) }) };
}

Deno.test("a timer is never early and at most a tick of the wheel late, also if it is set in a long tick", () => {
  const kernel = new FakeKernel();
  const { loop, clock } = clockOn(kernel);
  kernel.time += 7; // this tick has lasted for so long
  let at: number | undefined;
  const due = clock.now() + 100;
  clock.after(100, () => at = kernel.time);
  for (; at === undefined && kernel.time < due + 200; kernel.time++) loop.tick();
  assertEquals(at! >= due && at! <= due + 16, true, `due at ${due}, was at ${at}`);
});

Deno.test("a timer that was cancelled is not called, nor is one that is due at once", () => {
  const kernel = new FakeKernel();
  const { loop, clock } = clockOn(kernel);
  const called: string[] = [];
  clock.after(20, () => called.push("never"))();
  clock.after(0, () => called.push("never"))();
  clock.after(0, () => called.push("at once"));
  clock.after(Infinity, () => called.push("never"));
  loop.tick();
  assertEquals(called, ["at once"]);
  kernel.time += 1_000;
  loop.tick();
  assertEquals(called, ["at once"]);
});

Deno.test("recent is when the tick began while one runs, and the time itself between two", () => {
  const kernel = new FakeKernel();
  const { loop, clock } = clockOn(kernel);
  const seen: number[] = [];
  const began = kernel.time;
  clock.after(0, () => {
    kernel.time += 5; // earlier work of this tick
    seen.push(clock.recent() - began, clock.now() - began);
  });
  loop.tick();
  kernel.time += 300; // the loop was away
  seen.push(clock.recent() - began);
  assertEquals(seen, [0, 5, 305]);
});
