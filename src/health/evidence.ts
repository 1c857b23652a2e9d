/**
 * What a fault during a check proves about the upstream. The table of faults says which side caused it. A
 * fault of this machine (no descriptor, no local port, a name service that does not answer) proves nothing
 * about the upstream, and no verdict may change because of it.
 */
import { type Fault, FAULTS } from "../base/fault.ts";
import type { ProbeResult } from "../failover/ports.ts";

type Evidence = ProbeResult["evidence"];

/** The evidence of a fault during the connection attempt, TLS handshake included. */
export function connectEvidence({ fault }: Fault): Evidence {
  const { side, hard } = FAULTS[fault];
  if (side === "proxy") return "no_verdict";
  // The host accepts connections, so its sessions may still be alive.
  if (fault === "tlsFailed") return "denied";
  return hard ? "refused" : "silent";
}

/** The evidence of a fault on a connection that the upstream has accepted. */
export function exchangeEvidence({ fault }: Fault): Evidence {
  const { side, hard } = FAULTS[fault];
  if (side === "proxy") return "no_verdict";
  return hard ? "denied" : "silent";
}
