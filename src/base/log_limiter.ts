/** Keeps a log readable when the same thing happens often: each key is allowed once in an interval. */

/** The number of keys that are remembered. With more, all are forgotten and may be logged again. */
const KEYS_MAX = 100;

/** The limits of one kind of line. At most 100 keys are remembered. */
export class LogLimiter {
  readonly #everyMs: number;
  readonly #publishedAt = new Map<string, number>();

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  /** True if `key` was not let through within the last `everyMs` milliseconds before `now`. */
  allow(key: string, now: number): boolean {
    if (now - (this.#publishedAt.get(key) ?? -Infinity) < this.#everyMs) return false;
    if (this.#publishedAt.size >= KEYS_MAX) this.#publishedAt.clear();
    this.#publishedAt.set(key, now);
    return true;
  }
}
