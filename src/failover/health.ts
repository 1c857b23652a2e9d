/**
 * One upstream's verdict from its probe results: `rise` passes in a row bring it up, `fall` failures in a
 * row bring it down. Rise and fall live in one number, as in HAProxy's checks: 0 … rise-1 is down,
 * rise … rise+fall-1 is up; a change of luck falls back to the end of the range it started from.
 * The very first result decides alone, since knowing nothing is worse than believing one answer.
 */
import type { ProbeResult } from "./ports.ts";

export interface Thresholds {
  /** Passes in a row that bring an upstream up; 1 or more. */
  readonly rise: number;
  /** Failures in a row that bring it down; 1 or more. */
  readonly fall: number;
}

export interface Health {
  /** See above; undefined before the first result. */
  readonly level: number | undefined;
  /** When the present verdict began, by the machine's clock. */
  readonly since: number;
  /** When the present run of failures began; undefined while it passes. */
  readonly failingSince: number | undefined;
  /**
   * What live connections said of it, until a probe has settled the matter. `hard`: one was turned away,
   * so that a single refused probe is enough; `soft`: one got no answer, which only asks for a probe.
   */
  readonly doubt: "none" | "soft" | "hard";
  /** The last result that was a verdict. */
  readonly last: ProbeResult | undefined;
  /** Set while probes give no verdict, until as many as `rise` in a row have given one. */
  readonly unheard: Unheard | undefined;
}

/** An upstream that could not be asked for want of something on this machine. */
export interface Unheard {
  readonly since: number;
  readonly reason: string;
  /** Verdicts in a row since the last probe without one. */
  readonly verdicts: number;
}

export function unknownHealth(now: number): Health {
  return {
    level: undefined,
    since: now,
    failingSince: undefined,
    doubt: "none",
    last: undefined,
    unheard: undefined,
  };
}

export function isUp(health: Health, t: Thresholds): boolean {
  return health.level !== undefined && health.level >= t.rise;
}

export function isDown(health: Health, t: Thresholds): boolean {
  return health.level !== undefined && health.level < t.rise;
}

/** True between two verdicts: up but failing, or down but passing. Such an upstream is asked more often. */
export function isInDoubt(health: Health, t: Thresholds): boolean {
  if (health.level === undefined) return false;
  return health.doubt !== "none" || (health.level > 0 && health.level < fullLevel(t));
}

/** True for an upstream that is up and that nothing has been said against since it was down or doubted. */
export function isSound(health: Health, t: Thresholds): boolean {
  return health.level === fullLevel(t) && health.doubt === "none";
}

function fullLevel(t: Thresholds): number {
  return t.rise + t.fall - 1;
}

/** How many failures in a row an upstream that is still up has taken. */
export function failuresSoFar(health: Health, t: Thresholds): number {
  return health.level === undefined ? 0 : Math.max(0, fullLevel(t) - health.level);
}

/**
 * The health after a live connection failed. That counts as much as one failed check, except that it
 * never brings an upstream down by itself: one connection may fail for reasons of its own.
 */
export function doubted(health: Health, doubt: "soft" | "hard", t: Thresholds): Health {
  const { level } = health;
  const isNew = health.doubt === "none" && level !== undefined && level > t.rise;
  return { ...health, doubt, level: isNew ? level - 1 : level };
}

/** The health after one more result. One without a verdict changes nothing but `unheard`. */
export function observe(health: Health, result: ProbeResult, t: Thresholds, now: number): Health {
  const { unheard } = health;
  if (result.evidence === "none") {
    const { reason } = result;
    return { ...health, unheard: { since: unheard?.since ?? now, reason, verdicts: 0 } };
  }
  const level = nextLevel(health, result, t);
  const flipped = health.level === undefined || (level >= t.rise) !== (health.level >= t.rise);
  return {
    level,
    since: flipped ? now : health.since,
    failingSince: result.passed ? undefined : health.failingSince ?? now - result.tookMs,
    doubt: settlesDoubt(result) || level < t.rise ? "none" : health.doubt,
    last: result,
    unheard: unheard === undefined || unheard.verdicts + 1 >= t.rise
      ? undefined
      : { ...unheard, verdicts: unheard.verdicts + 1 },
  };
}

/** A pass that began before the doubt says nothing of what has happened since. */
function settlesDoubt(result: ProbeResult): boolean {
  return result.passed && result.overtaken !== true;
}

function nextLevel(health: Health, result: ProbeResult, t: Thresholds): number {
  const { level } = health;
  if (level === undefined) return result.passed ? fullLevel(t) : 0;
  if (result.passed) return level + 1 >= t.rise ? fullLevel(t) : level + 1;
  if (health.doubt === "hard" && result.evidence === "refused") return 0;
  return level - 1 < t.rise ? 0 : level - 1;
}

/** Believes a single pass, as a selection with nothing better to offer must. */
export function trusted(health: Health, t: Thresholds, now: number): Health {
  return isUp(health, t) ? health : { ...health, level: fullLevel(t), since: now };
}
