import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { WatchKeeper } from "./watch_keeper.ts";

Deno.test("WatchKeeper makes the watch anew after it ended, failed, was old, or is not trusted", async () => {
  const clock = new ManualClock();
  const watches: PromiseWithResolvers<void>[] = [];
  let changes = 0;
  const watch = (onChange: () => void, signal: AbortSignal) => {
    const ended = Promise.withResolvers<void>();
    watches.push(ended);
    signal.addEventListener("abort", () => ended.resolve());
    onChange();
    return ended.promise;
  };
  const keeper = new WatchKeeper({ watch }, clock, () => changes++);
  const later = async () => {
    await clock.advance(0);
    await clock.advance(1_000);
  };
  assertEquals(changes, 1);
  watches[0]!.resolve();
  await later();
  assertEquals(changes, 2);
  watches[1]!.reject(new Error("no answer"));
  await later();
  assertEquals(changes, 3);
  keeper.renew();
  await later();
  assertEquals(changes, 4);
  await clock.advance(31_000);
  await later();
  assertEquals(changes, 5);
  await keeper[Symbol.asyncDispose]();
  assertEquals([watches.length, clock.pending], [5, 0]);
});
