/**
 * The failover machine: `step(state, input, now, policy)` returns the next state and the effects. It is
 * pure: no clock, no socket, no await. `state.ts` explains the model. This file dispatches the inputs;
 * `rounds.ts` and `selection.ts` choose the next upstream, `switching.ts` promotes it, `moving_back.ts` decides
 * when a better rank gets the traffic back, `orders.ts` carries out what the operator orders, `configure.ts` what
 * follows from another list of upstreams or another policy, `following.ts` what follows from other proxies,
 * `admission.ts` decides what happens to new clients, and `drains.ts` which sessions end.
 */
import { formatDuration } from "../base/duration.ts";
import { endHold, overstayed } from "./admission.ts";
import { takeCalledOff } from "./called_off.ts";
import { takeConfig } from "./configure.ts";
import { isRefusedByOthers, mayDecide } from "./cluster.ts";
import { drainDown, spare } from "./drains.ts";
import { beginWithOthers, follow, isDownInCommon, isLost, takeCluster } from "./following.ts";
import { doubted, failuresSoFar, type Health, isDown, isUp, observe, trusted } from "./health.ts";
import { rememberedName } from "./memory.ts";
import { planFailback, tickFailback } from "./moving_back.ts";
import { takeOrder, tickHold } from "./orders.ts";
import { leaveOutdated } from "./outdated.ts";
import type { Doubt, ProbeResult } from "./ports.ts";
import { continueAtOnce } from "./restart.ts";
import { forgetStandbys, learnRole, publishBars } from "./role_watch.ts";
import { barOf } from "./roles.ts";
import { activeOf, awaitsQuiet, hasBegun, type Policy, type State } from "./state.ts";
import type { Input, Step } from "./steps.ts";
import {
  beginTriggers,
  proveActive,
  takeTriggersEnded,
  tickPromotion,
  watchPromotion,
} from "./switching.ts";
import { judgeRound, keepDecided } from "./selection.ts";
import { lose, startRound } from "./rounds.ts";
import { StepContext } from "./step_context.ts";

/** The policy that is in force from this input on. */
export function policyAfter(input: Input, policy: Policy): Policy {
  return input.type === "configured" ? input.policy : policy;
}

/**
 * Applies one input under the policy that was in force before it. A `now` (in milliseconds) before that of
 * the last step counts as the same time.
 */
export function step(state: State, input: Input, now: number, policy: Policy): Step {
  const context = new StepContext(state, Math.max(now, state.now), policyAfter(input, policy));
  switch (input.type) {
    case "begun":
      if (!hasBegun(state)) begin(context);
      break;
    case "probed":
      takeResult(context, input.upstream, input.result, input.stage);
      break;
    case "doubted":
      takeDoubt(context, input.doubt);
      break;
    case "triggersEnded":
      if (input.outcome.how === "calledOff") {
        takeCalledOff(context, input.epoch, input.outcome.reason);
      } else takeTriggersEnded(context, input.epoch, input.outcome);
      break;
    case "ordered":
      takeOrder(context, input.id, input.order, { by: input.by, reason: input.reason });
      break;
    case "quieted":
      if (awaitsQuiet(context.state, input.epoch)) beginTriggers(context);
      break;
    case "configured":
      takeConfig(context, input.upstreams, policy);
      break;
    case "coordinated":
      takeCluster(context, input.view);
      keepDecided(context, state.cluster?.decision);
      break;
    case "ticked":
      takeTick(context);
      break;
  }
  forgetStandbys(context, state);
  planFailback(context);
  publishBars(context);
  return { state: context.state, effects: context.effects };
}

/** The upstream that served before a restart counts as up until its checks bring it down. */
function begin(context: StepContext): void {
  if (context.state.cluster === undefined) context.set({ outdated: undefined });
  if (beginWithOthers(context) || continueAtOnce(context)) return;
  const name = rememberedName(context.state.remembered);
  if (name !== undefined) {
    context.setHealth(name, trusted(context.health(name), context.policy, context.now));
  }
  startRound(context, 1, "start");
}

// ---- Results and doubts

function takeResult(context: StepContext, name: string, given: ProbeResult, stage: number): void {
  // A check of an upstream that was removed meanwhile.
  if (!context.state.health.has(name)) return;
  if (stage !== context.state.stage) {
    // A probe that was overtaken is being repeated already.
    if (given.overtaken !== true) context.requestAction({ do: "probe", upstream: name });
    return;
  }
  const result = learnRole(context, name, given);
  const { policy } = context;
  const before = context.health(name);
  const after = observe(before, result, policy, context.now);
  // Clients that `judge` lets in get a later epoch; their sessions must not be ended by this failure.
  const { epoch } = context.state;
  context.setHealth(name, after);
  emitVerdict(context, name, result, before, after);
  const hasFallen = isDown(after, policy) && !isDown(before, policy);
  if (isUp(after, policy) && !isUp(before, policy)) {
    spare(context, name, "soft");
    if (context.state.contested?.upstream === name) context.set({ contested: undefined });
  }
  const wasActive = activeOf(context.state)?.upstream.name === name;
  const hasEnded = leaveOutdated(context, name, result);
  judge(context, name, result, before);
  if (result.evidence === "no_verdict") return;
  const isActive = activeOf(context.state)?.upstream.name === name;
  const isLeft = wasActive && !isActive && isDownInCommon(context, name);
  if (context.state.paused !== undefined) {
    if (hasFallen && isActive) {
      context.emit({ type: "failover.withheld", upstream: name, reason: result.reason });
    }
  } else if (!hasEnded && (context.state.cluster === undefined || !isActive)) {
    // Where several proxies decide, sessions of the active upstream end with the common verdict.
    drainDown(context, name, result, hasFallen || isLeft, epoch);
  }
}

