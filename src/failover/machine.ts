/**
 * The failover machine: `step(state, input, now, policy)` → next state and effects. Pure: no clock, no socket,
 * no await. `state.ts` holds the theory and the words; this file holds every decision.
 */
import { backoffMs } from "../base/backoff.ts";
import { formatDuration } from "../base/duration.ts";
import type { MoveKind } from "../events/events.ts";
import { choose } from "./candidate.ts";
import { dampingMs, failbackAt, recentFailbacks } from "./failback.ts";
import { failuresSoFar, type Health, isDown, isUp, observe, trusted } from "./health.ts";
import type { Doubt, ProbeResult, Promotion } from "./ports.ts";
import { DOOMED_TRIGGERS_MS, type Input, type Policy, type State, type Step } from "./state.ts";
import { Turn } from "./turn.ts";
import type { Upstream } from "./upstream.ts";

/** Takes one input. `now` may stand still but is never taken to go back. */
export function step(state: State, input: Input, now: number, policy: Policy): Step {
  const turn = new Turn(state, Math.max(now, state.now), policy);
  switch (input.type) {
    case "begun":
      startRound(turn, 1, "start");
      break;
    case "probed":
      takeResult(turn, input.upstream, input.result);
      break;
    case "doubted":
      takeDoubt(turn, input.doubt);
      break;
    case "triggersEnded":
      takeTriggersEnded(turn, input.epoch);
      break;
    case "failbackOrdered":
      takeOrder(turn);
      break;
    case "ticked":
      takeTick(turn);
      break;
  }
  planFailback(turn);
  return { state: turn.state, effects: turn.effects };
}

// ---- Results and doubts

function takeResult(turn: Turn, name: string, result: ProbeResult): void {
  const { policy } = turn;
  const before = turn.health(name);
  const after = observe(before, result, policy, turn.now);
  // What the judgement lets in begins after the fall, and is not what the fall ends.
  const { epoch } = turn.state;
  turn.setHealth(name, after);
  tellVerdict(turn, name, before, after);
  judge(turn, name, result, before);
  if (isDown(after, policy) && !isDown(before, policy)) drainDown(turn, name, result, epoch);
}

/** What one result means in the present phase. */
function judge(turn: Turn, name: string, result: ProbeResult, before: Health): void {
  const { phase } = turn;
  switch (phase.name) {
    case "selecting":
      turn.enter({ ...phase, answers: new Map(phase.answers).set(name, result) });
      return judgeRound(turn);
    case "waiting":
      if (!result.passed) return;
      startRound(turn, phase.round + 1, phase.reason, [[name, result]]);
      return judgeRound(turn);
    case "promoting":
      return watchCandidate(turn);
    case "serving":
      if (phase.active.name !== name) return;
      if (!turn.isUp(phase.active)) return lose(turn, `${name} is down: ${result.reason}`);
      if (before.doubt !== "none" && turn.health(name).doubt === "none") {
        turn.ask({ do: "confirm", upstream: name });
      }
  }
}

function tellVerdict(turn: Turn, upstream: string, before: Health, after: Health): void {
  const { policy } = turn;
  const { reason, tookMs, passed } = after.last!;
  if (isUp(after, policy) && !isUp(before, policy)) {
    turn.tell({ type: "upstream.up", upstream, reason });
  } else if (isDown(after, policy) && !isDown(before, policy)) {
    const failingMs = turn.now - (after.failingSince ?? turn.now);
    turn.tell({ type: "upstream.down", upstream, reason, failingMs });
  } else if (!passed && isUp(after, policy)) {
    const failures = failuresSoFar(after, policy);
    turn.tell({ type: "probe.failed", upstream, reason, tookMs, failures, fall: policy.fall });
  }
}

