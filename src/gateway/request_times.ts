/**
 * The durations of requests, by method, status and upstream: histograms in one block of memory, which a thread
 * writes and the main thread reads. Adding a duration searches its histogram, which is nearly always the last one
 * that was used, and allocates nothing. The number of histograms is fixed, so that clients and upstreams cannot
 * exhaust the memory: when all are in use, further combinations share one.
 */
import { cellsOf, Histogram } from "../base/histogram.ts";

/** Upper bounds of the buckets, in seconds: those of OpenTelemetry for `http.server.request.duration`. */
export const REQUEST_BOUNDS: readonly number[] = [
  0.005,
  0.01,
  0.025,
  0.05,
  0.075,
  0.1,
  0.25,
  0.5,
  0.75,
  1,
  2.5,
  5,
  7.5,
  10,
];

/** Methods with counts of their own; all others are `_OTHER`, as in OpenTelemetry. */
const METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
const METHOD_NUMBERS: ReadonlyMap<string, number> = new Map(METHODS.map((name, at) => [name, at]));
const OTHER = "_OTHER";

/** Combinations of method, status and upstream with a separate histogram, and the one for all others. */
const PLACES = 64;
/** Of one place: its key, or 0 while it is free, and its histogram. */
const PLACE_CELLS = 1 + cellsOf(REQUEST_BOUNDS);

/** How many numbers one timer is made of. */
export const REQUEST_CELLS = PLACES * PLACE_CELLS;

/** The number of an answer that no upstream gave. */
export const NO_UPSTREAM = -1;
/** The status of a request whose client left before it got one. */
export const NO_STATUS = 0;
/** More than any number of an upstream and any status. */
export const UPSTREAMS = 4_096;
const STATUSES = 1_000;
/** The key of the place for all others. */
const REST = -1;

/** Requests with the same method, status and upstream. */
export interface RequestTimes {
  /** `_OTHER` for a method that is not in `METHODS`. */
  readonly method: string;
  /** `NO_STATUS` for none; undefined in the histogram for all other combinations. */
  readonly status: number | undefined;
  /** `NO_UPSTREAM` if no upstream answered; undefined in the histogram for all other combinations. */
  readonly upstream: number | undefined;
  readonly times: Histogram;
}

/** The histograms of one thread. */
export class RequestTimer {
  readonly #cells: Float64Array;
  readonly #places: Histogram[] = [];
  /** The place that was used last. */
  #last = 1;

  /** Goes on with what `cells` hold, `REQUEST_CELLS` numbers. */
  constructor(cells: Float64Array = new Float64Array(REQUEST_CELLS)) {
    this.#cells = cells;
    cells[0] = REST;
    for (let place = 0; place < PLACES; place++) {
      const begin = place * PLACE_CELLS;
      this.#places.push(
        new Histogram(REQUEST_BOUNDS, cells.subarray(begin + 1, begin + PLACE_CELLS)),
      );
    }
  }

  /** What it wrote into. */
  get cells(): Float64Array {
    return this.#cells;
  }

  /** Counts one request. `upstream`: the number of the one that answered. */
  add(method: string, status: number, upstream: number, ms: number): void {
    const number = METHOD_NUMBERS.get(method) ?? METHODS.length;
    const key = 1 + (number * STATUSES + status) * UPSTREAMS + upstream + 1;
    if (this.#cells[this.#last * PLACE_CELLS] !== key) this.#last = this.#find(key);
    this.#places[this.#last]!.add(ms);
  }

  /** The place of a key, which is taken for it if there is a free one; else the one for all others. */
  #find(key: number): number {
    for (let place = 1; place < PLACES; place++) {
      const found = this.#cells[place * PLACE_CELLS];
      if (found === key) return place;
      if (found === 0) {
        this.#cells[place * PLACE_CELLS] = key;
        return place;
      }
    }
    return 0;
  }
}

/** What the timers of all threads have counted. */
export function requestTimesOf(all: readonly Float64Array[]): readonly RequestTimes[] {
  const parts = new Map<number, Float64Array[]>();
  for (const cells of all) {
    for (let begin = 0; begin < cells.length; begin += PLACE_CELLS) {
      const key = cells[begin]!;
      if (key === 0) continue;
      const part = cells.subarray(begin + 1, begin + PLACE_CELLS);
      const same = parts.get(key);
      if (same === undefined) parts.set(key, [part]);
      else same.push(part);
    }
  }
  return [...parts].map(([key, same]) => ({
    ...partsOf(key),
    times: Histogram.total(REQUEST_BOUNDS, same),
  })).filter(({ times }) => times.counts.some((count) => count > 0));
}

function partsOf(key: number): Omit<RequestTimes, "times"> {
  if (key === REST) return { method: OTHER, status: undefined, upstream: undefined };
  const rest = Math.floor((key - 1) / UPSTREAMS);
  return {
    method: METHODS[Math.floor(rest / STATUSES)] ?? OTHER,
    status: rest % STATUSES,
    upstream: (key - 1) % UPSTREAMS - 1,
  };
}
