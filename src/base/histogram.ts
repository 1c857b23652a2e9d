/** Counts of times in fixed ranges, as Prometheus wants them. Costs one addition and a short search each. */
export class Histogram {
  /** Upper ends of the ranges, in seconds, ascending; a last range without end follows. */
  readonly bounds: readonly number[];
  /** How many times fell into each range; one more than there are bounds. */
  readonly counts: Float64Array;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  /** The sum of all times, in seconds. */
  get sum(): number {
    return this.#sum;
  }

  /** Adds one time, in milliseconds. */
  add(ms: number): void {
    const seconds = ms / 1_000;
    let range = 0;
    while (range < this.bounds.length && seconds > this.bounds[range]!) range++;
    this.counts[range]!++;
    this.#sum += seconds;
  }
}
