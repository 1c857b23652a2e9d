/**
 * The memory that the threads share. Counters have one writer each: a thread writes its own, and the main thread
 * reads them when they are asked for. Plain 64-bit stores do not tear on the processors we run on.
 */
import { newSemaphoreCells, type SemaphoreCells } from "./shared_semaphore.ts";

export type SharedCounters = Float64Array<SharedArrayBuffer>;

/** The most counters that a shard may have. */
const COUNTERS_MAX = 24;
/** Index of the result of the last order to count, after the counters of the shard. */
export const BUSY = COUNTERS_MAX - 1;

/** Of one service. */
export interface ServiceMemory {
  /** The counters of the shard in each thread. */
  readonly counters: readonly SharedCounters[];
  /** The limits of the service, each with its semaphore. */
  readonly limits: readonly { readonly max: number; readonly cells: SemaphoreCells }[];
}

export function newServiceMemory(threads: number, limits: readonly number[]): ServiceMemory {
  const buffer = new SharedArrayBuffer(threads * COUNTERS_MAX * Float64Array.BYTES_PER_ELEMENT);
  const each = COUNTERS_MAX * Float64Array.BYTES_PER_ELEMENT;
  return {
    counters: Array.from(
      { length: threads },
      (_, thread) => new Float64Array(buffer, thread * each, COUNTERS_MAX),
    ),
    limits: limits.map((max) => ({ max, cells: newSemaphoreCells(threads) })),
  };
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
export const THREAD_ID = 1;
export const BEATS = 2;

export function newThreadMemory(threads: number): ThreadMemory {
  return {
    beats: new Float64Array(
      new SharedArrayBuffer(threads * BEATS * Float64Array.BYTES_PER_ELEMENT),
    ),
    eventfds: new Int32Array(new SharedArrayBuffer(threads * Int32Array.BYTES_PER_ELEMENT)),
  };
}
