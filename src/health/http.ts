/**
 * The probe of HTTP mode: one GET on a new connection, which also shows that the upstream accepts
 * connections. Redirects are not followed: the status of this upstream counts.
 */
import type { Clock } from "../base/clock.ts";
import { withDeadline } from "../base/deadline.ts";
import { Fault } from "../base/fault.ts";
import { isInRanges, type StatusRange } from "../base/status_range.ts";
import type { Probe, ProbeResult } from "../failover/ports.ts";
import type { UpstreamConn } from "../http1/upstream_conn.ts";
import type { Pool } from "../http1/pool.ts";
import { connectEvidence, exchangeEvidence } from "./evidence.ts";

/** The request that checks one upstream. */
export interface HttpCheck {
  /** Opens a new connection for each check. */
  readonly pool: Pool;
  /** Path and query of the request. */
  readonly target: string;
  /** Value of the `Host` field. */
  readonly host: string;
  /** Further header fields. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** When a check over HTTP passes. */
export interface HttpProbeSettings {
  /** Deadline for connection, handshake and response head together, in milliseconds. */
  readonly timeoutMs: number;
  /** Status codes that pass. */
  readonly statuses: readonly StatusRange[];
}

/** Makes the probe; `check` returns the request for the upstream with a name. */
export function httpProbe(
  settings: HttpProbeSettings,
  check: (upstream: string) => HttpCheck,
  clock: Clock,
): Probe {
  return async function probeByRequest(upstream, _context, signal) {
    const startedAt = clock.now();
    using deadline = withDeadline(signal, settings.timeoutMs, clock);
    const verdict = await request(check(upstream.name), settings.statuses, deadline.signal);
    const tookMs = clock.now() - startedAt;
    if (!deadline.signal.aborted || verdict.passed) return { ...verdict, tookMs };
    if (!deadline.isLate) {
      return { passed: false, tookMs, reason: "check was cancelled", evidence: "no_verdict" };
    }
    // Trouble on this machine explains the missing answer better than a silent upstream does.
    if (verdict.evidence === "no_verdict") return { ...verdict, tookMs };
    return { passed: false, tookMs, reason: "no answer in time", evidence: "silent" };
  };
}

type Verdict = Omit<ProbeResult, "tookMs">;

async function request(
  check: HttpCheck,
  statuses: readonly StatusRange[],
  signal: AbortSignal,
): Promise<Verdict> {
  let connection: UpstreamConn;
  try {
    connection = await check.pool.connect(signal);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { passed: false, reason: error.message, evidence: connectEvidence(error) };
  }
  const end = () => connection.abort(new Fault("responseTimeout"));
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  try {
    const out = connection.request("GET", check.target);
    out.line("Host", check.host);
    out.line("User-Agent", "failover-check");
    out.line("Accept", "*/*");
    for (const [name, value] of check.headers) out.line(name, value);
    const { head } = await connection.exchange(null, { responseMs: 0 });
    const passed = isInRanges(head.status, statuses);
    return { passed, reason: `answered ${head.status}`, evidence: passed ? "passed" : "denied" };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { passed: false, reason: error.message, evidence: exchangeEvidence(error) };
  } finally {
    signal.removeEventListener("abort", end);
    connection.close();
  }
}
