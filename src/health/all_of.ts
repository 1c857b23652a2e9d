/** Several probes as one: they run in order, and the first failure is the result. */
import type { Probe, ProbeResult } from "../failover/ports.ts";

/** Joins probes. The result is that of the last probe that ran; `tookMs` is the sum of all that ran. */
export function allOf(first: Probe, ...others: readonly Probe[]): Probe {
  return async function probeAll(upstream, context, signal) {
    let result: ProbeResult = await first(upstream, context, signal);
    for (const probe of others) {
      if (!result.passed) break;
      const { tookMs, server } = result;
      const next = await probe(upstream, context, signal);
      const known = server === undefined ? {} : { server };
      result = { ...known, ...next, tookMs: tookMs + next.tookMs };
    }
    return result;
  };
}
