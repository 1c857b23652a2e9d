/** The time of the simulations of one machine: it jumps from timer to timer, and nothing waits for real. */

interface Timer {
  readonly at: number;
  /** Timers of the same moment run in the order in which they were set. */
  readonly order: number;
  readonly run: () => void;
}

/** The most timers at one moment: a schedule whose time does not advance fails instead of hanging. */
const TIMERS_MAX = 10_000;

/** A clock that begins at 0, and its timers. */
export class VirtualTime {
  /** In milliseconds. */
  now = 0;
  readonly #timers: Timer[] = [];
  #count = 0;

  /** Calls `run` in `delayMs` milliseconds. */
  after(delayMs: number, run: () => void): void {
    this.#timers.push({ at: this.now + delayMs, order: this.#count++, run });
  }

  /** Runs the timers one after another until `endMs`, and throws if the time does not advance any more. */
  runUntil(endMs: number): void {
    let atThisMoment = 0;
    while (this.now < endMs) {
      const next = this.#takeNext();
      if (next === undefined) break;
      atThisMoment = next.at > this.now ? 0 : atThisMoment + 1;
      if (atThisMoment > TIMERS_MAX) throw new Error(`the time does not advance at ${this.now} ms`);
      this.now = Math.max(this.now, next.at);
      next.run();
    }
  }

  #takeNext(): Timer | undefined {
    let best = 0;
    this.#timers.forEach((a, i) => {
      const b = this.#timers[best]!;
      if (a.at < b.at || (a.at === b.at && a.order < b.order)) best = i;
    });
    return this.#timers.splice(best, 1)[0];
  }
}
