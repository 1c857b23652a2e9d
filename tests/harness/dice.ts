/**
 * Seeded chance for property tests. A failure names its seed; `FAILOVER_TEST_SEED=<seed>` runs that one
 * alone.
 */

/** mulberry32: small, seeded, good enough to wander. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** A whole number from 0 up to, without, `below`. */
  roll(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.roll(from.length)]!;
  }
}

/** The seeds to run: 0 up to `count`, or the one that the environment names. */
export function seeds(count: number): readonly number[] {
  const only = Deno.env.get("FAILOVER_TEST_SEED");
  return only === undefined ? Array.from({ length: count }, (_, i) => i) : [Number(only)];
}
