/** Counts of times in fixed ranges, as Prometheus wants them. Costs one addition and a short search each. */

/** Upper ends of the ranges for how long clients wait for an upstream, in seconds. */
export const HOLD_BOUNDS: readonly number[] = [
  0.01,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5,
  5,
  10,
  30,
  60,
];

/** How many numbers a histogram with so many bounds is made of: a count for each range, and the sum. */
export function cellsOf(bounds: readonly number[]): number {
  return bounds.length + 2;
}

/** A histogram of times. Memory and cost do not depend on how many times are added. */
export class Histogram {
  /** Upper ends of the ranges, in seconds, ascending; a last range without end follows. */
  readonly bounds: readonly number[];
  /** How many times fell into each range, one more than there are bounds; then the sum in seconds. */
  readonly #cells: Float64Array;

  /** `cells` may be memory that threads share: one of them writes. It is not cleared. */
  constructor(bounds: readonly number[], cells: Float64Array = new Float64Array(cellsOf(bounds))) {
    this.bounds = bounds;
    this.#cells = cells;
  }

  /** The sum of several with the same bounds. */
  static total(
    bounds: readonly number[],
    all: readonly Float64Array[],
  ): Histogram {
    const cells = new Float64Array(cellsOf(bounds));
    for (const each of all) cells.forEach((value, at) => cells[at] = value + each[at]!);
    return new Histogram(bounds, cells);
  }

  /** How many times fell into each range; one more than there are bounds. */
  get counts(): Float64Array {
    return this.#cells.subarray(0, this.bounds.length + 1);
  }

  /** The sum of all times, in seconds. */
  get sum(): number {
    return this.#cells[this.bounds.length + 1]!;
  }

  /** Adds one time, in milliseconds. */
  add(ms: number): void {
    const seconds = ms / 1_000;
    let range = 0;
    while (range < this.bounds.length && seconds > this.bounds[range]!) range++;
    this.#cells[range]!++;
    this.#cells[this.bounds.length + 1]! += seconds;
  }
}
