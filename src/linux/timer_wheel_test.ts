import { assert, assertEquals } from "@std/assert";
import { Dice, seedOr } from "../base/testing/dice.ts";
import { NEVER, type Timed, TimerWheel } from "./timer_wheel.ts";

class FakeTimer implements Timed {
  due = NEVER;
  next: Timed | undefined;
  previous: Timed | undefined;
  readonly expiredAt: number[] = [];
  constructor(readonly onExpire: (now: number) => void = () => {}) {}
  expire(now: number): void {
    this.expiredAt.push(now);
    this.onExpire(now);
  }
}

Deno.test("a deadline expires once, not early and at most a tick late, however far off it is", () => {
  const dice = new Dice(seedOr(7));
  const timerWheel = new TimerWheel(0);
  const wanted = Array.from({ length: 500 }, () => dice.under(dice.pick([20_000, 2_000_000])));
  const timers = wanted.map((due) => {
    const timer = new FakeTimer();
    timerWheel.set(timer, due);
    return timer;
  });
  for (let now = 0; now <= 2_000_100; now += 1 + dice.under(16)) timerWheel.advance(now);
  for (const [place, timer] of timers.entries()) {
    assertEquals(timer.expiredAt.length, 1);
    const late = timer.expiredAt[0]! - wanted[place]!;
    assert(late >= 0 && late < 48, `${late} ms late`); // a tick of 16 ms and our own steps
  }
  assertEquals(timerWheel.size, 0);
});

Deno.test("a deadline expires in time after sleeps as long as the wheel allows, in whatever block it is", () => {
  const dice = new Dice(seedOr(7));
  for (const sleepMaxMs of [16, 500, 8_000, 100_000]) {
    const timerWheel = new TimerWheel(0);
    let now = 0;
    for (let round = 0; round < 300; round++) {
      const due = now + dice.under(dice.pick([9_000, 20_000]));
      const timer = new FakeTimer();
      timerWheel.set(timer, due);
      while (timer.expiredAt.length === 0 && now < due + 1_000) {
        now += Math.max(1, timerWheel.waitMs(now, sleepMaxMs));
        timerWheel.advance(now);
      }
      const late = timer.expiredAt[0]! - due;
      assert(late >= 0 && late <= 17, `${late} ms late with sleeps of ${sleepMaxMs} ms`);
    }
  }
});

Deno.test("a deadline that was cleared or moved does not expire at its old time", () => {
  const timerWheel = new TimerWheel(0);
  const [cleared, moved] = [new FakeTimer(), new FakeTimer()];
  timerWheel.set(cleared, 100);
  timerWheel.set(moved, 100);
  timerWheel.clear(cleared);
  timerWheel.set(moved, 20_000);
  timerWheel.advance(10_000);
  assertEquals([cleared.expiredAt, moved.expiredAt, timerWheel.size], [[], [], 1]);
  timerWheel.advance(20_016);
  assertEquals(moved.expiredAt.length, 1);
});

Deno.test("an expiry may set itself again and clear its neighbours", () => {
  const timerWheel = new TimerWheel(0);
  const other = new FakeTimer();
  const again: FakeTimer = new FakeTimer((now) => {
    timerWheel.clear(other);
    if (again.expiredAt.length < 3) timerWheel.set(again, now);
  });
  timerWheel.set(again, 100);
  timerWheel.set(other, 100);
  for (let now = 0; now < 500; now += 10) timerWheel.advance(now);
  assertEquals([again.expiredAt.length, other.expiredAt.length], [3, 0]);
});

Deno.test("the wait lasts until the next deadline, and at most a tick longer", () => {
  const timerWheel = new TimerWheel(0);
  assertEquals(timerWheel.waitMs(0, 500), 500);
  timerWheel.set(new FakeTimer(), 100);
  const wait = timerWheel.waitMs(0, 500);
  assert(wait >= 100 && wait <= 116, `${wait} ms`);
  assertEquals(timerWheel.waitMs(0, 50), 50);
  timerWheel.advance(400);
  assertEquals(timerWheel.waitMs(400, 500), 500);
});

Deno.test("thousands of distant deadlines cause no call before their time", () => {
  const timerWheel = new TimerWheel(0);
  for (let i = 0; i < 1_000; i++) timerWheel.set(new FakeTimer(), 3_600_000 + i * 10);
  let wakes = 0;
  for (let now = 0; now < 60_000; wakes++) {
    now += Math.max(1, timerWheel.waitMs(now, 500));
    timerWheel.advance(now);
  }
  assert(wakes < 150, `${wakes} wakes in a minute`); // two a second, and one per block
  assertEquals(timerWheel.size, 1_000);
});

Deno.test("a long sleep misses no deadline", () => {
  const timerWheel = new TimerWheel(0);
  const timers = Array.from({ length: 100 }, () => new FakeTimer());
  timers.forEach((timer, place) => timerWheel.set(timer, place * 9_000));
  timerWheel.advance(10_000_000);
  assert(timers.every(({ expiredAt }) => expiredAt.length === 1));
});
