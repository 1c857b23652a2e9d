/** Several probes as one: they run in order, and the first failure is the result. */
import type { Probe, ProbeResult } from "../failover/ports.ts";

/** Joins probes. The result is that of the last probe that ran; `tookMs` is the sum of all that ran. */
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
