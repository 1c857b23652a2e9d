import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { keepPoolThread } from "./pool_thread.ts";

Deno.test("a thread of the pool is used before it has been idle for ten seconds, until disposal", async () => {
  const clock = new ManualClock();
  let uses = 0;
  const keeper = keepPoolThread(clock, () => {
    uses++;
    return Promise.reject(new Error("not permitted"));
  });
  assertEquals(uses, 1);
  await clock.advance(9_000);
  assertEquals(uses, 3);
  keeper[Symbol.dispose]();
  assertEquals(clock.pending, 0);
});
