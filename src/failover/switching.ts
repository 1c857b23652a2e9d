/**
 * From the choice of a candidate to its first client: the promotion, its triggers, and what follows if one of
 * these fails.
 */
import { backoffMs } from "../base/backoff.ts";
import type { MoveKind } from "../events/events.ts";
import { leaveService, outageMs } from "./admission.ts";
import { loseUnstored } from "./decided.ts";
import { drainBefore, drainLeft, spare } from "./drains.ts";
import { postponed, recentFailbacks } from "./failback.ts";
import { conclude, concludeReturn, conclusionOf, stay, takeUpOwn } from "./following.ts";
import { isDown, isUp, trusted } from "./health.ts";
import type { Promotion, TriggerOutcome } from "./ports.ts";
import { reportOf, takesWrites } from "./roles.ts";
import { NO_NAMES, startRound } from "./rounds.ts";
import {
  DOOMED_TRIGGERS_MS,
  type MoveOrder,
  type Phase,
  type Policy,
  type PreviousActive,
  type TriggerProgress,
} from "./state.ts";
import { isOver, servedBefore } from "./memory.ts";
import type { StepContext } from "./step_context.ts";
import type { Upstream } from "./upstream.ts";

/** Longest pause, in milliseconds, before triggers that failed or could not be started are run again. */
const TRIGGER_RETRY_MAX_MS = 10_000;

type Promoting = Extract<Phase, { name: "promoting" }>;

// ---- Promoting

/**
 * Begins a promotion. `back` is set for a failback or switchover: traffic returns there if it fails. With
 * `waitMs` the triggers begin when the sessions of `back` are quiet, at the latest after that time.
 */
export function promote(
  context: StepContext,
  candidate: Upstream,
  move: MoveKind,
  reason: string,
  { back, order, waitMs, round = 0, passedOver = NO_NAMES }: {
    readonly back?: PreviousActive;
    readonly order?: MoveOrder | undefined;
    readonly waitMs?: number | undefined;
    readonly round?: number;
    readonly passedOver?: ReadonlySet<string>;
  },
): void {
  const { state, now, policy } = context;
  bringUp(context, candidate);
  const epoch = state.epoch + 1;
  const from = state.lastServed?.to ?? servedBefore(state, candidate.name);
  const id = `${policy.instance}-${epoch}`;
  const promotion: Promotion = { move, id, epoch, from, to: candidate.name, reason };
  // A failback counts from its attempt: one that fails later has disturbed the clients as well.
  const recent = recentFailbacks(state.failbacks, now);
  const failbacks = move === "failback" ? [...recent, now] : recent;
  context.set({ epoch, stage: state.stage + 1, failbacks });
  const cutsFirst = back !== undefined && policy.sessionsOnMove === "cut" &&
    state.admission.is !== "open";
  const delayMs = waitMs ?? (cutsFirst ? policy.graceMs : 0);
  context.enter({
    name: "promoting",
    candidate,
    promotion,
    triggers: cutsFirst || delayMs > 0
      ? { is: "due", at: now + delayMs }
      : { is: "running", attempt: 1 },
    doomedAt: undefined,
    back,
    cutsFirst,
    order,
    round,
    passedOver,
  });
  context.emit({ type: "promotion.started", ...eventFields(promotion) });
  if (back !== undefined && delayMs > 0) {
    const isOrdered = order !== undefined && waitMs !== undefined;
    if (isOrdered) context.requestAction({ do: "awaitQuiet", upstream: back.upstream.name, epoch });
    return;
  }
  if (cutsFirst) return beginTriggers(context);
  if (back === undefined) drainBefore(context, promotion, drainReason(promotion));
  context.requestAction({ do: "runTriggers", promotion });
  if (policy.triggers === "beside" && back === undefined) finishPromotion(context);
}

/** A chosen upstream is up after one pass, whatever the rise threshold. */
export function bringUp(context: StepContext, { name }: Upstream): void {
  const before = context.health(name);
  context.setHealth(name, trusted(before, context.policy, context.now));
  if (isUp(before, context.policy)) return;
  const reason = before.last?.reason ?? "chosen";
  if (before.level !== undefined) context.emit({ type: "upstream.up", upstream: name, reason });
  spare(context, name, "soft");
}

/** The fields of an event about a promotion, without an empty `from`. */
function eventFields(promotion: Promotion) {
  const { from, ...rest } = promotion;
  return from === undefined ? rest : { ...rest, from };
}

/**
 * The wait is over: sessions on the upstream that traffic leaves are cut, if they are to be, and then the
 * triggers begin.
 */
