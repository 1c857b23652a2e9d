/**
 * A semaphore that all threads of the process share: how many permits are held is in memory that they share. A
 * thread that finds none free leaves its mark, and is woken when another thread releases one.
 */
import type { Semaphore } from "../base/semaphore.ts";

/** A thread is ahead if it has more than its share by this number and by this part of all that are held. */
const SLACK = 1;
const SLACK_SHARE = 0.05;

/**
 * The shared memory of one semaphore: how many permits are held in all and by each thread, and the marks of
 * threads that wait.
 */
export type SemaphoreCells = Int32Array<SharedArrayBuffer>;

/** How many permits are held, and how many threads have left their mark. Then two numbers for each thread. */
const HELD = 0;
const MARKED = 1;
const OF_THREADS = 2;
/** Of one thread: how many permits it holds, and 1 if it has left its mark. */
const OWN = 0;
const MARK = 1;
const EACH = 2;

/** Memory for a semaphore of which no permit is held. */
export function newSemaphoreCells(threads: number): SemaphoreCells {
  return new Int32Array(
    new SharedArrayBuffer((OF_THREADS + threads * EACH) * Int32Array.BYTES_PER_ELEMENT),
  );
}

/** The semaphore, in one thread. Its operations never wait. */
export class SharedSemaphore implements Semaphore {
  /** It may be changed, in every thread; permits that are held are not taken back. */
  max: number;
  readonly #cells: SemaphoreCells;
  readonly #own: number;
  readonly #wake: (thread: number) => void;

  /** The semaphore as `thread` sees it. `wake` makes another thread look for permits again. */
  constructor(cells: SemaphoreCells, max: number, thread: number, wake: (thread: number) => void) {
    this.max = max;
    this.#cells = cells;
    this.#own = OF_THREADS + thread * EACH;
    this.#wake = wake;
  }

  get acquired(): number {
    return Atomics.load(this.#cells, HELD);
  }

  get isWanted(): boolean {
    return Atomics.load(this.#cells, MARKED) > Atomics.load(this.#cells, this.#own + MARK);
  }

  /** True if this thread holds clearly more than its share of the permits that are held. */
  get isAhead(): boolean {
    const threads = (this.#cells.length - OF_THREADS) / EACH;
    if (threads === 1) return false;
    const { acquired } = this;
    return this.#cells[this.#own + OWN]! > acquired / threads + SLACK + acquired * SLACK_SHARE;
  }

  askForRelease(): void {
    for (let at = OF_THREADS; at < this.#cells.length; at += EACH) {
      if (at !== this.#own) this.#wake((at - OF_THREADS) / EACH);
    }
  }

  /** If none is free, this thread is woken when one may have become free. */
  tryAcquire(): boolean {
    if (this.#takeFree()) return true;
    if (Atomics.exchange(this.#cells, this.#own + MARK, 1) === 0) {
      Atomics.add(this.#cells, MARKED, 1);
    }
    // A release before the mark was set has woken nobody.
    return this.#takeFree();
  }

  acquireAnyway(): void {
    this.#cells[this.#own + OWN]!++;
    Atomics.add(this.#cells, HELD, 1);
  }

  release(): void {
    this.#cells[this.#own + OWN]!--;
    Atomics.sub(this.#cells, HELD, 1);
    if (Atomics.load(this.#cells, MARKED) > 0) wakeMarked(this.#cells, this.#wake);
  }

  #takeFree(): boolean {
    for (let acquired = this.acquired; acquired < this.max;) {
      const seen = Atomics.compareExchange(this.#cells, HELD, acquired, acquired + 1);
      if (seen === acquired) {
        this.#cells[this.#own + OWN]!++;
        return true;
      }
      acquired = seen;
    }
    return false;
  }
}

function wakeMarked(cells: SemaphoreCells, wake: (thread: number) => void): void {
  for (let at = OF_THREADS; at < cells.length; at += EACH) {
    if (Atomics.exchange(cells, at + MARK, 0) === 0) continue;
    Atomics.sub(cells, MARKED, 1);
    wake((at - OF_THREADS) / EACH);
  }
}

/** Releases all permits of a thread that does not run any more. */
export function releaseAll(
  cells: SemaphoreCells,
  thread: number,
  wake: (thread: number) => void,
): void {
  const at = OF_THREADS + thread * EACH;
  if (Atomics.exchange(cells, at + MARK, 0) !== 0) Atomics.sub(cells, MARKED, 1);
  Atomics.sub(cells, HELD, Atomics.exchange(cells, at + OWN, 0));
  wakeMarked(cells, wake);
}
