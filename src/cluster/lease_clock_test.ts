import { assert, assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { LeaseClock, marginMs } from "./lease_clock.ts";

Deno.test("LeaseClock ends a lease before etcd can, counted from the sending of its renewal", async () => {
  const clock = new ManualClock(1_000);
  const lease = new LeaseClock(clock);
  assert(!lease.isValid);
  const sent = lease.moment();
  await clock.advance(800);
  lease.renewed(sent, 10_000);
  assertEquals(lease.until, 1_000 + 10_000 - 3_000);
  assertEquals(lease.leftMs, 6_200);
  await clock.advance(6_199);
  assert(lease.isValid);
  await clock.advance(1);
  assert(!lease.isValid);
  assertEquals(lease.leftMs, 0);
});

Deno.test("marginMs() leaves programs the time to end, also with a short lease", () => {
  assertEquals([marginMs(5_000), marginMs(10_000), marginMs(60_000)], [2_500, 3_000, 18_000]);
});

Deno.test("LeaseClock doubts a lease when the clock on the wall jumps ahead, until it is renewed", () => {
  let wall = 0;
  const clock = { ...new ManualClock(), now: () => 0, wall: () => wall } as unknown as ManualClock;
  const lease = new LeaseClock(clock);
  lease.renewed(lease.moment(), 10_000);
  wall = -3_600_000;
  assert(!lease.isInDoubt, "back is harmless: the other clock counts");
  wall = 3_600_000;
  assert(lease.isInDoubt && lease.isValid);
  lease.renewed(lease.moment(), 10_000);
  assert(!lease.isInDoubt);
  lease.end();
  assert(!lease.isValid && !lease.isInDoubt);
});

Deno.test("LeaseClock doubts a lease whose renewal was sent before the machine was suspended", () => {
  let wall = 0;
  const clock = { ...new ManualClock(), now: () => 0, wall: () => wall } as unknown as ManualClock;
  const lease = new LeaseClock(clock);
  const sent = lease.moment();
  wall = 25_000;
  lease.renewed(sent, 10_000);
  assert(lease.isInDoubt);
  lease.renewed(lease.moment(), 10_000);
  assert(!lease.isInDoubt);
});