export function beginTriggers(context: StepContext): void {
  const { phase } = context;
  if (phase.name !== "promoting" || phase.back === undefined) return;
  const { back, promotion } = phase;
  if (phase.cutsFirst) {
    drainLeft(context, back.upstream.name, promotion.epoch - 1, 0, drainReason(promotion));
  }
  context.enter({ ...phase, triggers: { is: "running", attempt: 1 } });
  context.requestAction({ do: "runTriggers", promotion });
}

function drainReason({ to, reason }: Promotion): string {
  return `traffic moves to ${to}: ${reason}`;
}

/** Applies a result of the upstream `name` to the promotion that is under way. */
export function watchPromotion(context: StepContext, name: string): void {
  const { phase, now } = context;
  if (phase.name !== "promoting") return;
  const isBackDown = phase.back?.upstream.name === name &&
    isDown(context.health(name), context.policy);
  if (isBackDown) return loseBack(context, phase);
  const down = !context.isUp(phase.candidate);
  if (down === (phase.doomedAt !== undefined)) return;
  const doomed: Promoting = { ...phase, doomedAt: down ? now + DOOMED_TRIGGERS_MS : undefined };
  context.enter(doomed);
  // Triggers that run may finish, since one ended half-way can leave a server half promoted; but not if
  // the old upstream can serve again.
  if (down && (phase.back !== undefined || phase.triggers.is !== "running")) giveUp(context);
}

/** The upstream that traffic was about to leave went down, or as `why` says: the move is now a failover. */
export function loseBack(context: StepContext, phase: Promoting, why?: string): void {
  const { name } = phase.back!.upstream;
  const isOpen = context.state.admission.is === "open";
  context.enter({ ...phase, back: undefined });
  if (phase.triggers.is === "due") beginTriggersOf(context);
  if (!isOpen) return;
  leaveService(context, why ?? `${name} is down: ${context.lastReason(name)}`);
  // The triggers run beside the traffic, and no other upstream can take it.
  finishPromotion(context);
}

function beginTriggersOf(context: StepContext): void {
  const { phase } = context;
  if (phase.name !== "promoting") return;
  drainBefore(context, phase.promotion, drainReason(phase.promotion));
  context.enter({ ...phase, triggers: { is: "running", attempt: 1 } });
  context.requestAction({ do: "runTriggers", promotion: phase.promotion });
}

/** Ends a promotion whose candidate is down, or cannot be used as `why` says. */
export function giveUp(context: StepContext, why?: string): void {
  const { phase } = context;
  if (phase.name !== "promoting") return;
  const { epoch, to } = phase.promotion;
  if (phase.triggers.is === "running") context.requestAction({ do: "cancelTriggers", epoch });
  abandon(context, why ?? `${to} went down: ${context.lastReason(to)}`);
}

/** The promotion failed: returns to the upstream that served before, or begins a new selection. */
function abandon(context: StepContext, reason: string, passedOver?: ReadonlySet<string>): void {
  const { phase, state } = context;
  if (phase.name !== "promoting") return;
  const { id, epoch, to } = phase.promotion;
  context.set({ stage: state.stage + 1 });
  context.emit({ type: "promotion.abandoned", id, epoch, to, reason });
  if (phase.order !== undefined) context.settle(phase.order.id, { is: "failed", reason });
  if (phase.back !== undefined) return comeBack(context, phase.back, reason);
  if (passedOver === undefined) return startRound(context, 1, reason);
  startRound(context, Math.max(1, phase.round), reason, [], passedOver);
}

/** A failback or switchover failed: the upstream that served before is up and continues to serve. */
function comeBack(context: StepContext, back: PreviousActive, reason: string): void {
  const { state, now } = context;
  const { upstream, triggers } = back;
  const isOpen = state.admission.is === "open";
  const epoch = isOpen ? back.epoch : state.epoch + 1;
  context.enter({ name: "serving", active: upstream, epoch, triggers, failbackPlan: undefined });
  const tookMs = outageMs(state.admission, now);
  context.set({ epoch: Math.max(epoch, state.epoch), admission: { is: "open" } });
  concludeReturn(context, upstream.name, reason, isOpen ? undefined : epoch);
  if (!isOpen) context.admit({ do: "open", upstream, epoch });
  context.emit({ type: "service.returned", upstream: upstream.name, epoch, reason, tookMs });
}

// ---- Triggers

