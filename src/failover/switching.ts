/**
 * The way from lost service to the next upstream: rounds of selection, the promotion of a candidate, its
 * triggers, and what follows when one of these fails.
 */
import { backoffMs } from "../base/backoff.ts";
import type { MoveKind } from "../events/events.ts";
import { choose } from "./candidate.ts";
import { endHold, leaveService } from "./admission.ts";
import { drainLeft, spare } from "./drains.ts";
import { recentFailbacks, retryFailbackMs } from "./failback.ts";
import { isDown, isUp, trusted } from "./health.ts";
import type { ProbeResult, Promotion, TriggerOutcome } from "./ports.ts";
import { DOOMED_TRIGGERS_MS, type Former, type Phase, type TriggerProgress } from "./state.ts";
import type { Turn } from "./step_context.ts";
import type { Upstream } from "./upstream.ts";

const NOBODY: ReadonlySet<string> = new Set();
/** Longest pause before triggers that could not be started, or failed, are tried again. */
const TRIGGER_RETRY_MAX_MS = 10_000;

type Promoting = Extract<Phase, { name: "promoting" }>;

// ---- Selecting

/** The active upstream cannot be used: hold the clients and look for another. */
export function lose(turn: Turn, reason: string): void {
  leaveService(turn, reason);
  startRound(turn, 1, reason);
}

export function startRound(
  turn: Turn,
  round: number,
  reason: string,
  known: readonly (readonly [string, ProbeResult])[] = [],
  passedOver = NOBODY,
): void {
  const { state, policy } = turn;
  const answers = new Map(known);
  const down = state.upstreams.filter((u) => isDown(turn.health(u.name), policy));
  const suspects = new Set(down.map((u) => u.name));
  turn.enter({ name: "selecting", round, reason, answers, suspects, passedOver });
  if (round === 1) turn.tell({ type: "selection.started", reason });
  for (const { name } of state.upstreams) {
    if (!answers.has(name)) turn.ask({ do: "probe", upstream: name });
  }
}

export function judgeRound(turn: Turn): void {
  const { phase, state } = turn;
  if (phase.name !== "selecting") return;
  const { answers, suspects, passedOver, round, reason } = phase;
  const choosable = state.upstreams.filter(({ name }) => !passedOver.has(name));
  const choice = choose(choosable, answers, suspects);
  if (choice.found === "nothing-yet") return;
  if (choice.found === "candidate") {
    const { name } = choice.upstream;
    const move = state.lastActive === undefined ? "start" : "failover";
    const why = reason === "start" ? `${name} is the first usable` : reason;
    return promote(turn, choice.upstream, move, why, { round, passedOver });
  }
  const reasons = state.upstreams.map(({ name }) => ({
    upstream: name,
    reason: passedOver.has(name) ? "its triggers failed" : answers.get(name)?.reason ?? "no answer",
  }));
  const retryInMs = backoffMs(round, turn.policy.maxBackoffMs);
  turn.enter({ name: "waiting", round, reason, until: turn.now + retryInMs, passedOver });
  turn.tell({ type: "selection.failed", round, retryInMs, reasons });
  // Who could not be asked may well be usable: that is no reason to turn clients away.
  const couldNotAsk = [...answers.values()].some((answer) => answer.evidence === "none");
  const { holdUntil, door } = state;
  const mayStillWait = holdUntil !== undefined && turn.policy.holdWhile === "down";
  const mayBeAsked = couldNotAsk && (door === "holding" || round === 1);
  if (!mayStillWait && !mayBeAsked) endHold(turn, "no upstream is usable");
}

// ---- Promoting

