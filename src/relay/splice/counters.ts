/** The counters of the relay in one thread, in memory that it shares with the main thread. */
import type { RelayCounters } from "../engine.ts";

/** The names of the counters, in the order of the memory. */
export const RELAY_COUNTERS = [
  "accepted",
  "active",
  "held",
  "released",
  "lost",
  "abandoned",
  "cut",
  "clientSentBytes",
  "clientReceivedBytes",
  "longestHoldMs",
  "overLimit",
  "unannounced",
] as const satisfies readonly (keyof RelayCounters)[];

/** Index of each counter. */
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
  overLimit: 10,
  unannounced: 11,
} as const satisfies Record<keyof RelayCounters, number>;

/** The thread died: corrects its counters, and returns how many sessions it had. */
export function accountForDeadRelay(counters: Float64Array): number {
  const [active, held] = [counters[COUNT.active]!, counters[COUNT.held]!];
  counters[COUNT.cut]! += active;
  counters[COUNT.lost]! += held;
  counters[COUNT.active] = counters[COUNT.held] = 0;
  return active + held;
}