/** Applies the outcome of the triggers of a promotion. */
export function takeTriggersEnded(
  context: StepContext,
  epoch: number,
  outcome: TriggerOutcome,
): void {
  const { phase, state } = context;
  if (phase.name === "promoting" && phase.promotion.epoch === epoch) {
    if (phase.triggers.is !== "running") return;
    context.set({ stage: state.stage + 1 });
    return endPromotion(context, phase, phase.triggers.attempt, outcome);
  }
  if (phase.name === "promoting" && phase.back?.epoch === epoch && outcome.how === "denied") {
    // What traffic was about to leave has never been opened.
    return loseBack(context, phase, outcome.reason);
  }
  if (phase.name !== "serving") return;
  if (phase.epoch !== epoch) {
    if (outcome.how === "cancelled") stay(context, epoch);
    return;
  }
  // Its port was not opened, or must not stay open: another proxy may have decided otherwise.
  if (outcome.how === "denied") return loseUnstored(context, outcome.reason);
  if (phase.triggers.is !== "running") {
    if (outcome.how === "cancelled") takeUpOwn(context);
    return;
  }
  context.set({ stage: state.stage + 1 });
  if (outcome.how === "ran") context.set({ lastChosen: phase.active.name });
  const triggers = progressAfter(context, phase.active.name, phase.triggers.attempt, outcome);
  context.enter({ ...phase, triggers });
  const { lastServed } = context.state;
  if (isOver(triggers) && lastServed?.promotion !== undefined) {
    conclude(context, conclusionOf(lastServed.promotion));
  }
  if (triggers.is !== "failed") return;
  context.emit({ type: "promotion.flawed", to: phase.active.name, epoch, reason: triggers.reason });
  context.requestAction({ do: "probe", upstream: phase.active.name });
}

function endPromotion(
  context: StepContext,
  phase: Promoting,
  attempt: number,
  outcome: TriggerOutcome,
): void {
  const { candidate: { name }, back, passedOver, doomedAt } = phase;
  if (outcome.how === "ran") context.set({ lastChosen: name });
  if (outcome.how === "denied") return abandon(context, outcome.reason);
  if (doomedAt !== undefined) return giveUpAfter(context, phase);
  if (outcome.how === "ran") {
    context.enter({ ...phase, triggers: { is: "ran" } });
    return finishPromotion(context);
  }
  const mayReturn = back !== undefined && !(outcome.how === "short" && outcome.hasBegun);
  if (mayReturn) {
    const { failedMoves } = context.state;
    context.set({ failedMoves: postponed(failedMoves, name, context.now) });
    return abandon(context, why(outcome));
  }
  const { onTriggerFailure } = context.policy;
  if (outcome.how === "failed" && isForNext(outcome, onTriggerFailure)) {
    if (outcome.promotion === "refused") giveUpRemembered(context, name);
    return abandon(context, why(outcome), new Set(passedOver).add(name));
  }
  const triggers = progressAfter(context, name, attempt, outcome);
  context.enter({ ...phase, triggers });
  if (outcome.how === "failed" && outcome.promotion !== undefined) {
    for (const { name } of context.state.upstreams) {
      context.requestAction({ do: "probe", upstream: name });
    }
  }
  if (triggers.is === "failed") finishPromotion(context);
}

/**
 * Whether another upstream is tried after this failure. A server that may have become the primary, or still may, is
 * not left while it is up, because there would be two. One that refused is tried again in a later round, as meanwhile
 * a primary may have come back.
 */
function isForNext(
  { promotion }: Extract<TriggerOutcome, { how: "failed" }>,
  onTriggerFailure: Policy["onTriggerFailure"],
): boolean {
  if (promotion === "unclear") return false;
  return promotion === "refused" || onTriggerFailure === "next";
}

/** An interrupted promotion was refused now: the one before it counts again, unless the candidate is a primary already. */
function giveUpRemembered(context: StepContext, name: string): void {
  const { remembered } = context.state;
  const isDone = remembered?.served === name || takesWrites(context.state, name);
  if (remembered?.unfinished?.to !== name || isDone) return;
  context.set({ remembered: { ...remembered, isGivenUp: true } });
}

/** The triggers of a candidate that is down have ended without being cancelled. */
function giveUpAfter(context: StepContext, phase: Promoting): void {
  context.enter({ ...phase, triggers: { is: "ran" } });
  giveUp(context);
}

