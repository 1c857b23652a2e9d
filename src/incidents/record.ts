/**
 * The record of an incident, as it is shown and stored: why traffic moved or had to stay away, when each thing
 * happened, on what evidence, and what it cost clients. Keys are in snake_case, and times in ISO 8601, because
 * the record is JSON everywhere. Upstreams are the operator's text for them, which holds no credentials.
 */

/**
 * What an incident was. `start`: the first choice. `failover`: traffic had to move. `outage`: no upstream
 * served, and then the same one did again. `failback`, `switchover`: traffic left an upstream that worked.
 */
export type IncidentKind = "start" | "failover" | "outage" | "failback" | "switchover" | "resume";

/** What was changed in the whole process, by a person or a program of theirs. Such a record is in no service. */
export type ChangeKind = "reload" | "upgrade";

/**
 * How it ended. `served`: the upstream `to` was promoted. `returned`: the move failed, and the upstream that
 * served before went on. `recovered`: the active upstream passed its checks again while the operator had
 * paused decisions. `stopped`: the process ended. `died`: the service was restarted because of a bug.
 * `killed`: the process ended without recording an outcome; the record is what its state folder had.
 * `handed_over`: another process took over in an upgrade, and goes on with a record of its own. `done`: something was
 * changed.
 */
export type IncidentOutcome =
  | "served"
  | "returned"
  | "recovered"
  | "stopped"
  | "died"
  | "killed"
  | "handed_over"
  | "done";

/** The moments of an incident, in the order in which they usually come. */
export const MOMENTS = [
  "first_failure",
  "doubt",
  "down",
  "held",
  "refused",
  "nobody",
  "failed_open",
  "triggers_begin",
  "triggers_end",
  "open",
  "first_success",
  "recovered",
] as const;

/** The name of a moment, and its key in `t`. */
export type Moment = typeof MOMENTS[number];

/** What each moment is, for people. */
export const MOMENT_WORDS: Readonly<Record<Moment, string>> = {
  first_failure: "first failure",
  doubt: "a client's connection failed",
  down: "down",
  held: "new clients wait",
  refused: "new clients are refused",
  nobody: "no upstream is usable",
  failed_open: "clients are let through without a choice",
  triggers_begin: "triggers begin",
  triggers_end: "triggers have ended",
  open: "clients are let in",
  first_success: "a client received an answer",
  recovered: "the primary serves again",
};

/** One check result that counted. */
export interface EvidenceItem {
  readonly upstream: string;
  /** ISO 8601. */
  readonly time: string;
  readonly passed: boolean;
  readonly reason: string;
  readonly took_ms: number;
}

/** A trigger that has run. `reason` is null if it exited with 0. */
export interface TriggerRun {
  readonly program: string;
  readonly epoch: number;
  readonly reason: string | null;
  readonly took_ms: number;
}

/** A promotion that failed on the way. */
export interface FailedPromotion {
  readonly to: string;
  readonly epoch: number;
  readonly reason: string;
}

/** What happened to clients since the incident began. A data plane omits what it does not count. */
export interface IncidentClients {
  /** The most that waited at one time, looked at every 0.1 s at first, and less often later. */
  readonly most_held: number;
  /**
   * How long half of those that waited, and 99 of 100, waited at most: the upper end of the range of the
   * histogram, in milliseconds. Null if none waited, or for longer than the last range.
   */
  readonly hold_p50_ms: number | null;
  readonly hold_p99_ms: number | null;
  /** Those that waited and then got an upstream. */
  readonly released?: number;
  /** Those turned away, given up on, or answered with an error of the proxy itself. */
  readonly lost?: number;
  /** Those that left by themselves while they waited. */
  readonly abandoned?: number;
  /** Attempts after the first of a request; in HTTP mode only. */
  readonly retried?: number;
}

