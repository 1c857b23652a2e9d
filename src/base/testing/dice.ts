/**
 * Random numbers that can be repeated, and the seeds of all random tests. A test that fails names its
 * seed. `FAILOVER_SEED=N` in the environment repeats that case: tests that go through many seeds run
 * this one alone, and tests that draw all their cases from one seed use this one.
 */

/** A generator that gives the same numbers for the same seed (mulberry32, Tommy Ettinger). */
export class Dice {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 to `below - 1`. */
  under(below: number): number {
    return this.#next() % below;
  }

  /** A number from 0 to 1, without 1. */
  fraction(): number {
    return this.#next() / 2 ** 32;
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.under(times) === 0;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.under(choices.length)]!;
  }

  /** 32 random bits as a number that is not negative. */
  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }
}

/** The seed in the environment. If there is one, a test must not expect to see all of its cases. */
export const chosenSeed: number | undefined = readSeed("FAILOVER_SEED");

function readSeed(name: string): number | undefined {
  const text = Deno.env.get(name);
  if (text === undefined) return undefined;
  const seed = Number(text);
  if (text === "" || !Number.isInteger(seed)) throw new Error(`Cannot use ${name}="${text}"`);
  return seed;
}

/** The first seed of the simulations. Each run of the tests has the same ones, unless `FAILOVER_FIRST_SEED` names another. */
export const firstSeed: number = readSeed("FAILOVER_FIRST_SEED") ?? 0;

/** The seeds of a test that goes through many: `count` of them from `first`, or the chosen one alone. */
export function seeds(count: number, first = 0): readonly number[] {
  return chosenSeed === undefined
    ? Array.from({ length: count }, (_, at) => first + at)
    : [chosenSeed];
}

/** The seed of a test that has one: the chosen one, or `standard`. */
export function seedOr(standard: number): number {
  return chosenSeed ?? standard;
}
