/** Tells people when a limit is reached: once, not at each client that finds it so. */

/** It counts as left when a tenth of it is free again. */
const LEFT_SHARE = 0.9;
/** A limit that is reached again within so long is not published again. */
const PAUSE_MS = 10_000;

export class LimitWatch {
  readonly #max: number;
  readonly #publish: (max: number) => void;
  #isReached = false;
  #publishedAt = -Infinity;

  constructor(max: number, publish: (max: number) => void) {
    this.#max = max;
    this.#publish = publish;
  }

  /** To be called when there are fewer, where `isReached` is not asked before each. */
  noteCount(count: number): void {
    if (count <= Math.floor(this.#max * LEFT_SHARE)) this.#isReached = false;
  }

  /** True while there are as many as there may be. `now` in milliseconds. */
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