/** One record. `failover history ID` shows it, and the state folder keeps it. */
export interface IncidentRecord {
  /** Time and service: `20261121-030000.123-orders`. Unique over restarts. */
  readonly id: string;
  /** Empty if it is the record of a change. */
  readonly service: string;
  readonly kind: IncidentKind | ChangeKind;
  /** Null while it is under way. */
  readonly outcome: IncidentOutcome | null;
  /** Number of the decision that ended it. */
  readonly epoch: number | null;
  /** The ids of its promotions, which triggers had as `FAILOVER_EVENT_ID`. */
  readonly promotions: readonly string[];
  readonly from: string | null;
  readonly to: string | null;
  /** What began it. */
  readonly reason: string;
  /** Who ordered it; null if nobody did. */
  readonly by: string | null;
  /** The earliest moment. */
  readonly began: string;
  /** Each moment that was reached. */
  readonly t: Readonly<Partial<Record<Moment, string>>>;
  /** For how long no promoted upstream served new clients; null while that is so. */
  readonly interrupted_ms: number | null;
  /** Rounds of selection that found nobody. */
  readonly rounds_failed: number;
  readonly evidence: readonly EvidenceItem[];
  readonly failed_promotions: readonly FailedPromotion[];
  readonly triggers: readonly TriggerRun[];
  /** Sessions on the old upstream: those that were ended, and those that still moved bytes and stayed. */
  readonly sessions: { readonly cut: number; readonly kept: number };
  readonly clients: IncidentClients;
  /** The version of the proxy that wrote it. */
  readonly version: string;
  /** In the record of a change: what differs in the config, one line each. */
  readonly changes?: readonly string[];
  /** Of the options of the service, to see whether two incidents had the same. Empty if it is a change. */
  readonly config_hash: string;
}

/** A record while it is being written. */
export type Draft = {
  -readonly [K in keyof IncidentRecord]: IncidentRecord[K] extends readonly (infer E)[] ? E[]
    : IncidentRecord[K] extends Readonly<Record<string, unknown>>
      ? { -readonly [F in keyof IncidentRecord[K]]: IncidentRecord[K][F] }
    : IncidentRecord[K];
};

/**
 * The counts of a data plane from which the clients of an incident follow. Where `ServiceCounters` has them,
 * too, they have the same meaning. All but `held` only grow.
 */
export interface IncidentCounters {
  readonly held?: number;
  readonly released?: number;
  readonly lost?: number;
  readonly abandoned?: number;
  readonly retried?: number;
  readonly clientReceivedBytes?: number;
  /** How long clients waited; the counts of a histogram go on changing. */
  readonly holdTimes?: HoldTimes;
}

/** A histogram of how long clients waited for an upstream. */
export interface HoldTimes {
  /** Upper ends of the ranges, in seconds, ascending. */
  readonly bounds: readonly number[];
  /** How many waits were in each range; one more than there are bounds. */
  readonly counts: ArrayLike<number>;
}

const COUNTED = ["released", "lost", "abandoned", "retried"] as const;

/**
 * The counts since `before`, without those that the data plane does not keep. That of a restarted service begins
 * at 0 again.
 */
export function clientsSince(
  before: IncidentCounters,
  now: IncidentCounters,
  mostHeld: number,
): IncidentClients {
  const counts = COUNTED.flatMap((key) =>
    now[key] === undefined ? [] : [[key, Math.max(0, now[key] - (before[key] ?? 0))]]
  );
  return {
    most_held: mostHeld,
    hold_p50_ms: waited(before.holdTimes, now.holdTimes, 0.5),
    hold_p99_ms: waited(before.holdTimes, now.holdTimes, 0.99),
    ...Object.fromEntries(counts),
  };
}

/** What this share of the waits since `before` was not longer than, in milliseconds. */
function waited(
  before: HoldTimes | undefined,
  now: HoldTimes | undefined,
  share: number,
): number | null {
  if (now === undefined) return null;
  const counts = Array.from(
    now.counts,
    (count, range) => Math.max(0, count - (before?.counts[range] ?? 0)),
  );
  const wanted = share * counts.reduce((sum, count) => sum + count, 0);
  if (wanted === 0) return null;
  let sum = 0;
  const range = counts.findIndex((count) => (sum += count) >= wanted);
  const seconds = now.bounds[range];
  return seconds === undefined ? null : seconds * 1_000;
}

/** `20261121-030000.123`, in UTC. */
export function stampOf(wallMs: number): string {
  const [day, time] = new Date(wallMs).toISOString().split("T");
  return `${day!.replaceAll("-", "")}-${time!.slice(0, 12).replaceAll(":", "")}`;
}

/** A time in milliseconds since 1970 as ISO 8601 in UTC. */
export function isoOf(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
