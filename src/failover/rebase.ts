/** A state of the machine as it would be under another policy. Pure. */
import { failuresSoFar, type Health, isUp, type Thresholds } from "./health.ts";
import type { Policy, State } from "./state.ts";

/**
 * Keeps the observations: the verdicts, and the number of consecutive failures or passes. Everything that depends
 * on the policy is calculated again. A hold that is under way ends as the other policy says.
 */
export function rebase(state: State, from: Policy, to: Policy): State {
  const health = new Map(
    [...state.health].map(([name, each]) => [name, rebaseHealth(each, from, to)]),
  );
  const { admission, phase } = state;
  const isBounded = admission.is === "holding" && admission.until !== Infinity;
  return {
    ...state,
    health,
    admission: isBounded ? { ...admission, until: admission.outSince + to.holdMs } : admission,
    // The first step with the other policy plans the failback anew.
    phase: phase.name === "serving" && !isSameFailback(from, to)
      ? { ...phase, failbackPlan: undefined }
      : phase,
  };
}

function isSameFailback(from: Policy, to: Policy): boolean {
  return JSON.stringify(from.failback) === JSON.stringify(to.failback) &&
    from.damping === to.damping;
}

function rebaseHealth(health: Health, from: Thresholds, to: Thresholds): Health {
  const { level } = health;
  if (level === undefined) return health;
  if (!isUp(health, from)) return { ...health, level: Math.min(level, to.rise - 1) };
  const full = to.rise + to.fall - 1;
  return { ...health, level: Math.max(to.rise, full - failuresSoFar(health, from)) };
}
