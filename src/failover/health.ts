/**
 * The verdict about one upstream from its check results: `rise` consecutive passes bring it up, `fall`
 * consecutive failures bring it down. One number counts both, as in HAProxy's checks: 0 … rise-1 is down,
 * rise … rise+fall-1 is up, and one opposite result returns to the end of the current range. The first
 * result decides alone, since a verdict from one result is better than none.
 */
import type { ProbeResult } from "./ports.ts";
import type { ServerReport } from "./server_report.ts";

/** How many consecutive results change a verdict. */
export interface Thresholds {
  /** Consecutive passes that bring an upstream up; 1 or more. */
  readonly rise: number;
  /** Consecutive failures that bring it down; 1 or more. */
  readonly fall: number;
}

/** What is known of one upstream. Times are those of the machine, in milliseconds. */
export interface Health {
  /** The number explained above; undefined before the first result. */
  readonly level: number | undefined;
  /** When the present verdict began. */
  readonly since: number;
  /** When the present series of failures began; undefined after a pass. */
  readonly failingSince: number | undefined;
  /** When the last check passed; undefined if none has. */
  readonly passedAt: number | undefined;
  /** When the last check failed; undefined if none has. */
  readonly failedAt: number | undefined;
  /**
   * A failure on a live connection, until a check passes. `hard`: the upstream refused or closed it, so
   * that a single refused check brings the upstream down. `soft`: there was no answer, which only starts
   * a check.
   */
  readonly doubt: "none" | "soft" | "hard";
  /** The last result that was a verdict. */
  readonly last: ProbeResult | undefined;
  /** What the server said of itself when it last did; undefined if its checks do not learn that. */
  readonly server: ServerReport | undefined;
  /** Set while checks give no verdict, until `rise` consecutive ones have given one. */
  readonly noVerdict: NoVerdict | undefined;
}

/** An upstream that could not be checked because of trouble on this machine. */
export interface NoVerdict {
  /** The machine's time of the first check without a verdict, in milliseconds. */
  readonly since: number;
  /** Why the last such check gave none, for a person. */
  readonly reason: string;
  /** Consecutive verdicts since the last check without one. */
  readonly verdicts: number;
}

/** The health of an upstream before its first result. */
export function unknownHealth(now: number): Health {
  return {
    level: undefined,
    since: now,
    failingSince: undefined,
    passedAt: undefined,
    failedAt: undefined,
    doubt: "none",
    last: undefined,
    server: undefined,
    noVerdict: undefined,
  };
}

/** True if the verdict is up; false if it is down or there is none. */
export function isUp(health: Health, t: Thresholds): boolean {
  return health.level !== undefined && health.level >= t.rise;
}

/** True if the verdict is down; false if it is up or there is none. */
export function isDown(health: Health, t: Thresholds): boolean {
  return health.level !== undefined && health.level < t.rise;
}

/** True between two verdicts: up but failing, or down but passing. It is then checked more often. */
export function isInDoubt(health: Health, t: Thresholds): boolean {
  if (health.level === undefined) return false;
  return health.doubt !== "none" || (health.level > 0 && health.level < fullLevel(t));
}

/** True if the upstream is up, and its last check passed, and no live connection has failed since. */
export function isSound(health: Health, t: Thresholds): boolean {
  return health.level === fullLevel(t) && health.doubt === "none";
}

function fullLevel(t: Thresholds): number {
  return t.rise + t.fall - 1;
}

/** The number of consecutive failures of an upstream that is still up. */
export function failuresSoFar(health: Health, t: Thresholds): number {
  return health.level === undefined ? 0 : Math.max(0, fullLevel(t) - health.level);
}

/**
 * The health after a live connection failed. This counts as one failed check, except that it never brings
 * an upstream down alone: a single connection may fail for a reason that concerns only that client.
 */
export function doubted(health: Health, doubt: "soft" | "hard", t: Thresholds): Health {
  const { level } = health;
  const isNew = health.doubt === "none" && level !== undefined && level > t.rise;
  return { ...health, doubt, level: isNew ? level - 1 : level };
}

/** The health after one more result at `now`. A result without a verdict changes only `noVerdict`. */
export function observe(health: Health, result: ProbeResult, t: Thresholds, now: number): Health {
  const { noVerdict } = health;
  if (result.evidence === "no_verdict") {
    const { reason } = result;
    return { ...health, noVerdict: { since: noVerdict?.since ?? now, reason, verdicts: 0 } };
  }
  const level = nextLevel(health, result, t);
  const flipped = health.level === undefined || (level >= t.rise) !== (health.level >= t.rise);
  return {
    level,
    since: flipped ? now : health.since,
    failingSince: result.passed ? undefined : health.failingSince ?? now - result.tookMs,
    passedAt: result.passed ? now : health.passedAt,
    failedAt: result.passed ? health.failedAt : now,
    doubt: settlesDoubt(result) || level < t.rise ? "none" : health.doubt,
    last: result,
    server: result.server ?? health.server,
    noVerdict: noVerdict === undefined || noVerdict.verdicts + 1 >= t.rise
      ? undefined
      : { ...noVerdict, verdicts: noVerdict.verdicts + 1 },
  };
}

/** A pass whose check began before the doubt does not clear it. */
function settlesDoubt(result: ProbeResult): boolean {
  return result.passed && result.overtaken !== true;
}

function nextLevel(health: Health, result: ProbeResult, t: Thresholds): number {
  const { level } = health;
  if (level === undefined) return result.passed ? fullLevel(t) : 0;
  if (result.passed) return level + 1 >= t.rise ? fullLevel(t) : level + 1;
  if (result.isDecisive === true) return 0;
  if (health.doubt === "hard" && result.evidence === "refused") return 0;
  return level - 1 < t.rise ? 0 : level - 1;
}

/** The health of an upstream of which only the verdict is known, and since when it is true. */
export function withVerdict(isUp: boolean, t: Thresholds, since: number): Health {
  return { ...unknownHealth(since), level: isUp ? fullLevel(t) : 0 };
}

/** The health of an upstream that a selection has chosen: one pass is enough to bring it up. */
export function trusted(health: Health, t: Thresholds, now: number): Health {
  return isUp(health, t) ? health : { ...health, level: fullLevel(t), since: now };
}
