/**
 * Recognises that this process stood still during a check: it was stopped by a signal or a debugger, or
 * its machine was paused or migrated. When it goes on, its timers fire before it reads its sockets, so a
 * check that ends long after its deadline does not show that the upstream was silent.
 */
import { formatDuration } from "../base/duration.ts";
import type { Probe, ProbeResult } from "../failover/ports.ts";

/** A deadline may be missed by so many milliseconds on a machine that is only busy. */
export const BUSY_MS = 1_000;

/** Makes a probe that gives no verdict after a standstill. `probe` takes at most `withinMs`. */
export function guardStandstill(probe: Probe, withinMs: number): Probe {
  return async function probeUnlessStoodStill(upstream, context, signal) {
    return unlessStoodStill(await probe(upstream, context, signal), withinMs);
  };
}

/** The result of a probe that takes at most `withinMs`, or no verdict if this process stood still. */
export function unlessStoodStill(result: ProbeResult, withinMs: number): ProbeResult {
  const lateMs = result.tookMs - withinMs;
  if (result.evidence !== "silent" || lateMs <= BUSY_MS) return result;
  const reason = `this process stood still for ${formatDuration(Math.round(lateMs))}`;
  return { ...result, reason, evidence: "no_verdict" };
}