/** A live connection failed. The first such report starts a probe at once; the rest add nothing. */
function takeDoubt(turn: Turn, doubt: Doubt): void {
  const { phase } = turn;
  if (phase.name !== "serving" || phase.active.name !== doubt.upstream) return;
  if (phase.epoch !== doubt.epoch) return;
  const before = turn.health(doubt.upstream);
  if (before.doubt === "hard" || (before.doubt === "soft" && !doubt.hard)) return;
  const after: Health = { ...before, doubt: doubt.hard ? "hard" : "soft" };
  turn.setHealth(doubt.upstream, after);
  turn.tell({ type: "upstream.doubted", upstream: doubt.upstream, reason: doubt.reason });
  turn.ask({ do: "probe", upstream: doubt.upstream });
}

/** Ends the sessions of an upstream that has just gone down, as far as the policy and the evidence go. */
function drainDown(turn: Turn, upstream: string, result: ProbeResult, throughEpoch: number): void {
  const { policy, now } = turn;
  if (policy.sessionsOnDown === "keep" || throughEpoch === 0) return;
  const quietMs = now - (turn.health(upstream).failingSince ?? now);
  turn.ask({
    do: "drain",
    order: {
      upstream,
      throughEpoch,
      graceMs: policy.graceMs,
      sparedIfMovedMs: result.evidence === "silent" ? Math.max(1_000, quietMs) : undefined,
      reason: result.reason,
    },
  });
}

// ---- Selecting

/** The active upstream cannot be used: hold the clients and look for another. */
function lose(turn: Turn, reason: string): void {
  leaveService(turn, reason);
  startRound(turn, 1, reason);
}

function leaveService(turn: Turn, reason: string): void {
  const { now, policy, state } = turn;
  if (state.door !== "open") return;
  turn.set({ outSince: now, failbackPlan: undefined });
  if (policy.holdMs === 0) return closeDoor(turn, reason);
  turn.set({ door: "holding", holdUntil: now + policy.holdMs });
  turn.ask({ do: "hold" });
  turn.tell({ type: "clients.held", reason, holdMs: policy.holdMs });
}

function closeDoor(turn: Turn, reason: string): void {
  if (turn.state.door === "closed") return;
  turn.set({ door: "closed", holdUntil: undefined, lastResort: undefined });
  turn.ask({ do: "refuse" });
  turn.tell({ type: "clients.refused", reason });
}

/**
 * A whole round found nobody, and nobody shall wait longer. If every check fails, the checks are more
 * likely to be wrong than all upstreams, unless these refuse connections themselves.
 */
function endHold(turn: Turn, reason: string): void {
  const { state, policy } = turn;
  const mayAnswer = ({ name }: Upstream) => turn.health(name).last?.evidence !== "refused";
  const resort = policy.failOpen ? state.upstreams.find(mayAnswer) : undefined;
  if (resort === undefined) return closeDoor(turn, reason);
  if (state.lastResort === resort.name) return;
  const epoch = state.epoch + 1;
  turn.set({ epoch, door: "open", holdUntil: undefined, lastResort: resort.name });
  turn.ask({ do: "open", upstream: resort, epoch });
  turn.tell({ type: "service.failedOpen", upstream: resort.name, epoch, reason });
}

function startRound(
  turn: Turn,
  round: number,
  reason: string,
  known: readonly (readonly [string, ProbeResult])[] = [],
): void {
  const { state, policy } = turn;
  const answers = new Map(known);
  const down = state.upstreams.filter((u) => isDown(turn.health(u.name), policy));
  const suspects = new Set(down.map((u) => u.name));
  turn.enter({ name: "selecting", round, reason, answers, suspects });
  if (round === 1) turn.tell({ type: "selection.started", reason });
  for (const { name } of state.upstreams) {
    if (!answers.has(name)) turn.ask({ do: "probe", upstream: name });
  }
}

