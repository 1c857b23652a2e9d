import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { ContinueWait } from "./continue_wait.ts";

Deno.test("a body waits until it may be sent, for one second at most", async () => {
  const clock = new ManualClock();
  const wait = new ContinueWait();
  for (const mayGoOn of [true, false]) {
    const waiting = wait.begin(clock);
    wait.end(mayGoOn);
    wait.end(!mayGoOn);
    assertEquals(await waiting, mayGoOn);
  }
  const waiting = wait.begin(clock);
  await clock.advance(1_000);
  assertEquals(await waiting, true);
  assertEquals(clock.pending, 0);
});