/** Begins a promotion. `back` is where traffic goes again if this is a move that may fail. */
export function promote(
  turn: Turn,
  candidate: Upstream,
  move: MoveKind,
  reason: string,
  { back, round = 0, passedOver = NOBODY }: {
    readonly back?: Former;
    readonly round?: number;
    readonly passedOver?: ReadonlySet<string>;
  },
): void {
  const { state, now, policy } = turn;
  believe(turn, candidate);
  const epoch = state.epoch + 1;
  const from = state.lastActive;
  const id = `${policy.instance}-${epoch}`;
  const promotion: Promotion = { move, id, epoch, from, to: candidate.name, reason };
  // A failback counts as soon as it is tried: one that fails half-way has disturbed the clients too.
  const recent = recentFailbacks(state.failbacks, now);
  const failbacks = move === "failback" ? [...recent, now] : recent;
  turn.set({ epoch, stage: state.stage + 1, failbacks, failbackPlan: undefined });
  const isCutFirst = back !== undefined && policy.sessionsOnMove === "cut" &&
    policy.triggers === "before";
  turn.enter({
    name: "promoting",
    candidate,
    promotion,
    triggers: isCutFirst ? { is: "due", at: now + policy.graceMs } : { is: "running", attempt: 1 },
    doomedAt: undefined,
    back,
    round,
    passedOver,
  });
  turn.tell({ type: "promotion.started", ...told(promotion) });
  if (isCutFirst) {
    if (policy.graceMs === 0) beginTriggers(turn);
    return;
  }
  turn.ask({ do: "runTriggers", promotion });
  if (policy.triggers === "beside" && back === undefined) finishPromotion(turn);
}

/** One pass is enough for an upstream that is chosen. */
function believe(turn: Turn, { name }: Upstream): void {
  const before = turn.health(name);
  const after = trusted(before, turn.policy, turn.now);
  turn.setHealth(name, after);
  if (isUp(before, turn.policy) || before.level === undefined) return;
  turn.tell({ type: "upstream.up", upstream: name, reason: after.last?.reason ?? "chosen" });
  spare(turn, name, "soft");
}

function told(promotion: Promotion) {
  const { from, ...rest } = promotion;
  return from === undefined ? rest : { ...rest, from };
}

/** The grace is over: sessions on the upstream that is being left end, and only then the triggers begin. */
function beginTriggers(turn: Turn): void {
  const { phase } = turn;
  if (phase.name !== "promoting" || phase.back === undefined) return;
  const { back, promotion } = phase;
  drainLeft(turn, back.upstream.name, promotion.epoch - 1, 0, leaving(promotion));
  turn.enter({ ...phase, triggers: { is: "running", attempt: 1 } });
  turn.ask({ do: "runTriggers", promotion });
}

function leaving({ to, reason }: Promotion): string {
  return `traffic moves to ${to}: ${reason}`;
}

/** While a promotion is under way: what a result about `name` means for it. */
export function watchPromotion(turn: Turn, name: string): void {
  const { phase, now } = turn;
  if (phase.name !== "promoting") return;
  const isBackDown = phase.back?.upstream.name === name &&
    isDown(turn.health(name), turn.policy);
  if (isBackDown) return loseBack(turn, phase);
  const down = !turn.isUp(phase.candidate);
  if (down === (phase.doomedAt !== undefined)) return;
  const doomed: Promoting = { ...phase, doomedAt: down ? now + DOOMED_TRIGGERS_MS : undefined };
  turn.enter(doomed);
  // What runs may finish, for it may be of use to somebody; but not while service could be had.
  if (down && (phase.back !== undefined || phase.triggers.is !== "running")) giveUp(turn);
}

/** The upstream that traffic was to leave went down before it was left: now the move must succeed. */
function loseBack(turn: Turn, phase: Promoting): void {
  const { name } = phase.back!.upstream;
  const { door } = turn.state;
  turn.enter({ ...phase, back: undefined });
  if (phase.triggers.is === "due") beginTriggersOf(turn);
  if (door !== "open") return;
  leaveService(turn, `${name} is down: ${turn.health(name).last?.reason ?? "no answer"}`);
  // These triggers run beside the traffic, which has nowhere else to go now.
  finishPromotion(turn);
}

function beginTriggersOf(turn: Turn): void {
  const { phase } = turn;
  if (phase.name !== "promoting") return;
  turn.enter({ ...phase, triggers: { is: "running", attempt: 1 } });
  turn.ask({ do: "runTriggers", promotion: phase.promotion });
}

