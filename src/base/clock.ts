/**
 * The only place that reads the time. All other code gets a `Clock` as an argument. Tests pass a `ManualClock`
 * and move it, so that no test ever sleeps.
 */

/** Tells the time, and calls back later. */
export interface Clock {
  /** Milliseconds since an arbitrary moment, which never go back. For measuring and for deadlines. */
  now(): number;
  /**
   * As `now`, or when the present turn of the event loop began, a millisecond or two ago: for what happens several
   * times in a request and need not be more exact. Not for deadlines.
   */
  recent(): number;
  /** Milliseconds since 1970, for people. May jump. */
  wall(): number;
  /** Runs `callback` once, `ms` from now and never earlier; the returned function cancels that. */
  after(ms: number, callback: () => void): () => void;
}

/** Above this a JavaScript timer fires at once. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** The system's clock and JavaScript's timers. */
export const realClock: Clock = {
  now: () => performance.now(),
  recent: () => performance.now(),
  wall: () => Date.now(),
  after(ms, callback) {
    // Deno cuts the fraction off. Whoever checks then what was to be over would find it not yet over.
    const id = setTimeout(callback, Math.min(Math.max(0, Math.ceil(ms)), TIMER_MAX_MS));
    return () => clearTimeout(id);
  },
};

interface Alarm {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #now: number;
  #order = 0;
  readonly #alarms = new Set<Alarm>();
  readonly #wallOffset: number;

  constructor(start = 0, wallStart = 1_750_000_000_000) {
    this.#now = start;
    this.#wallOffset = wallStart - start;
  }

  now(): number {
    return this.#now;
  }

  recent(): number {
    return this.#now;
  }

  wall(): number {
    return this.#wallOffset + this.#now;
  }

  after(ms: number, callback: () => void): () => void {
    const alarm = { at: this.#now + Math.max(0, ms), order: this.#order++, callback };
    this.#alarms.add(alarm);
    return () => this.#alarms.delete(alarm);
  }

  /** How many callbacks are waiting: 0 shows that a part cleaned up after itself. */
  get pending(): number {
    return this.#alarms.size;
  }

  /** When the next callback is due, if one is. */
  get nextAt(): number | undefined {
    return this.#next()?.at;
  }

  /** Moves time forward by `ms` milliseconds. Callbacks that become due run in order, with microtasks in between. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (let next = this.#next(); next !== undefined && next.at <= end; next = this.#next()) {
      this.#now = next.at;
      this.#alarms.delete(next);
      next.callback();
      await settled();
    }
    this.#now = end;
    await settled();
  }

  #next(): Alarm | undefined {
    let first: Alarm | undefined;
    for (const alarm of this.#alarms) {
      const sooner = first === undefined || alarm.at < first.at ||
        (alarm.at === first.at && alarm.order < first.order);
      if (sooner) first = alarm;
    }
    return first;
  }
}

/** Lets every promise that can settle without the outside world do so. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

/** Resolves after `ms` milliseconds; rejects with the signal's reason if the signal is aborted before. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const giveUp = () => {
      cancel();
      reject(signal!.reason);
    };
    const cancel = clock.after(ms, () => {
      signal?.removeEventListener("abort", giveUp);
      resolve();
    });
    signal?.addEventListener("abort", giveUp, { once: true });
  });
}
