/** Results of checks, and upstreams, for tests of the machine and of what reports about it. */
import type { ProbeContext, ProbeResult } from "../ports.ts";
import type { ServerReport } from "../server_report.ts";
import type { Upstream } from "../upstream.ts";

export const PASSED: ProbeResult = {
  passed: true,
  tookMs: 1,
  reason: "connected",
  evidence: "passed",
};
export const REFUSED: ProbeResult = {
  passed: false,
  tookMs: 2,
  reason: "connection refused",
  evidence: "refused",
};
export const SILENT: ProbeResult = {
  passed: false,
  tookMs: 1_000,
  reason: "no answer",
  evidence: "silent",
};
export const NO_VERDICT: ProbeResult = {
  passed: false,
  tookMs: 1,
  reason: "no descriptor",
  evidence: "no_verdict",
};

/** The passed check of a server that says this of itself. */
export function answeredAs(
  role: ServerReport["role"],
  more: Partial<ServerReport> = {},
): ProbeResult {
  return { ...PASSED, reason: role, server: { role, phase: "running", ...more } };
}

/** What a check program learns while `b` serves. */
export const PROBE_CONTEXT: ProbeContext = { lastChosen: "b", phase: "serving", epoch: 3 };

/** Upstreams of these names in rank order, each at port 1 of a host of that name. */
export function upstreamsOf(...names: readonly string[]): Upstream[] {
  return names.map((name, rank) => ({ name, rank, address: { kind: "tcp", host: name, port: 1 } }));
}