/** What follows an attempt to run triggers if only the policy decides. */
function progressAfter(
  context: StepContext,
  to: string,
  attempt: number,
  outcome: TriggerOutcome,
): TriggerProgress {
  if (outcome.how === "ran") return { is: "ran" };
  const reason = why(outcome);
  // Triggers that something else cancelled have not run either.
  const isRepeated = outcome.how !== "failed" || outcome.promotion !== undefined ||
    context.policy.onTriggerFailure === "retry";
  if (!isRepeated) return { is: "failed", reason, proof: "none" };
  const retryInMs = backoffMs(attempt, Math.min(context.policy.maxBackoffMs, TRIGGER_RETRY_MAX_MS));
  const { epoch } = context.state;
  context.emit({ type: "promotion.delayed", to, epoch, reason, attempt, retryInMs });
  return { is: "retrying", at: context.now + retryInMs, attempt, reason };
}

function why(outcome: Exclude<TriggerOutcome, { how: "ran" }>): string {
  return outcome.how === "cancelled" ? "its triggers were cancelled" : outcome.reason;
}

/** Begins triggers that are due, repeats them, or gives up a candidate that is down. */
export function tickPromotion(context: StepContext): void {
  const { phase, now } = context;
  if (phase.name === "promoting") {
    const { triggers, doomedAt } = phase;
    if (triggers.is === "due" && now >= triggers.at) return beginTriggers(context);
    if (doomedAt !== undefined && now >= doomedAt) return giveUp(context);
  }
  if (!("triggers" in phase) || phase.triggers.is !== "retrying") return;
  const { at, attempt } = phase.triggers;
  if (now < at) return;
  const instead = returnedPrimary(context);
  if (instead !== undefined) return abandon(context, instead);
  const promotion = phase.name === "promoting"
    ? phase.promotion
    : context.state.lastServed!.promotion!;
  context.enter({ ...phase, triggers: { is: "running", attempt: attempt + 1 } });
  context.requestAction({ do: "runTriggers", promotion });
}

/**
 * Why a promotion that is unclear is not tried again: the candidate is still a standby, and the primary is back. If
 * the candidate becomes one later all the same, it is a rival that gets no clients.
 */
function returnedPrimary({ state, policy, phase }: StepContext): string | undefined {
  const { lastChosen } = state;
  if (phase.name !== "promoting" || policy.roles === undefined || lastChosen === undefined) return;
  const { name } = phase.candidate;
  if (lastChosen === name || !takesWrites(state, lastChosen)) return undefined;
  if (reportOf(state, name)?.role !== "standby") return undefined;
  return `${name} is still a standby, and ${lastChosen} is the primary again`;
}

// ---- Serving

/** Lets clients in: every trigger of the candidate has ended, or runs beside the traffic. */
function finishPromotion(context: StepContext): void {
  const { phase, now, state, policy } = context;
  if (phase.name !== "promoting") return;
  const { candidate: active, promotion, triggers, back, order, cutsFirst } = phase;
  const { epoch } = promotion;
  const tookMs = outageMs(state.admission, now);
  context.enter({ name: "serving", active, epoch, triggers, failbackPlan: undefined });
  context.set({
    admission: { is: "open" },
    lastServed: { to: active.name, promotion, since: now },
    remembered: undefined,
    failedMoves: undefined,
    pinned: order?.pins === true ? active.name : undefined,
  });
  spare(context, active.name);
  if (isOver(triggers)) conclude(context, conclusionOf(promotion));
  context.admit({ do: "open", upstream: active, epoch });
  const flaw = triggers.is === "failed" ? { triggersFailed: triggers.reason } : {};
  context.emit({ type: "promotion.finished", ...eventFields(promotion), tookMs, ...flaw });
  if (triggers.is === "failed") context.requestAction({ do: "probe", upstream: active.name });
  if (order !== undefined) context.settle(order.id, { is: "finished" });
  if (back === undefined || policy.sessionsOnMove === "keep" || cutsFirst) return;
  const graceMs = policy.sessionsOnMove === "cut" ? policy.graceMs : policy.drainMs;
  drainLeft(context, back.upstream.name, epoch - 1, graceMs, drainReason(promotion));
}

/**
 * Applies a result of the active upstream if its triggers failed. A check that passes while it serves
 * shows that the promotion succeeded in spite of that.
 */
export function proveActive(context: StepContext, passed: boolean): void {
  const { phase } = context;
  if (phase.name !== "serving") return;
  const { triggers } = phase;
  if (triggers.is !== "failed" || triggers.proof === "passed") return;
  context.enter({ ...phase, triggers: { ...triggers, proof: passed ? "passed" : "failed" } });
  if (passed) context.set({ lastChosen: phase.active.name });
}
