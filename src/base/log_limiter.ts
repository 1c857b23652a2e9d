/** Keeps a log readable in a storm: the same thing may be said once in a while, not each time. */

/** Things that are told apart; beyond it all are forgotten, and may be said again. */
const KEYS_MAX = 100;

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
