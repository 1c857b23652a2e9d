import { assertEquals } from "@std/assert";
import { LocalSemaphore } from "../../base/semaphore.ts";
import type { Event } from "../../events/events.ts";
import { Loop } from "../../linux/loop.ts";
import { FakeKernel } from "../../linux/testing/fake_kernel.ts";
import { newServiceMemory } from "../../threads/memory.ts";
import { SETTINGS } from "../testing/relay_fixture.ts";
import { UNCOUNTED } from "./clients.ts";
import { Permits } from "./permits.ts";

function permitsOf(connectionsMax: number, heldMax: number) {
  const { counters: [counters] } = newServiceMemory(1, []);
  const connections = new LocalSemaphore(connectionsMax);
  const held = new LocalSemaphore(heldMax);
  const events: Event[] = [];
  const loop = new Loop(new FakeKernel({ scratchBytes: 64, bufferBytes: 64 }));
  const settings = { ...SETTINGS, connectionsMax, heldMax };
  const parts = { loop, counters: counters!, connections, held };
  const permits = new Permits(parts, settings, (event) => events.push(event));
  return {
    permits,
    connections,
    held,
    limits: () => events.map((event) => "limit" in event && event.limit),
  };
}

Deno.test("a client takes a permit and one to wait, and each limit that keeps one out is reported", () => {
  const { permits, connections, held, limits } = permitsOf(2, 1);
  assertEquals([permits.acquire(), connections.acquired, held.acquired], [true, 1, 1]);
  assertEquals([permits.acquire(), connections.acquired], [false, 1]);
  permits.releaseWait();
  assertEquals([permits.acquire(), connections.acquired], [true, 2]);
  assertEquals([permits.acquire(), limits()], [false, ["held", "connections"]]);
  permits.giveBack();
  permits.release();
  assertEquals([connections.acquired, held.acquired], [0, 0]);
  // A session of another process exists already.
  for (let count = 0; count < 3; count++) permits.acquireAnyway();
  assertEquals([connections.acquired, permits.acquire()], [3, false]);
});

Deno.test("where no client may wait no permit to wait is taken, and without a limit none is counted", () => {
  const { permits, held } = permitsOf(2, 0);
  assertEquals([permits.acquire(), held.acquired], [true, 0]);
  permits.acquireWait();
  permits.releaseWait();
  assertEquals([held.acquired, permits.placeFor(5, undefined)], [0, UNCOUNTED]);
  permits.leave(UNCOUNTED);
});
