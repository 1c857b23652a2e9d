/**
 * The memory that the threads share. Counters have one writer each: a thread writes its own, and the main thread
 * reads them when they are asked for. Plain 64-bit stores do not tear on the processors we run on.
 */
import { cellsOf, Histogram, HOLD_BOUNDS } from "../base/histogram.ts";
import { newSemaphoreCells, type SemaphoreCells } from "./shared_semaphore.ts";

/** Numbers that one thread writes and the main thread reads. */
export type SharedCounters = Float64Array<SharedArrayBuffer>;

/** The most counters that a shard may have. */
const COUNTERS_MAX = 40;
/** Index of the result of the last order to count, after the counters of the shard. */
export const BUSY = COUNTERS_MAX - 1;
/** Behind the counters: how long clients waited for an upstream. */
const HOLDS = COUNTERS_MAX;
/** Behind that: what else the shard counts. */
const MORE = HOLDS + cellsOf(HOLD_BOUNDS);

/** Of one service. */
export interface ServiceMemory {
  /** The counters of the shard in each thread. */
  readonly counters: readonly SharedCounters[];
  /** The limits of the service, each with its semaphore. */
  readonly limits: readonly { readonly max: number; readonly cells: SemaphoreCells }[];
}

/** `more`: how many numbers a shard needs beside its counters, in each thread. */
export function newServiceMemory(
  threads: number,
  limits: readonly number[],
  more = 0,
): ServiceMemory {
  const length = MORE + more;
  const each = length * Float64Array.BYTES_PER_ELEMENT;
  const buffer = new SharedArrayBuffer(threads * each);
  return {
    counters: Array.from(
      { length: threads },
      (_, thread) => new Float64Array(buffer, thread * each, length),
    ),
    limits: limits.map((max) => ({ max, cells: newSemaphoreCells(threads) })),
  };
}

/** The number of the thread that these counters are of. */
export function threadOf({ byteOffset, byteLength }: SharedCounters): number {
  return byteOffset / byteLength;
}

/** The part of a shard's memory that says how long clients waited for an upstream: a histogram. */
export function holdCells(counters: SharedCounters): SharedCounters {
  return counters.subarray(HOLDS, MORE);
}

/** The part of a shard's memory that `newServiceMemory` was asked for in addition. */
export function moreCells(counters: SharedCounters): SharedCounters {
  return counters.subarray(MORE);
}

/** How long clients waited for an upstream, over all threads. */
export function holdTimesOf({ counters }: ServiceMemory): Histogram {
  return Histogram.total(HOLD_BOUNDS, counters.map(holdCells));
}

/** The sum of each counter over all threads, in the order of `names`; the maximum for names that begin with `longest`. */
export function sumCounters<Name extends string>(
  names: readonly Name[],
  { counters }: ServiceMemory,
): Record<Name, number> {
  const sums = names.map((name, at) => {
    const values = counters.map((own) => own[at]!);
    const sum = name.startsWith("longest")
      ? Math.max(...values)
      : values.reduce((total, value) => total + value, 0);
    return [name, sum] as const;
  });
  return Object.fromEntries(sums) as Record<Name, number>;
}

/** Of all threads. */
export interface ThreadMemory {
  /** For each thread a number that grows with every tick of its loop, and the thread's number in the system. */
  readonly beats: SharedCounters;
  /** The eventfd(2) that wakes each thread; the main thread owns them. */
  readonly eventfds: Int32Array<SharedArrayBuffer>;
}

/** Indexes of the two numbers that each thread has in `beats`; `BEATS` is how many they are. */
export const BEAT = 0;

/** See `BEAT`. */
export const THREAD_ID = 1;

/** See `BEAT`. */
export const BEATS = 2;

/** Memory for so many threads. The eventfds must still be set. */
export function newThreadMemory(threads: number): ThreadMemory {
  return {
    beats: new Float64Array(
      new SharedArrayBuffer(threads * BEATS * Float64Array.BYTES_PER_ELEMENT),
    ),
    eventfds: new Int32Array(new SharedArrayBuffer(threads * Int32Array.BYTES_PER_ELEMENT)),
  };
}
