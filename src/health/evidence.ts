/**
 * What a probe that met a fault has learned about the upstream. Whose fault it is says the table of
 * faults; what is ours (no descriptor left, no local port, a name service that is silent) proves nothing
 * about anybody else, and no verdict may change because of it.
 */
import { type Fault, FAULTS } from "../base/fault.ts";
import type { ProbeResult } from "../failover/ports.ts";

type Evidence = ProbeResult["evidence"];

/** Of a fault while connecting. */
export function connectEvidence({ fault }: Fault): Evidence {
  const { side, hard } = FAULTS[fault];
  if (side === "proxy") return "none";
  // A host that accepts and then fails the handshake is there; what it says is no.
  if (fault === "tlsFailed") return "denied";
  return hard ? "refused" : "silent";
}

/** Of a fault on a connection that the upstream has accepted. */
export function exchangeEvidence({ fault }: Fault): Evidence {
  const { side, hard } = FAULTS[fault];
  if (side === "proxy") return "none";
  return hard ? "denied" : "silent";
}
