/** Random settings of a simulation: policy, upstreams, faults. */
import { Dice } from "../../src/base/testing/dice.ts";
import type { FailbackPolicy } from "../../src/failover/failback.ts";
import type { Policy } from "../../src/failover/state.ts";

/** What may happen in a simulation, and how often. */
export interface Settings {
  readonly seed: number;
  readonly upstreams: number;
  readonly policy: Policy;
  readonly checkIntervalMs: number;
  readonly checkTimeoutMs: number;
  readonly triggerMaxMs: number;
  readonly lengthMs: number;
  /** Mean time between two changes of one upstream's condition, in milliseconds. */
  readonly meanChangeMs: number;
  /** The longest time of a slow check, in milliseconds; 0 if there are no slow checks. */
  readonly slowCheckMs: number;
  /** The share of the time, from 0 to 1, in which checks give no verdict. */
  readonly shortage: number;
  /** The share of the triggers, from 0 to 1, that fail or cannot be started. */
  readonly triggerTrouble: number;
  /** Whether the clock jumps at random, by up to a minute, in both directions. */
  readonly jumps: boolean;
  /** Mean time between two orders of the operator beside failbacks, in milliseconds; 0 without them. */
  readonly meanOrderMs: number;
  /** Mean time between two ends of the process by kill -9, in milliseconds; 0 without them. */
  readonly meanRestartMs: number;
  /** Mean time between two changes of the list of upstreams and the policy, in milliseconds; 0 without them. */
  readonly meanReloadMs: number;
}

/** The settings that belong to a seed. */
export function settingsFor(seed: number): Settings {
  const dice = new Dice(seed ^ 0x5eed);
  const pick = <T>(...choices: readonly T[]): T =>
    choices[Math.floor(dice.fraction() * choices.length)]!;
  const policy: Policy = {
    rise: pick(1, 2, 3),
    fall: pick(1, 2, 3, 5),
    holdMs: pick(0, 1_000, 10_000),
    holdWhile: pick("promoting", "down"),
    failOpen: false,
    failback: pick<FailbackPolicy>(
      { kind: "never" },
      { kind: "manual" },
      { kind: "auto" },
      { kind: "auto" },
      { kind: "after", ms: 20_000 },
    ),
    damping: pick(true, true, false),
    maxBackoffMs: pick(1_000, 60_000),
    sessionsOnDown: pick("cut", "keep"),
    sessionsOnMove: pick("cut", "drain", "keep"),
    drainMs: 30_000,
    onTriggerFailure: pick("continue", "retry", "next"),
    graceMs: 1_000,
    triggers: pick("before", "before", "beside"),
    instance: `s${seed}`,
  };
  return {
    seed,
    // With `triggers: before` a fail-open target would get clients before its triggers have run.
    policy: { ...policy, failOpen: policy.triggers === "beside" && pick(true, false) },
    upstreams: pick(1, 2, 2, 3, 5),
    checkIntervalMs: 2_000,
    checkTimeoutMs: 1_000,
    triggerMaxMs: pick(0, 2_000, 45_000),
    lengthMs: 15 * 60_000,
    meanChangeMs: pick(5_000, 30_000, 120_000),
    slowCheckMs: pick(0, 0, 6_000),
    shortage: pick(0, 0, 0.2, 0.6),
    triggerTrouble: pick(0, 0, 0.3),
    jumps: pick(false, false, true),
    meanOrderMs: pick(0, 0, 10_000, 60_000),
    meanRestartMs: pick(0, 0, 0, 5_000, 60_000),
    meanReloadMs: pick(0, 0, 5_000, 60_000),
  };
}
