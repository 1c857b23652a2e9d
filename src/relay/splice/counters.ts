/**
 * The counters of a worker, in memory that it shares with the main thread: the worker writes, the main
 * thread reads them on each scrape. Plain 64-bit stores do not tear on the CPUs we run on.
 */
import type { RelayCounters } from "../engine.ts";

/**
 * Index of each counter. `beat` grows with each tick of the loop and shows that it runs. `listener` is the
 * descriptor of the open port plus one, or 0 while the port is closed: the successor of a dead worker
 * continues with that descriptor, so that no client in the accept queue is lost.
 */
export const COUNT = {
  accepted: 0,
  active: 1,
  held: 2,
  released: 3,
  lost: 4,
  abandoned: 5,
  cut: 6,
  clientSentBytes: 7,
  clientReceivedBytes: 8,
  longestHoldMs: 9,
  beat: 10,
  listener: 11,
} as const satisfies Record<keyof RelayCounters | "beat" | "listener", number>;

export type Counters = Float64Array<SharedArrayBuffer>;

export function newCounters(): Counters {
  return new Float64Array(new SharedArrayBuffer(Object.keys(COUNT).length * 8));
}

/** The sum over all workers. */
export function sumCounters(all: readonly Counters[]): RelayCounters {
  const sum = (place: number) => all.reduce((total, counters) => total + counters[place]!, 0);
  return {
    accepted: sum(COUNT.accepted),
    active: sum(COUNT.active),
    held: sum(COUNT.held),
    released: sum(COUNT.released),
    lost: sum(COUNT.lost),
    abandoned: sum(COUNT.abandoned),
    cut: sum(COUNT.cut),
    clientSentBytes: sum(COUNT.clientSentBytes),
    clientReceivedBytes: sum(COUNT.clientReceivedBytes),
    longestHoldMs: Math.max(...all.map((counters) => counters[COUNT.longestHoldMs]!)),
  };
}
