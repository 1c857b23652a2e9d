/**
 * A limit that all threads of the process keep together: how many places are taken stands in memory that they
 * share. A thread that finds none free leaves its mark, and is woken when another one gives a place back.
 */
import type { Places } from "../base/places.ts";

/** A thread may have so many more than its share, and so much of all. */
const SLACK = 1;
const SLACK_SHARE = 0.05;

export type Cells = Int32Array<SharedArrayBuffer>;

/** How many are taken, and how many threads have left their mark. Then, for each thread: two numbers. */
const TAKEN = 0;
const MARKED = 1;
const OF_THREADS = 2;
/** Of one thread: how many it has taken, and 1 if it has left its mark. */
const OWN = 0;
const MARK = 1;
const EACH = 2;

export function newCells(threads: number): Cells {
  return new Int32Array(
    new SharedArrayBuffer((OF_THREADS + threads * EACH) * Int32Array.BYTES_PER_ELEMENT),
  );
}

export class SharedPlaces implements Places {
  readonly max: number;
  readonly #cells: Cells;
  readonly #own: number;
  readonly #wake: (thread: number) => void;

  /** The limit as `thread` sees it. `wake` makes another thread look for places again. */
  constructor(cells: Cells, max: number, thread: number, wake: (thread: number) => void) {
    this.max = max;
    this.#cells = cells;
    this.#own = OF_THREADS + thread * EACH;
    this.#wake = wake;
  }

  get taken(): number {
    return Atomics.load(this.#cells, TAKEN);
  }

  get isWanted(): boolean {
    return Atomics.load(this.#cells, MARKED) > Atomics.load(this.#cells, this.#own + MARK);
  }

  /** True if this thread has clearly more than its share of those that are taken. */
  get isAhead(): boolean {
    const threads = (this.#cells.length - OF_THREADS) / EACH;
    if (threads === 1) return false;
    const { taken } = this;
    return this.#cells[this.#own + OWN]! > taken / threads + SLACK + taken * SLACK_SHARE;
  }

  ask(): void {
    for (let at = OF_THREADS; at < this.#cells.length; at += EACH) {
      if (at !== this.#own) this.#wake((at - OF_THREADS) / EACH);
    }
  }

  /** If there is none, this thread is woken when one may have become free. */
  take(): boolean {
    if (this.#takeFree()) return true;
    if (Atomics.exchange(this.#cells, this.#own + MARK, 1) === 0) {
      Atomics.add(this.#cells, MARKED, 1);
    }
    // One that was given back before the mark stood there has woken nobody.
    return this.#takeFree();
  }

  add(): void {
    this.#cells[this.#own + OWN]!++;
    Atomics.add(this.#cells, TAKEN, 1);
  }

  give(): void {
    this.#cells[this.#own + OWN]!--;
    Atomics.sub(this.#cells, TAKEN, 1);
    if (Atomics.load(this.#cells, MARKED) > 0) wakeMarked(this.#cells, this.#wake);
  }

  #takeFree(): boolean {
    for (let taken = this.taken; taken < this.max;) {
      const seen = Atomics.compareExchange(this.#cells, TAKEN, taken, taken + 1);
      if (seen === taken) {
        this.#cells[this.#own + OWN]!++;
        return true;
      }
      taken = seen;
    }
    return false;
  }
}

function wakeMarked(cells: Cells, wake: (thread: number) => void): void {
  for (let at = OF_THREADS; at < cells.length; at += EACH) {
    if (Atomics.exchange(cells, at + MARK, 0) === 0) continue;
    Atomics.sub(cells, MARKED, 1);
    wake((at - OF_THREADS) / EACH);
  }
}

/** Gives back all places of a thread that does not run any more. */
export function giveAll(cells: Cells, thread: number, wake: (thread: number) => void): void {
  const at = OF_THREADS + thread * EACH;
  if (Atomics.exchange(cells, at + MARK, 0) !== 0) Atomics.sub(cells, MARKED, 1);
  Atomics.sub(cells, TAKEN, Atomics.exchange(cells, at + OWN, 0));
  wakeMarked(cells, wake);
}
