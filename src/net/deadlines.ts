/**
 * One coarse clock for a whole set of connections. A deadline is a number that its owner overwrites, and a
 * single timer examines all of them every 250 ms. So a request costs no timer, and a deadline that has passed
 * is noticed up to two ticks late, never early. Time in which this process stood still (a busy machine, a
 * stopped virtual machine) does not count: peers may have done in it what they had to, and it is still unread.
 */
import type { Clock } from "../base/clock.ts";
import { type Member, Slab } from "../base/slab.ts";

/** An object with deadlines, such as a connection. */
export interface CoarseTimed extends Member {
  /** Called on each tick with the coarse time, in milliseconds; ends what is overdue. Must not throw. */
  tick(now: number): void;
}

/** The interval between two ticks, in milliseconds: the precision of every deadline. */
export const TICK_MS = 250;
/** The most that the coarse time advances in one tick. */
const ADVANCE_MS_MAX = 1.5 * TICK_MS;

/** The clock and the timer of one set. Times are in milliseconds. */
export class Deadlines {
  /** For the rare wait that needs an exact timer. */
  readonly clock: Clock;
  readonly #timed = new Slab<CoarseTimed>();
  #cancel: (() => void) | undefined;
  /** The coarse time, from which `in` counts. */
  #now = 0;
  /** The exact time of the last tick. */
  #tickedAt = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** The time `ms` milliseconds from now, rounded up; 0 means never. Makes no system call. */
  in(ms: number): number {
    return ms === 0 ? Infinity : this.#now + ms + TICK_MS;
  }

  /** The coarse time, in milliseconds. */
  get now(): number {
    return this.#now;
  }

  /** Calls `timed.tick` until `delete`. The timer runs only while the set is not empty. */
  add(timed: CoarseTimed): void {
    this.#timed.add(timed);
    if (this.#cancel === undefined) {
      this.#now = this.#tickedAt = this.clock.now();
      this.#arm();
    }
  }

  /** Ends the calls. Harmless for an object that was not added. */
  delete(timed: CoarseTimed): void {
    if (!this.#timed.delete(timed) || this.#timed.size > 0) return;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** A bug in one member must not stop the others, or the timer. */
  #tick(timed: CoarseTimed): void {
    try {
      timed.tick(this.#now);
    } catch (error) {
      // The handler of uncaught errors logs it.
      reportError(error);
    }
  }

  #arm(): void {
    this.#cancel = this.clock.after(TICK_MS, () => {
      this.#cancel = undefined;
      const now = this.clock.now();
      this.#now += Math.min(now - this.#tickedAt, ADVANCE_MS_MAX);
      this.#tickedAt = now;
      for (const timed of this.#timed.all()) this.#tick(timed);
      // Members that left and came back during the tick may have set the timer already.
      if (this.#timed.size > 0 && this.#cancel === undefined) this.#arm();
    });
  }
}
