/** Failback and switchover: when and how traffic moves back to a better rank. */
import { formatDuration } from "../base/duration.ts";
import type { MoveKind } from "../events/events.ts";
import { leaveService } from "./admission.ts";
import { isDoubtedByOthers, isRefusedByOthers, mayDecide, whyUndecided } from "./cluster.ts";
import { cancelledForMove } from "./decided.ts";
import { dampingMs, failbackAt, recentFailbacks } from "./failback.ts";
import { isDown, isSound } from "./health.ts";
import { isOver } from "./memory.ts";
import { barOf, reportOf } from "./roles.ts";
import type { FailbackPlan, MoveOrder, Policy, State } from "./state.ts";
import { promote } from "./switching.ts";
import type { StepContext } from "./step_context.ts";
import type { Upstream } from "./upstream.ts";

/**
 * The best upstream before the active one that is up and sound; undefined if there is none. It is also
 * undefined while that upstream cannot be checked: an old verdict is not good enough for a move, and a
 * missing one is no reason to move to a third upstream.
 *
 * A standby gets the traffic back by itself only if this program promotes servers, which makes the present primary
 * a stale one; `isOrdered`: the operator wants it.
 */
export function betterRank(
  state: State,
  policy: Policy,
  isOrdered = false,
): Upstream | undefined {
  const { phase, upstreams, health, drained, cluster } = state;
  if (phase.name !== "serving") return undefined;
  const { active } = phase;
  const mayMoveTo = (name: string) =>
    reportOf(state, name)?.role !== "standby" || isOrdered || policy.roles?.promotedBy === "us";
  const better = upstreams.find(({ rank, name }) =>
    rank < active.rank && !drained.has(name) && isSound(health.get(name)!, policy) &&
    !(isOrdered ? isRefusedByOthers(state, name) : isDoubtedByOthers(cluster, name)) &&
    mayMoveTo(name) &&
    barOf(state, policy, name) === undefined
  );
  return better === undefined || health.get(better.name)!.noVerdict !== undefined
    ? undefined
    : better;
}

/** Brings the failback plan into line with the verdicts. Runs after every input. */
export function planFailback(context: StepContext): void {
  const { state, policy, now, phase } = context;
  if (phase.name !== "serving") return;
  const isBarred = !mayDecide(state) || state.pinned === phase.active.name;
  const better = isBarred ? undefined : betterRank(state, policy);
  const plan = keepPlan(context, phase.failbackPlan, better);
  if (better === undefined || plan !== undefined) return;
  const dampMs = policy.damping ? dampingMs(state.failbacks, now) : 0;
  const allowedAt = failbackAt(policy.failback, context.health(better.name).since, dampMs);
  if (allowedAt === undefined) return;
  const { failedMoves } = state;
  const retryAt = failedMoves?.to === better.name ? failedMoves.until : allowedAt;
  const at = Math.max(allowedAt, retryAt);
  if (at <= now) {
    return moveTo(context, better, "failback", { reason: `${better.name} is up again` });
  }
  setPlan(context, { to: better.name, at, dampingMs: dampMs });
  const recent = recentFailbacks(state.failbacks, now).length;
  const reason = at > allowedAt
    ? `its triggers failed ${failedMoves!.count === 1 ? "once" : `${failedMoves!.count} times`}`
    : dampMs > 0
    ? `damped by ${formatDuration(dampMs)}: ${recent} failbacks in the last 10 minutes`
    : "it must stay up until then";
  const inMs = Math.round(at - now);
  context.emit({ type: "failback.scheduled", to: better.name, inMs, dampingMs: dampMs, reason });
}

/** The plan, unless another upstream or none may get the traffic now: then it is cancelled. */
function keepPlan(
  context: StepContext,
  plan: FailbackPlan | undefined,
  better: Upstream | undefined,
): FailbackPlan | undefined {
  if (plan === undefined || plan.to === better?.name) return plan;
  setPlan(context, undefined);
  const health = context.health(plan.to);
  const reason = !mayDecide(context.state)
    ? whyUndecided(context.state)
    : !context.state.health.has(plan.to)
    ? `${plan.to} was removed from the list`
    : context.state.drained.has(plan.to)
    ? `${plan.to} is drained`
    : isDown(health, context.policy)
    ? `${plan.to} is down again`
    : health.noVerdict !== undefined
    ? `${plan.to} can't be checked now`
    : !isSound(health, context.policy)
    ? `a check of ${plan.to} failed`
    : barOf(context.state, context.policy, plan.to) !== undefined
    ? `${plan.to} may not be chosen: ${barOf(context.state, context.policy, plan.to)!.reason}`
    : `${better?.name} is better still`;
  context.emit({ type: "failback.cancelled", to: plan.to, reason });
  return undefined;
}

function setPlan(context: StepContext, failbackPlan: FailbackPlan | undefined): void {
  const { phase } = context;
  if (phase.name === "serving") context.enter({ ...phase, failbackPlan });
}

/**
 * Moves traffic away from an upstream that still works. New clients wait for the triggers; if these may
 * run beside the traffic, the old upstream serves until they have ended. With `waitMs` new clients wait in
 * any case, and the triggers begin when the sessions of the old upstream are quiet, or `waitMs`
 * milliseconds later.
 */
export function moveTo(
  context: StepContext,
  to: Upstream,
  move: MoveKind,
  { reason, order, waitMs }: {
    readonly reason: string;
    readonly order?: MoveOrder;
    readonly waitMs?: number;
  },
): void {
  const { phase } = context;
  if (phase.name !== "serving") return;
  const { active: upstream, epoch } = phase;
  // The triggers of the new promotion end older ones that run beside the traffic.
  const triggers = isOver(phase.triggers) ? phase.triggers : cancelledForMove();
  const isHeld = context.policy.triggers === "before" || (waitMs ?? 0) > 0;
  if (isHeld) leaveService(context, reason);
  promote(context, to, move, reason, { back: { upstream, epoch, triggers }, order, waitMs });
}

/** Why a switchover would be refused now, for a person; undefined if it would be done. */
export function whyNoFailback(state: State, policy: Policy): string | undefined {
  if (state.phase.name === "promoting") return "a promotion is under way";
  if (state.phase.name !== "serving") return "no upstream is serving now";
  if (policy.failback.kind === "never") return "--failback is never";
  return betterRank(state, policy, true) === undefined ? "no better upstream is up" : undefined;
}

/** Begins the planned failback when it is due. */
export function tickFailback(context: StepContext): void {
  const { phase, state, now, policy } = context;
  if (phase.name !== "serving") return;
  const plan = phase.failbackPlan;
  if (plan === undefined || now < plan.at) return;
  const to = state.upstreams.find((u) => u.name === plan.to);
  setPlan(context, undefined);
  if (to === undefined || to !== betterRank(context.state, policy)) return;
  moveTo(context, to, "failback", { reason: `${to.name} is up again` });
}
