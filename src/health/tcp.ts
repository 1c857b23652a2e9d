/**
 * The probe that shows whether an upstream accepts connections: it connects and closes at once. It sends
 * and reads nothing, so a server that accepts and then sends nothing passes.
 */
import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import type { Probe } from "../failover/ports.ts";
import { type TryConnect, tryConnectByDeno } from "../net/try_connect.ts";
import { connectEvidence } from "./evidence.ts";

/** Makes the probe. `timeoutMs` is the deadline of the whole attempt, including the look-up of the name. */
export function tcpProbe(
  timeoutMs: number,
  clock: Clock,
  tryConnect: TryConnect = tryConnectByDeno,
): Probe {
  return async function probeByConnecting(upstream, _context, signal) {
    const startedAt = clock.now();
    const outcome = await tryConnect(upstream.address, { clock, timeoutMs, signal });
    const tookMs = clock.now() - startedAt;
    if (outcome === undefined) {
      return { passed: false, tookMs, reason: "connect was cancelled", evidence: "no_verdict" };
    }
    if (outcome instanceof Fault) {
      const evidence = connectEvidence(outcome);
      return { passed: false, tookMs, reason: outcome.message, evidence };
    }
    return { passed: true, tookMs, reason: "connected", evidence: "passed" };
  };
}
