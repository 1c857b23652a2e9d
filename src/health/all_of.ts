/** Several probes as one: asks in order and stops at the first that fails. */
import type { Probe, ProbeResult } from "../failover/ports.ts";

/** Joins at least one probe. The result is the last one's, with the time of all that were asked. */
export function allOf(first: Probe, ...others: readonly Probe[]): Probe {
  return async function probeAll(upstream, context, signal) {
    let result: ProbeResult = await first(upstream, context, signal);
    for (const probe of others) {
      if (!result.passed) break;
      const before = result.tookMs;
      const next = await probe(upstream, context, signal);
      result = { ...next, tookMs: before + next.tookMs };
    }
    return result;
  };
}
