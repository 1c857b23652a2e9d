/** Attempts under way: the idle limit, drains, and what is counted. */
import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { Fault, FaultName } from "../base/fault.ts";
import { Deadlines, TICK_MS } from "../net/deadlines.ts";
import { type Drainable, Running } from "./running.ts";
import { DRAIN } from "../failover/testing/drain_order.ts";

class FakeAttempt implements Drainable {
  place = -1;
  count = 0;
  at = 0;
  bytes = 0;
  ended: FaultName | undefined;

  constructor(readonly running: Running, readonly upstream: string, readonly epoch: number) {
    running.add(this);
  }

  moved(): number {
    return this.bytes;
  }

  cut({ fault }: Fault): void {
    this.ended = fault;
    this.running.delete(this);
  }
}

function fixture(idleMs = 0) {
  const clock = new ManualClock();
  const running = new Running(clock, new Deadlines(clock), () => {}, idleMs);
  return { clock, running };
}

const ORDER = { ...DRAIN, throughEpoch: 2, reason: "connection refused" };

Deno.test("an attempt that transfers no bytes for too long is ended, and one that transfers some is not", async () => {
  const { clock, running } = fixture(1_000);
  const [still, moving] = [1, 1].map((epoch) => new FakeAttempt(running, "a", epoch));
  for (let at = 0; at < 1_000 + 2 * TICK_MS; at += TICK_MS) {
    moving!.bytes++;
    await clock.advance(TICK_MS);
  }
  assertEquals([still!.ended, moving!.ended, running.size], ["idleTimeout", undefined, 1]);
  running.delete(moving!);
  assertEquals(clock.pending, 0);
});

Deno.test("a drain ends the attempts of its upstream and epoch, and only these are counted", () => {
  const { running } = fixture();
  const old = new FakeAttempt(running, "a", 2);
  const others = [new FakeAttempt(running, "a", 3), new FakeAttempt(running, "b", 1)];
  assertEquals([running.count(ORDER), running.size], [1, 3]);
  running.drain(ORDER);
  assertEquals([old.ended, ...others.map(({ ended }) => ended)], [
    "upstreamDown",
    undefined,
    undefined,
  ]);
  assertEquals([running.cut, running.count(ORDER), running.size], [1, 0, 2]);
  for (const other of others) running.delete(other);
});

Deno.test("a drain that is revoked during its grace ends nothing", async () => {
  const { clock, running } = fixture();
  const attempt = new FakeAttempt(running, "a", 1);
  running.drain({ ...ORDER, graceMs: 500, revocable: true });
  running.spare("a");
  await clock.advance(1_000);
  assertEquals([attempt.ended, running.cut], [undefined, 0]);
  running.delete(attempt);
});
