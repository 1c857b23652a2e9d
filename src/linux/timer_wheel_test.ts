import { assert, assertEquals } from "@std/assert";
import { Dice, seedOr } from "../base/testing/dice.ts";
import { NEVER, type Timed, TimerWheel } from "./timer_wheel.ts";

class Alarm implements Timed {
  due = NEVER;
  next: Timed | undefined;
  previous: Timed | undefined;
  readonly rang: number[] = [];
  constructor(readonly then: (now: number) => void = () => {}) {}
  expire(now: number): void {
    this.rang.push(now);
    this.then(now);
  }
}

Deno.test("a deadline is met once, not early and at most a tick late, however far off it is", () => {
  const dice = new Dice(seedOr(7));
  const timerWheel = new TimerWheel(0);
  const wanted = Array.from({ length: 500 }, () => dice.under(dice.pick([20_000, 2_000_000])));
  const alarms = wanted.map((due) => {
    const alarm = new Alarm();
    timerWheel.set(alarm, due);
    return alarm;
  });
  for (let now = 0; now <= 2_000_100; now += 1 + dice.under(16)) timerWheel.advance(now);
  for (const [place, alarm] of alarms.entries()) {
    assertEquals(alarm.rang.length, 1);
    const late = alarm.rang[0]! - wanted[place]!;
    assert(late >= 0 && late < 48, `${late} ms late`); // a tick of 16 ms and our own steps
  }
  assertEquals(timerWheel.size, 0);
});

Deno.test("a deadline that was cleared or moved is not met at its old time", () => {
  const timerWheel = new TimerWheel(0);
  const [cleared, moved] = [new Alarm(), new Alarm()];
  timerWheel.set(cleared, 100);
  timerWheel.set(moved, 100);
  timerWheel.clear(cleared);
  timerWheel.set(moved, 20_000);
  timerWheel.advance(10_000);
  assertEquals([cleared.rang, moved.rang, timerWheel.size], [[], [], 1]);
  timerWheel.advance(20_016);
  assertEquals(moved.rang.length, 1);
});

Deno.test("an expiry may set itself again and clear its neighbours", () => {
  const timerWheel = new TimerWheel(0);
  const other = new Alarm();
  const again: Alarm = new Alarm((now) => {
    timerWheel.clear(other);
    if (again.rang.length < 3) timerWheel.set(again, now);
  });
  timerWheel.set(again, 100);
  timerWheel.set(other, 100);
  for (let now = 0; now < 500; now += 10) timerWheel.advance(now);
  assertEquals([again.rang.length, other.rang.length], [3, 0]);
});

Deno.test("the wait is no longer than to the next deadline and no shorter than need be", () => {
  const timerWheel = new TimerWheel(0);
  assertEquals(timerWheel.waitMs(0, 500), 500);
  timerWheel.set(new Alarm(), 100);
  const wait = timerWheel.waitMs(0, 500);
  assert(wait >= 100 && wait <= 116, `${wait} ms`);
  assertEquals(timerWheel.waitMs(0, 50), 50);
  timerWheel.advance(400);
  assertEquals(timerWheel.waitMs(400, 500), 500);
});

Deno.test("thousands of distant deadlines cause no call before their time", () => {
  const timerWheel = new TimerWheel(0);
  for (let i = 0; i < 1_000; i++) timerWheel.set(new Alarm(), 3_600_000 + i * 10);
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
  const alarms = Array.from({ length: 100 }, () => new Alarm());
  alarms.forEach((alarm, place) => timerWheel.set(alarm, place * 9_000));
  timerWheel.advance(10_000_000);
  assert(alarms.every(({ rang }) => rang.length === 1));
});
