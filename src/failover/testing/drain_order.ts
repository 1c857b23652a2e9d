/** An order to drain, for tests; each replaces what it tests. */
import type { DrainOrder } from "../ports.ts";

/** Ends the sessions of the first epoch on `a` at once, on hard evidence. */
export const DRAIN: DrainOrder = {
  upstream: "a",
  throughEpoch: 1,
  graceMs: 0,
  sparedIfMovedMs: undefined,
  revocable: false,
  reason: "test",
};
