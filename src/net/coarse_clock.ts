/**
 * A clock for many checks. Its timers are up to 16 ms late, and those of the same 16 ms share one timer of the
 * system, so that the process wakes once for all of them: two hundred services make four hundred timers.
 */
import type { Clock } from "../base/clock.ts";
import { timed, TimerWheel } from "../linux/timer_wheel.ts";

/** Later deadlines are brought forward to this one, about three years, because the wheel counts in numbers. */
const FAR_MS = 1e11;
/** The longest sleep, in milliseconds. It bounds how far the search for the next deadline goes. */
const SLEEP_MAX_MS = 8_000;

/** The clock; `now` and `wall` are exact. Timers are late, never early. */
export class CoarseClock implements Clock {
  readonly #clock: Clock;
  readonly #wheel: TimerWheel;
  /** The time of the next wake-up, and the function that cancels it. */
  #wakesAt = Infinity;
  #cancelWake: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#wheel = new TimerWheel(clock.now());
  }

  now(): number {
    return this.#clock.now();
  }

  recent(): number {
    return this.#clock.recent();
  }

  wall(): number {
    return this.#clock.wall();
  }

  after(ms: number, callback: () => void): () => void {
    const now = this.now();
    // Without a deadline it does not wake, and the wheel stands still.
    if (this.#wheel.size === 0) this.#wheel.advance(now);
    const due = now + Math.min(Math.max(0, ms), FAR_MS);
    const timer = timed(() => guarded(callback));
    this.#wheel.set(timer, due);
    if (due < this.#wakesAt) this.#wakeInTime(now);
    return () => {
      this.#wheel.clear(timer);
      if (this.#wheel.size === 0) this.#callOff(); // a timer keeps the process alive
    };
  }

  #wakeInTime(now: number): void {
    this.#callOff();
    const sleepMs = this.#wheel.waitMs(now, SLEEP_MAX_MS);
    this.#wakesAt = now + sleepMs;
    this.#cancelWake = this.#clock.after(sleepMs, () => this.#wake());
  }

  #wake(): void {
    this.#wakesAt = -Infinity; // what is set meanwhile is considered below
    this.#wheel.advance(this.now());
    this.#wakesAt = Infinity;
    if (this.#wheel.size > 0) this.#wakeInTime(this.now());
  }

  #callOff(): void {
    this.#cancelWake();
    this.#cancelWake = () => {};
    this.#wakesAt = Infinity;
  }
}

/** A bug in one callback must not keep the others from being called. */
function guarded(callback: () => void): void {
  try {
    callback();
  } catch (error) {
    // The handler of uncaught errors logs it.
    reportError(error);
  }
}
