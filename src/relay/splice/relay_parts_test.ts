import { assertEquals } from "@std/assert";
import { LocalSemaphore } from "../../base/semaphore.ts";
import { SETTINGS } from "../testing/relay_fixture.ts";
import { COUNT } from "./counters.ts";
import { counted, timesOf } from "./relay_parts.ts";

Deno.test("permits of a counted limit show in the counters", () => {
  const counters = new Float64Array(new SharedArrayBuffer(8 * 32));
  const semaphore = new LocalSemaphore(1);
  const held = counted(semaphore, counters);
  held.acquireAnyway();
  held.acquireAnyway();
  assertEquals([semaphore.acquired, counters[COUNT.held]], [2, 2]);
  held.release();
  assertEquals([semaphore.acquired, counters[COUNT.held]], [1, 1]);
});

Deno.test("a client waits at least as long as one attempt to connect, or not at all", () => {
  const times = timesOf({ ...SETTINGS, holdMs: 10, connectTimeoutMs: 50, idleTimeoutMs: 5 });
  assertEquals(times.sessions, { idleTimeoutMs: 5, waitMaxMs: 50 });
  assertEquals(times.dialing, { connectTimeoutMs: 50, userTimeoutMs: 50, isWaitless: false });
  assertEquals(timesOf({ ...SETTINGS, heldMax: 0 }).dialing.isWaitless, true);
});
