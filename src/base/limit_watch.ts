/** Reports that a limit is reached: once, and not again for each client that meets it. */

/** The limit is no longer reached when a tenth of it is free again. */
const LEFT_SHARE = 0.9;
/** A limit that is reached again within this time, in milliseconds, is not published again. */
const PAUSE_MS = 10_000;

/**
 * The watch on one limit. It publishes again only after a tenth of the limit was free, and at most once in 10
 * s.
 */
export class LimitWatch {
  #max: number;
  readonly #publish: (max: number) => void;
  #isReached = false;
  #publishedAt = -Infinity;

  constructor(max: number, publish: (max: number) => void) {
    this.#max = max;
    this.#publish = publish;
  }

  /** Changes the limit; whether it is reached shows with the next count. */
  setMax(max: number): void {
    if (max > this.#max) this.#isReached = false;
    this.#max = max;
  }

  /** Must be called when the number has fallen, unless `isReached` is called before each addition. */
  noteCount(count: number): void {
    if (count <= Math.floor(this.#max * LEFT_SHARE)) this.#isReached = false;
  }

  /** True if `count` has reached the limit; publishes that if it is news. `now` is in milliseconds. */
  isReached(count: number, now: number): boolean {
    if (count < this.#max) {
      this.noteCount(count);
      return false;
    }
    const isNews = !this.#isReached && now - this.#publishedAt >= PAUSE_MS;
    this.#isReached = true;
    if (isNews) {
      this.#publishedAt = now;
      this.#publish(this.#max);
    }
    return true;
  }
}
