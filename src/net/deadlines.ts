/**
 * One coarse clock for a whole set of connections. A deadline is a number that its owner overwrites;
 * a single timer looks at all of them now and then. So a request costs no timer, and what is late is
 * found up to two ticks after its time, never before it.
 */
import type { Clock } from "../base/clock.ts";
import { type Member, Slab } from "../base/slab.ts";

/** Something with deadlines of its own. */
export interface Timed extends Member {
  /** Called each tick with the coarse time; ends what is overdue. Must not throw. */
  tick(now: number): void;
}

/** How often the set is looked at; every deadline is this much coarse. */
export const TICK_MS = 250;

export class Deadlines {
  /** For the rare wait that needs a timer of its own. */
  readonly clock: Clock;
  readonly #timed = new Slab<Timed>();
  #cancel: (() => void) | undefined;
  /** The clock's time at the last tick, which is what `in` counts from. */
  #now = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** The moment `ms` from now, rounded up; 0 means never. No system call is made. */
  in(ms: number): number {
    return ms === 0 ? Infinity : this.#now + ms + TICK_MS;
  }

  /** The time as of the last tick. */
  get now(): number {
    return this.#now;
  }

  /** Looks after `timed` until `delete`. The timer runs only while there is someone to look after. */
  add(timed: Timed): void {
    this.#timed.add(timed);
    if (this.#cancel === undefined) {
      this.#now = this.clock.now();
      this.#arm();
    }
  }

  delete(timed: Timed): void {
    if (!this.#timed.delete(timed) || this.#timed.size > 0) return;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** A mistake in one of them must not keep the others, nor the clock, from going on. */
  #tick(timed: Timed): void {
    try {
      timed.tick(this.#now);
    } catch (error) {
      // Whoever reports what nobody caught tells it.
      reportError(error);
    }
  }

  #arm(): void {
    this.#cancel = this.clock.after(TICK_MS, () => {
      this.#cancel = undefined;
      this.#now = this.clock.now();
      for (const timed of this.#timed.all()) this.#tick(timed);
      // Those who left and came during the tick may have set the timer already.
      if (this.#timed.size > 0 && this.#cancel === undefined) this.#arm();
    });
  }
}