/** Ends a promotion whose candidate is down. */
function giveUp(turn: Turn): void {
  const { phase } = turn;
  if (phase.name !== "promoting") return;
  const { epoch, to } = phase.promotion;
  if (phase.triggers.is === "running") turn.ask({ do: "cancelTriggers", epoch });
  abandon(turn, `${to} went down: ${turn.health(to).last?.reason ?? "no answer"}`);
}

/** The promotion has failed: back to the upstream that served, or on to the next candidate. */
function abandon(turn: Turn, reason: string, passedOver?: ReadonlySet<string>): void {
  const { phase, state } = turn;
  if (phase.name !== "promoting") return;
  const { id, epoch, to } = phase.promotion;
  turn.set({ stage: state.stage + 1 });
  turn.tell({ type: "promotion.abandoned", id, epoch, to, reason });
  if (phase.back !== undefined) return comeBack(turn, phase.back, reason);
  if (passedOver === undefined) return startRound(turn, 1, reason);
  startRound(turn, Math.max(1, phase.round), reason, [], passedOver);
}

/** A failback or switchover failed: the upstream that served until then is still up and serves on. */
function comeBack(turn: Turn, back: Former, reason: string): void {
  const { state, now } = turn;
  const { upstream, triggers, proof } = back;
  const isOpen = state.door === "open";
  const epoch = isOpen ? back.epoch : state.epoch + 1;
  turn.enter({ name: "serving", active: upstream, epoch, triggers, proof });
  const tookMs = now - (state.outSince ?? now);
  turn.set({
    epoch: Math.max(epoch, state.epoch),
    door: "open",
    holdUntil: undefined,
    outSince: undefined,
  });
  if (!isOpen) turn.ask({ do: "open", upstream, epoch });
  turn.tell({ type: "service.returned", upstream: upstream.name, epoch, reason, tookMs });
}

// ---- Triggers

/** The triggers of a promotion have ended, or could not be started. */
export function takeTriggersEnded(turn: Turn, epoch: number, outcome: TriggerOutcome): void {
  const { phase, state } = turn;
  if (phase.name === "promoting" && phase.promotion.epoch === epoch) {
    if (phase.triggers.is !== "running") return;
    turn.set({ stage: state.stage + 1 });
    return endPromotion(turn, phase, phase.triggers.attempt, outcome);
  }
  if (phase.name !== "serving" || phase.epoch !== epoch || phase.triggers.is !== "running") return;
  turn.set({ stage: state.stage + 1 });
  if (outcome.how === "ran") turn.set({ lastChosen: phase.active.name });
  const triggers = progressAfter(turn, phase.active.name, phase.triggers.attempt, outcome);
  turn.enter({ ...phase, triggers });
  if (triggers.is !== "failed") return;
  turn.tell({ type: "promotion.flawed", to: phase.active.name, epoch, reason: triggers.reason });
  turn.ask({ do: "probe", upstream: phase.active.name });
}

function endPromotion(
  turn: Turn,
  phase: Promoting,
  attempt: number,
  outcome: TriggerOutcome,
): void {
  const { candidate: { name }, back, passedOver, doomedAt } = phase;
  if (outcome.how === "ran") turn.set({ lastChosen: name });
  if (doomedAt !== undefined) return giveUpAfter(turn, phase);
  if (outcome.how === "ran") {
    turn.enter({ ...phase, triggers: { is: "ran" } });
    return finishPromotion(turn);
  }
  const mayReturn = back !== undefined && !(outcome.how === "short" && outcome.hasBegun);
  if (mayReturn) {
    postponeFailback(turn, name);
    return abandon(turn, why(outcome));
  }
  const { onTriggerFailure } = turn.policy;
  if (outcome.how === "failed" && onTriggerFailure === "next") {
    return abandon(turn, why(outcome), new Set(passedOver).add(name));
  }
  const triggers = progressAfter(turn, name, attempt, outcome);
  turn.enter({ ...phase, triggers });
  if (triggers.is === "failed") finishPromotion(turn);
}

/** The triggers of a candidate that is down have ended by themselves. */
function giveUpAfter(turn: Turn, phase: Promoting): void {
  turn.enter({ ...phase, triggers: { is: "ran" } });
  giveUp(turn);
}

