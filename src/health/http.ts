/**
 * The probe of HTTP mode: one GET on a connection of its own, so that it also shows that the upstream
 * accepts. Redirects are not followed: what counts is what this upstream answers itself.
 */
import type { Clock } from "../base/clock.ts";
import { withDeadline } from "../base/deadline.ts";
import { Fault } from "../base/fault.ts";
import type { Probe, ProbeResult } from "../failover/ports.ts";
import type { UpstreamConn } from "../http1/upstream_conn.ts";
import type { Pool } from "../http1/pool.ts";
import { connectEvidence, exchangeEvidence } from "./evidence.ts";

/** How one upstream is asked. */
export interface HttpCheck {
  /** Gives a fresh connection for each question. */
  readonly pool: Pool;
  /** Path and query to ask for. */
  readonly target: string;
  /** `Host` to send. */
  readonly host: string;
  /** Further lines to send. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

export interface StatusRange {
  readonly from: number;
  readonly to: number;
}

export interface HttpProbeSettings {
  /** For connection, handshake and response head together, in milliseconds. */
  readonly timeoutMs: number;
  /** Status codes that pass. */
  readonly statuses: readonly StatusRange[];
}

/** Makes the probe; `check` tells how to ask the upstream of a name. */
export function httpProbe(
  settings: HttpProbeSettings,
  check: (upstream: string) => HttpCheck,
  clock: Clock,
): Probe {
  return async function probeByAsking(upstream, _context, signal) {
    const startedAt = clock.now();
    using deadline = withDeadline(signal, settings.timeoutMs, clock);
    const verdict = await ask(check(upstream.name), settings.statuses, deadline.signal);
    const tookMs = clock.now() - startedAt;
    if (!deadline.signal.aborted || verdict.passed) return { ...verdict, tookMs };
    if (!deadline.isLate) {
      return { passed: false, tookMs, reason: "check was called off", evidence: "none" };
    }
    // What was short here, if anything was, is the better answer: it says nothing of the upstream.
    if (verdict.evidence === "none") return { ...verdict, tookMs };
    return { passed: false, tookMs, reason: "no answer in time", evidence: "silent" };
  };
}

type Verdict = Omit<ProbeResult, "tookMs">;

async function ask(
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
    const passed = statuses.some(({ from, to }) => head.status >= from && head.status <= to);
    return { passed, reason: `answered ${head.status}`, evidence: passed ? "passed" : "denied" };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { passed: false, reason: error.message, evidence: exchangeEvidence(error) };
  } finally {
    signal.removeEventListener("abort", end);
    connection.close();
  }
}
