/**
 * A probe whose deadline was missed by far was not given the time it was to have: this process stood
 * still (stopped by a signal or a debugger, a machine that was paused or moved), and when it went on its
 * timers were due before it looked at its sockets. Then nobody else was silent.
 */
import { formatDuration } from "../base/duration.ts";
import type { Probe, ProbeResult } from "../failover/ports.ts";

/** By how much a deadline is missed on a machine that is merely busy. */
export const BUSY_MS = 1_000;

/** `withinMs` is what `probe` takes at most. */
export function standing(probe: Probe, withinMs: number): Probe {
  return async function probeUnlessStill(upstream, context, signal) {
    return unlessStill(await probe(upstream, context, signal), withinMs);
  };
}

/** The result of a probe that was to take `withinMs` at most, or no verdict. */
export function unlessStill(result: ProbeResult, withinMs: number): ProbeResult {
  const lateMs = result.tookMs - withinMs;
  if (result.evidence !== "silent" || lateMs <= BUSY_MS) return result;
  const reason = `this process stood still for ${formatDuration(Math.round(lateMs))}`;
  return { ...result, reason, evidence: "none" };
}