/** Applies one result according to the present phase. */
function judge(context: StepContext, name: string, result: ProbeResult, before: Health): void {
  const { phase } = context;
  const isChoosable = (each: string) => mayBeChosen(context, each);
  switch (phase.name) {
    case "selecting":
      // A probe without a verdict does not replace a verdict of the same round.
      if (result.evidence === "no_verdict" && phase.answers.has(name)) return;
      context.enter({ ...phase, answers: new Map(phase.answers).set(name, result) });
      return judgeRound(context);
    case "waiting":
      if (!result.passed || !hasBegun(context.state)) return;
      if (!mayDecide(context.state)) return follow(context);
      // With roles, the answer of one server may be the reason why another one can be chosen.
      if (!(context.policy.roles === undefined ? [name] : passedOf(context)).some(isChoosable)) {
        return;
      }
      startRound(context, phase.round + 1, phase.reason, [[name, result]], phase.passedOver);
      return judgeRound(context);
    case "promoting":
      // After a restart the upstream that traffic leaves may count as down; only a verdict moves traffic.
      if (result.evidence === "no_verdict") return;
      confirm(context, name, before);
      return watchPromotion(context, name);
    case "serving":
      if (phase.active.name !== name || result.evidence === "no_verdict") return;
      proveActive(context, result.passed);
      if (context.isUp(phase.active)) return confirm(context, name, before);
      return judgeActive(context, name, result, isDown(before, context.policy));
  }
}

/** A check of the active upstream has failed, and it is down. */
function judgeActive(
  context: StepContext,
  name: string,
  result: ProbeResult,
  wasDown: boolean,
): void {
  if (isLost(context, name, wasDown)) lose(context, `${name} is down: ${result.reason}`);
}

/** The upstreams whose last check has passed. */
function passedOf({ state: { upstreams, health } }: StepContext): string[] {
  return upstreams.map(({ name }) => name).filter((name) =>
    health.get(name)?.last?.passed === true
  );
}

/** Whether a round may find this upstream. */
function mayBeChosen({ state, policy, phase }: StepContext, name: string): boolean {
  const isPassedOver = "passedOver" in phase && phase.passedOver.has(name);
  if (isPassedOver || state.drained.has(name)) return false;
  return !isRefusedByOthers(state, name) && barOf(state, policy, name) === undefined;
}

/** Clients that met a failure of the active upstream may try it again: a check has passed since. */
function confirm(context: StepContext, name: string, before: Health): void {
  const active = activeOf(context.state)?.upstream;
  if (active?.name !== name || !context.isUp(active)) return;
  if (before.doubt === "none" || context.health(name).doubt !== "none") return;
  context.requestAction({ do: "confirm", upstream: name });
}

function emitVerdict(
  context: StepContext,
  upstream: string,
  { reason, tookMs, passed, evidence }: ProbeResult,
  before: Health,
  after: Health,
): void {
  const { policy } = context;
  if (before.noVerdict === undefined && after.noVerdict !== undefined) {
    context.emit({ type: "noVerdict.began", upstream, reason: after.noVerdict.reason });
  } else if (before.noVerdict !== undefined && after.noVerdict === undefined) {
    const lastedMs = context.now - before.noVerdict.since;
    context.emit({ type: "noVerdict.ended", upstream, lastedMs });
  }
  if (evidence === "no_verdict") return;
  if (isUp(after, policy) && !isUp(before, policy)) {
    context.emit({ type: "upstream.up", upstream, reason });
  } else if (isDown(after, policy) && !isDown(before, policy)) {
    const failingMs = context.now - (after.failingSince ?? context.now);
    context.emit({ type: "upstream.down", upstream, reason, failingMs });
  } else if (!passed && isUp(after, policy)) {
    const failures = failuresSoFar(after, policy);
    context.emit({ type: "probe.failed", upstream, reason, tookMs, failures, fall: policy.fall });
  }
}

/** A live connection failed. The first such report starts a probe at once; further ones add nothing. */
function takeDoubt(context: StepContext, doubt: Doubt): void {
  const active = activeOf(context.state);
  if (active?.upstream.name !== doubt.upstream || active.epoch !== doubt.epoch) return;
  const before = context.health(doubt.upstream);
  if (before.doubt === "hard" || (before.doubt === "soft" && !doubt.hard)) return;
  const after = doubted(before, doubt.hard ? "hard" : "soft", context.policy);
  context.setHealth(doubt.upstream, after);
  context.emit({ type: "upstream.doubted", upstream: doubt.upstream, reason: doubt.reason });
  context.requestAction({ do: "probe", upstream: doubt.upstream });
}

// ---- Time

function takeTick(context: StepContext): void {
  tickHold(context);
  const { now, state } = context;
  if (state.admission.is === "holding" && now >= state.admission.until) {
    const { phase } = context;
    const foundNobody = phase.name === "waiting" || (phase.name === "selecting" && phase.round > 1);
    const end = foundNobody ? endHold : overstayed;
    end(context, `held for ${formatDuration(context.policy.holdMs)}`);
  }
  const { phase } = context;
  if (phase.name === "waiting" && now >= phase.until && mayDecide(state)) {
    startRound(context, phase.round + 1, phase.reason);
  }
  tickPromotion(context);
  tickFailback(context);
}
