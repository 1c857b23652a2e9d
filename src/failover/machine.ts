/**
 * The failover machine: `step(state, input, now, policy)` → next state and effects. Pure: no clock, no socket,
 * no await. `state.ts` holds the theory and the words. Here inputs are taken; `switching.ts` decides who
 * is next and promotes it, `moving_back.ts` when a better rank gets the traffic back, `door.ts` what new
 * clients meet, `drains.ts` which sessions end.
 */
import { formatDuration } from "../base/duration.ts";
import { endHold, overstayed } from "./admission.ts";
import { drainDown, spare } from "./drains.ts";
import { doubted, failuresSoFar, type Health, isDown, isUp, observe } from "./health.ts";
import { planFailback, takeOrder, tickFailback } from "./moving_back.ts";
import type { Doubt, ProbeResult } from "./ports.ts";
import { activeOf, type Input, type Policy, type State, type Step } from "./state.ts";
import {
  judgeRound,
  lose,
  proveActive,
  startRound,
  takeTriggersEnded,
  tickPromotion,
  watchPromotion,
} from "./switching.ts";
import { Turn } from "./step_context.ts";

/** Takes one input. `now` may stand still but is never taken to go back. */
export function step(state: State, input: Input, now: number, policy: Policy): Step {
  const turn = new Turn(state, Math.max(now, state.now), policy);
  switch (input.type) {
    case "begun":
      if (!hasBegun(state)) startRound(turn, 1, "start");
      break;
    case "probed":
      takeResult(turn, input.upstream, input.result, input.stage);
      break;
    case "doubted":
      takeDoubt(turn, input.doubt);
      break;
    case "triggersEnded":
      takeTriggersEnded(turn, input.epoch, input.outcome);
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

function hasBegun({ phase }: State): boolean {
  return phase.name !== "waiting" || phase.round > 0;
}

// ---- Results and doubts

function takeResult(turn: Turn, name: string, result: ProbeResult, stage: number): void {
  if (stage !== turn.state.stage) {
    // Who was overtaken is being asked again already.
    if (result.overtaken !== true) turn.ask({ do: "probe", upstream: name });
    return;
  }
  const { policy } = turn;
  const before = turn.health(name);
  const after = observe(before, result, policy, turn.now);
  // What the judgement lets in begins after the fall, and is not what the fall ends.
  const { epoch } = turn.state;
  turn.setHealth(name, after);
  tellVerdict(turn, name, result, before, after);
  const hasFallen = isDown(after, policy) && !isDown(before, policy);
  if (isUp(after, policy) && isDown(before, policy)) spare(turn, name, "soft");
  judge(turn, name, result, before);
  if (result.evidence !== "none") drainDown(turn, name, result, hasFallen, epoch);
}

/** What one result means in the present phase. */
function judge(turn: Turn, name: string, result: ProbeResult, before: Health): void {
  const { phase } = turn;
  switch (phase.name) {
    case "selecting":
      // What could not be asked does not undo what was heard.
      if (result.evidence === "none" && phase.answers.has(name)) return;
      turn.enter({ ...phase, answers: new Map(phase.answers).set(name, result) });
      return judgeRound(turn);
    case "waiting":
      if (!result.passed || !hasBegun(turn.state) || phase.passedOver.has(name)) return;
      startRound(turn, phase.round + 1, phase.reason, [[name, result]], phase.passedOver);
      return judgeRound(turn);
    case "promoting":
      confirm(turn, name, before);
      return watchPromotion(turn, name);
    case "serving":
      if (phase.active.name !== name || result.evidence === "none") return;
      proveActive(turn, result.passed);
      if (!turn.isUp(phase.active)) return lose(turn, `${name} is down: ${result.reason}`);
      confirm(turn, name, before);
  }
}

/** Clients that doubted the active upstream may try it again: it answers after all. */
function confirm(turn: Turn, name: string, before: Health): void {
  const active = activeOf(turn.state)?.upstream;
  if (active?.name !== name || !turn.isUp(active)) return;
  if (before.doubt === "none" || turn.health(name).doubt !== "none") return;
  turn.ask({ do: "confirm", upstream: name });
}

function tellVerdict(
  turn: Turn,
  upstream: string,
  { reason, tookMs, passed, evidence }: ProbeResult,
  before: Health,
  after: Health,
): void {
  const { policy } = turn;
  if (before.unheard === undefined && after.unheard !== undefined) {
    turn.tell({ type: "verdict.missing", upstream, reason: after.unheard.reason });
  } else if (before.unheard !== undefined && after.unheard === undefined) {
    const missingMs = turn.now - before.unheard.since;
    turn.tell({ type: "verdict.resumed", upstream, missingMs });
  }
  if (evidence === "none") return;
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
  const active = activeOf(turn.state);
  if (active?.upstream.name !== doubt.upstream || active.epoch !== doubt.epoch) return;
  const before = turn.health(doubt.upstream);
  if (before.doubt === "hard" || (before.doubt === "soft" && !doubt.hard)) return;
  const after = doubted(before, doubt.hard ? "hard" : "soft", turn.policy);
  turn.setHealth(doubt.upstream, after);
  turn.tell({ type: "upstream.doubted", upstream: doubt.upstream, reason: doubt.reason });
  turn.ask({ do: "probe", upstream: doubt.upstream });
}

// ---- Time

function takeTick(turn: Turn): void {
  const { now, state } = turn;
  if (state.holdUntil !== undefined && now >= state.holdUntil) {
    const { phase } = turn;
    const foundNobody = phase.name === "waiting" || (phase.name === "selecting" && phase.round > 1);
    const end = foundNobody ? endHold : overstayed;
    end(turn, `held for ${formatDuration(turn.policy.holdMs)}`);
  }
  const { phase } = turn;
  if (phase.name === "waiting" && now >= phase.until) {
    startRound(turn, phase.round + 1, phase.reason);
  }
  tickPromotion(turn);
  tickFailback(turn);
}