function judgeRound(turn: Turn): void {
  const { phase, state } = turn;
  if (phase.name !== "selecting") return;
  const choice = choose(state.upstreams, phase.answers, phase.suspects);
  if (choice.found === "nothing-yet") return;
  if (choice.found === "candidate") {
    const { name } = choice.upstream;
    const move = state.lastActive === undefined ? "start" : "failover";
    promote(
      turn,
      choice.upstream,
      move,
      phase.reason === "start" ? `${name} is the first usable` : phase.reason,
    );
    return;
  }
  const reasons = state.upstreams.map(({ name }) => ({
    upstream: name,
    reason: phase.answers.get(name)?.reason ?? "no answer",
  }));
  const retryInMs = backoffMs(phase.round, turn.policy.maxBackoffMs);
  const { round, reason } = phase;
  turn.enter({ name: "waiting", round, reason, until: turn.now + retryInMs });
  turn.tell({ type: "selection.failed", round, retryInMs, reasons });
  const mayStillWait = state.door === "holding" && turn.policy.holdWhile === "down";
  if (!mayStillWait) endHold(turn, "no upstream is usable");
}

// ---- Promoting

function promote(turn: Turn, candidate: Upstream, move: MoveKind, reason: string): void {
  const { state, now, policy } = turn;
  const before = turn.health(candidate.name);
  const after = trusted(before, policy, now);
  turn.setHealth(candidate.name, after);
  if (after !== before && isDown(before, policy)) {
    const reason = after.last?.reason ?? "chosen";
    turn.tell({ type: "upstream.up", upstream: candidate.name, reason });
  }
  const epoch = state.epoch + 1;
  const from = state.lastActive;
  const promotion: Promotion = {
    move,
    id: `${policy.instance}-${epoch}`,
    epoch,
    from,
    to: candidate.name,
    reason,
  };
  // A failback counts as soon as it is tried: one that fails half-way has disturbed the clients too.
  const recent = recentFailbacks(state.failbacks, now);
  const failbacks = move === "failback" ? [...recent, now] : recent;
  turn.set({ epoch, failbacks, lastChosen: candidate.name, failbackPlan: undefined });
  turn.enter({ name: "promoting", candidate, promotion, doomedAt: undefined });
  turn.tell({ type: "promotion.started", ...told(promotion) });
  turn.ask({ do: "runTriggers", promotion });
  if (policy.triggers === "beside") finishPromotion(turn, candidate, promotion);
}

function told(promotion: Promotion) {
  const { from, ...rest } = promotion;
  return from === undefined ? rest : { ...rest, from };
}

/** While triggers run: a candidate that goes down dooms its promotion, one that comes back saves it. */
function watchCandidate(turn: Turn): void {
  const { phase, now } = turn;
  if (phase.name !== "promoting") return;
  const down = !turn.isUp(phase.candidate);
  if (down === (phase.doomedAt !== undefined)) return;
  turn.enter({ ...phase, doomedAt: down ? now + DOOMED_TRIGGERS_MS : undefined });
}

function takeTriggersEnded(turn: Turn, epoch: number): void {
  const { phase } = turn;
  if (phase.name !== "promoting" || phase.promotion.epoch !== epoch) return;
  if (phase.doomedAt !== undefined) return abandon(turn);
  finishPromotion(turn, phase.candidate, phase.promotion);
}

function abandon(turn: Turn): void {
  const { phase } = turn;
  if (phase.name !== "promoting") return;
  const { id, epoch, to } = phase.promotion;
  const reason = `${to} went down: ${turn.health(to).last?.reason ?? "no answer"}`;
  turn.tell({ type: "promotion.abandoned", id, epoch, to, reason });
  startRound(turn, 1, reason);
}

function finishPromotion(turn: Turn, active: Upstream, promotion: Promotion): void {
  const { now, state } = turn;
  const tookMs = now - (state.outSince ?? now);
  turn.enter({ name: "serving", active, epoch: promotion.epoch });
  turn.set({
    lastActive: active.name,
    door: "open",
    holdUntil: undefined,
    lastResort: undefined,
    outSince: undefined,
    servedSince: now,
  });
  turn.ask({ do: "open", upstream: active, epoch: promotion.epoch });
  turn.tell({ type: "promotion.finished", ...told(promotion), tookMs });
}

