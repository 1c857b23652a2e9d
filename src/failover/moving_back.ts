/** When and how traffic moves back to a better rank, by itself or because the operator wants it. */
import { formatDuration } from "../base/duration.ts";
import type { MoveKind } from "../events/events.ts";
import { leaveService } from "./admission.ts";
import { dampingMs, failbackAt, recentFailbacks } from "./failback.ts";
import { isDown, isSound } from "./health.ts";
import type { FailbackPlan, Policy, State } from "./state.ts";
import { promote } from "./switching.ts";
import type { StepContext } from "./step_context.ts";
import type { Upstream } from "./upstream.ts";

/**
 * The best upstream before the active one that is up and sound. Nobody while it can't be asked: neither
 * is an old verdict good enough for a move, nor the lack of a new one a reason to move elsewhere.
 */
function betterRank({ phase, upstreams, health }: State, policy: Policy): Upstream | undefined {
  if (phase.name !== "serving") return undefined;
  const better = upstreams.find(({ rank, name }) =>
    rank < phase.active.rank && isSound(health.get(name)!, policy)
  );
  return better === undefined || health.get(better.name)!.unheard !== undefined
    ? undefined
    : better;
}

/** Keeps the failback plan in step with the verdicts; runs after every input. */
export function planFailback(context: StepContext): void {
  const { state, policy, now, phase } = context;
  if (phase.name !== "serving") return;
  const better = betterRank(state, policy);
  const plan = keepPlan(context, phase.failbackPlan, better);
  if (better === undefined || plan !== undefined) return;
  const dampMs = policy.damping ? dampingMs(state.failbacks, now) : 0;
  const allowedAt = failbackAt(policy.failback, context.health(better.name).since, dampMs);
  if (allowedAt === undefined) return;
  const { failedMoves } = state;
  const retryAt = failedMoves?.to === better.name ? failedMoves.until : allowedAt;
  const at = Math.max(allowedAt, retryAt);
  if (at <= now) return moveTo(context, better, "failback", `${better.name} is up again`);
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
  const reason = isDown(health, context.policy)
    ? `${plan.to} is down again`
    : health.unheard !== undefined
    ? `${plan.to} can't be checked now`
    : !isSound(health, context.policy)
    ? `a check of ${plan.to} failed`
    : `${better?.name} is better still`;
  context.emit({ type: "failback.cancelled", to: plan.to, reason });
  return undefined;
}

function setPlan(context: StepContext, failbackPlan: FailbackPlan | undefined): void {
  const { phase } = context;
  if (phase.name === "serving") context.enter({ ...phase, failbackPlan });
}

/**
 * A move away from an upstream that still works. New clients wait for the triggers, or stay where they
 * are until then if the triggers may run beside the traffic.
 */
function moveTo(context: StepContext, to: Upstream, move: MoveKind, reason: string): void {
  const { phase } = context;
  if (phase.name !== "serving") return;
  const { active: upstream, epoch } = phase;
  // Those that run beside the traffic are ended by the triggers of a newer promotion.
  const triggers = phase.triggers.is === "ran" || phase.triggers.is === "failed"
    ? phase.triggers
    : { is: "failed" as const, reason: "they were called off", proof: "none" as const };
  if (context.policy.triggers === "before") leaveService(context, reason);
  promote(context, to, move, reason, { back: { upstream, epoch, triggers } });
}

/** Why an operator's order to move back would not be followed now; undefined if it would. */
export function whyNoFailback(state: State, policy: Policy): string | undefined {
  if (state.phase.name === "promoting") return "a promotion is under way";
  if (state.phase.name !== "serving") return "no upstream is serving now";
  if (policy.failback.kind === "never") return "--failback is never";
  return betterRank(state, policy) === undefined ? "no better upstream is up" : undefined;
}

/** The operator wants the best rank back now. */
export function takeOrder(context: StepContext): void {
  const reason = whyNoFailback(context.state, context.policy);
  if (reason !== undefined) return context.emit({ type: "failback.refused", reason });
  moveTo(
    context,
    betterRank(context.state, context.policy)!,
    "switchover",
    "ordered by the operator",
  );
}

/** Time has come for the failback that was planned. */
export function tickFailback(context: StepContext): void {
  const { phase, state, now, policy } = context;
  if (phase.name !== "serving") return;
  const plan = phase.failbackPlan;
  if (plan === undefined || now < plan.at) return;
  const to = state.upstreams.find((u) => u.name === plan.to);
  setPlan(context, undefined);
  if (to === undefined || to !== betterRank(context.state, policy)) return;
  moveTo(context, to, "failback", `${to.name} is up again`);
}
