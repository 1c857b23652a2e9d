/**
 * A hierarchical timer wheel for thousands of deadlines: setting and clearing one changes a few pointers and
 * allocates nothing. Time is divided into ticks of 16 ms, and blocks of 512 ticks. A near deadline is in the
 * slot of its tick; a far one is in the slot of its block and moves to its tick's slot when the block begins.
 * So thousands of sessions that are idle for an hour do not wake the loop. A deadline expires up to one tick
 * late and never early.
 */

/** An object with one deadline. The wheel owns these fields while the deadline is set. */
export interface Timed {
  /** When it is due, in milliseconds on the loop's clock; `NEVER` if it is not set. */
  due: number;
  /** Neighbours in the slot: each slot is a circular list with a head. */
  next: Timed | undefined;
  previous: Timed | undefined;
  /** Called once, when it is due; the deadline is no longer set then. `now` is in milliseconds. */
  expire(now: number): void;
}

/** The time of a deadline that is not set. */
export const NEVER = Infinity;

/** A deadline that calls `run` when it is due, for a caller that has no object with these fields. */
export function timed(run: () => void): Timed {
  return { due: NEVER, next: undefined, previous: undefined, expire: run };
}

const TICK_MS = 16;
/** Ticks in a block, and slots for ticks: about 8 s. */
const TICKS = 512;
/** Slots for blocks: about 9 minutes. Farther deadlines are examined again once per lap. */
const BLOCKS = 64;

function slots(count: number): Timed[] {
  return Array.from({ length: count }, () => {
    const head: Timed = { due: NEVER, next: undefined, previous: undefined, expire() {} };
    head.next = head.previous = head;
    return head;
  });
}

function throwOn(error: unknown, _timed: Timed): void {
  throw error;
}

/** The deadlines of one loop. */
export class TimerWheel {
  readonly #ticks = slots(TICKS);
  readonly #blocks = slots(BLOCKS);
  /** The last tick that was processed. */
  #tick: number;
  #size = 0;

  readonly #onBug: (error: unknown, timed: Timed) => void;

  /** `now` is in milliseconds. `onBug` receives what an `expire` throws; without it, `advance` throws. */
  constructor(now: number, onBug = throwOn) {
    this.#tick = Math.floor(now / TICK_MS);
    this.#onBug = onBug;
  }

  /** How many deadlines are set. */
  get size(): number {
    return this.#size;
  }

  /** Sets or moves the deadline of `timed`, to the time `due` in milliseconds. */
  set(timed: Timed, due: number): void {
    this.clear(timed);
    const tick = Math.max(this.#tick + 1, Math.ceil(due / TICK_MS));
    const head = tick - this.#tick <= TICKS
      ? this.#ticks[tick % TICKS]!
      : this.#blocks[Math.floor(tick / TICKS) % BLOCKS]!;
    timed.due = due;
    timed.next = head;
    timed.previous = head.previous;
    head.previous!.next = timed;
    head.previous = timed;
    this.#size++;
  }

  /** Takes the deadline away, if there is one. */
  clear(timed: Timed): void {
    if (timed.next === undefined) return;
    timed.next.previous = timed.previous;
    timed.previous!.next = timed.next;
    timed.next = timed.previous = undefined;
    timed.due = NEVER;
    this.#size--;
  }

  /** Milliseconds until a deadline may expire, at most `maxMs`. */
  waitMs(now: number, maxMs: number): number {
    if (this.#size === 0) return maxMs;
    const last = Math.floor((now + maxMs) / TICK_MS);
    for (let tick = this.#tick + 1; tick <= last; tick++) {
      const head = this.#ticks[tick % TICKS]!;
      const isDue = head.next !== head || tick % TICKS === 0;
      if (isDue) return Math.max(0, Math.ceil(tick * TICK_MS - now));
    }
    return maxMs;
  }

  /** Expires all deadlines up to `now`. A deadline set meanwhile for `now` or earlier expires with the next tick. */
  advance(now: number): void {
    const until = Math.floor(now / TICK_MS);
    // After a long sleep, one lap over all slots is enough.
    const from = Math.max(this.#tick + 1, until - TICKS + 1);
    const firstBlock = Math.floor(this.#tick / TICKS) + 1;
    // The blocks that began before that lap: they are over, so all that was due in them is due now.
    const skipped = Math.ceil(from / TICKS) - 1;
    this.#tick = from - 1;
    for (let block = Math.max(firstBlock, skipped - BLOCKS + 1); block <= skipped; block++) {
      this.#empty(this.#blocks[block % BLOCKS]!, now);
    }
    for (let tick = from; tick <= until; tick++) {
      // A block is emptied when the tick before it is the last one processed: then its deadlines are all less than
      // a lap away, and find a place among the ticks.
      if (tick % TICKS === 0) this.#empty(this.#blocks[tick / TICKS % BLOCKS]!, now);
      this.#tick = tick;
      this.#empty(this.#ticks[tick % TICKS]!, now);
    }
  }

  /** Expires the due deadlines of a slot, and moves the others to their slots. */
  #empty(head: Timed, now: number): void {
    // `expire` may set and clear deadlines of this slot too, so only as many are taken as there were.
    let left = 0;
    for (let timed = head.next!; timed !== head; timed = timed.next!) left++;
    for (; left > 0 && head.next !== head; left--) {
      const timed = head.next!;
      const { due } = timed;
      this.clear(timed);
      if (due > now) {
        this.set(timed, due);
        continue;
      }
      try {
        timed.expire(now);
      } catch (error) {
        this.#onBug(error, timed);
      }
    }
  }
}