// ---- Moving back

function betterRank({ phase, upstreams, health }: State, policy: Policy): Upstream | undefined {
  if (phase.name !== "serving") return undefined;
  return upstreams.find(({ rank, name }) =>
    rank < phase.active.rank && isUp(health.get(name)!, policy)
  );
}

/** Keeps the failback plan in step with the verdicts; runs after every input. */
function planFailback(turn: Turn): void {
  const { state, policy, now, phase } = turn;
  if (phase.name !== "serving") return;
  const better = betterRank(state, policy);
  const plan = state.failbackPlan;
  if (plan !== undefined && plan.to !== better?.name) {
    turn.set({ failbackPlan: undefined });
    const down = isDown(turn.health(plan.to), policy);
    const reason = down ? `${plan.to} is down again` : `${better?.name} is better still`;
    turn.tell({ type: "failback.cancelled", to: plan.to, reason });
  }
  if (better === undefined || turn.state.failbackPlan !== undefined) return;
  const dampMs = policy.damping ? dampingMs(state.failbacks, now) : 0;
  const at = failbackAt(policy.failback, turn.health(better.name).since, dampMs);
  if (at === undefined) return;
  if (at <= now) return moveTo(turn, better, "failback", `${better.name} is up again`);
  turn.set({ failbackPlan: { to: better.name, at, dampingMs: dampMs } });
  const reason = dampMs > 0
    ? `damped by ${formatDuration(dampMs)}: ${
      recentFailbacks(state.failbacks, now).length
    } failbacks in the last 10 minutes`
    : "it must stay up until then";
  turn.tell({
    type: "failback.scheduled",
    to: better.name,
    inMs: Math.round(at - now),
    dampingMs: dampMs,
    reason,
  });
}

/** A move away from an upstream that still works: its sessions stay, new clients wait for the triggers. */
function moveTo(turn: Turn, to: Upstream, move: MoveKind, reason: string): void {
  if (turn.policy.triggers === "before") leaveService(turn, reason);
  promote(turn, to, move, reason);
}

/** Why an operator's order to move back would not be followed now; undefined if it would. */
export function whyNoFailback(state: State, policy: Policy): string | undefined {
  if (state.phase.name !== "serving") return "no upstream is serving now";
  if (policy.failback.kind === "never") return "--failback is never";
  return betterRank(state, policy) === undefined ? "no better upstream is up" : undefined;
}

/** The operator wants the best rank back now. */
function takeOrder(turn: Turn): void {
  const reason = whyNoFailback(turn.state, turn.policy);
  if (reason !== undefined) return turn.tell({ type: "failback.refused", reason });
  moveTo(turn, betterRank(turn.state, turn.policy)!, "switchover", "ordered by the operator");
}

// ---- Time

function takeTick(turn: Turn): void {
  const { now, state } = turn;
  if (state.holdUntil !== undefined && now >= state.holdUntil) {
    const { phase } = turn;
    const foundNobody = phase.name === "waiting" || (phase.name === "selecting" && phase.round > 1);
    const end = foundNobody ? endHold : closeDoor;
    end(turn, `held for ${formatDuration(turn.policy.holdMs)}`);
  }
  const { phase } = turn;
  if (phase.name === "waiting" && now >= phase.until) {
    startRound(turn, phase.round + 1, phase.reason);
  }
  if (phase.name === "promoting" && phase.doomedAt !== undefined && now >= phase.doomedAt) {
    turn.ask({ do: "cancelTriggers", epoch: phase.promotion.epoch });
    abandon(turn);
  }
  const plan = state.failbackPlan;
  if (phase.name === "serving" && plan !== undefined && now >= plan.at) {
    const to = state.upstreams.find((u) => u.name === plan.to);
    turn.set({ failbackPlan: undefined });
    if (to !== undefined && turn.isUp(to)) moveTo(turn, to, "failback", `${to.name} is up again`);
  }
}