/** Where the triggers are after an attempt, when nobody but the policy has a say. */
function progressAfter(
  turn: Turn,
  to: string,
  attempt: number,
  outcome: TriggerOutcome,
): TriggerProgress {
  if (outcome.how === "ran") return { is: "ran" };
  const reason = why(outcome);
  // One that was called off, and not by us, has not run either.
  const isRepeated = outcome.how !== "failed" || turn.policy.onTriggerFailure === "retry";
  if (!isRepeated) return { is: "failed", reason };
  const retryInMs = backoffMs(attempt, Math.min(turn.policy.maxBackoffMs, TRIGGER_RETRY_MAX_MS));
  const { epoch } = turn.state;
  turn.tell({ type: "promotion.delayed", to, epoch, reason, attempt, retryInMs });
  return { is: "retrying", at: turn.now + retryInMs, attempt, reason };
}

function why(outcome: Exclude<TriggerOutcome, { how: "ran" }>): string {
  return outcome.how === "calledOff" ? "its triggers were called off" : outcome.reason;
}

/** The next automatic failback to an upstream whose triggers failed must wait, longer each time. */
function postponeFailback(turn: Turn, to: string): void {
  const { failedMoves } = turn.state;
  const count = failedMoves?.to === to ? failedMoves.count + 1 : 1;
  turn.set({ failedMoves: { to, count, until: turn.now + retryFailbackMs(count) } });
}

/** Time has come for triggers that are due, to be repeated, or doomed. */
export function tickPromotion(turn: Turn): void {
  const { phase, now } = turn;
  if (phase.name === "promoting") {
    const { triggers, doomedAt } = phase;
    if (triggers.is === "due" && now >= triggers.at) return beginTriggers(turn);
    if (doomedAt !== undefined && now >= doomedAt) return giveUp(turn);
  }
  if (!("triggers" in phase) || phase.triggers.is !== "retrying") return;
  const { at, attempt } = phase.triggers;
  if (now < at) return;
  const promotion = phase.name === "promoting" ? phase.promotion : turn.state.lastPromotion!;
  turn.enter({ ...phase, triggers: { is: "running", attempt: attempt + 1 } });
  turn.ask({ do: "runTriggers", promotion });
}

// ---- Serving

/** Lets clients in to the candidate: every trigger has ended, or runs beside them. */
function finishPromotion(turn: Turn): void {
  const { phase, now, state, policy } = turn;
  if (phase.name !== "promoting") return;
  const { candidate: active, promotion, triggers, back } = phase;
  const { epoch } = promotion;
  const tookMs = now - (state.outSince ?? now);
  turn.enter({ name: "serving", active, epoch, triggers, proof: "none" });
  turn.set({
    lastActive: active.name,
    lastPromotion: promotion,
    door: "open",
    holdUntil: undefined,
    lastResort: undefined,
    outSince: undefined,
    servedSince: now,
    failedMoves: undefined,
  });
  spare(turn, active.name);
  turn.ask({ do: "open", upstream: active, epoch });
  const flaw = triggers.is === "failed" ? { triggersFailed: triggers.reason } : {};
  turn.tell({ type: "promotion.finished", ...told(promotion), tookMs, ...flaw });
  if (triggers.is === "failed") turn.ask({ do: "probe", upstream: active.name });
  const wasCut = policy.triggers === "before" && policy.sessionsOnMove === "cut";
  if (back === undefined || policy.sessionsOnMove === "keep" || wasCut) return;
  const graceMs = policy.sessionsOnMove === "cut" ? policy.graceMs : policy.drainMs;
  drainLeft(turn, back.upstream.name, epoch - 1, graceMs, leaving(promotion));
}

/**
 * A verdict on the active upstream whose triggers failed, asked for while it served: a pass shows that it
 * is what was wanted all the same.
 */
export function proveActive(turn: Turn, passed: boolean): void {
  const { phase } = turn;
  if (phase.name !== "serving" || phase.triggers.is !== "failed" || phase.proof === "passed") {
    return;
  }
  turn.enter({ ...phase, proof: passed ? "passed" : "failed" });
  if (passed) turn.set({ lastChosen: phase.active.name });
}
