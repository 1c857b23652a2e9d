/**
 * What an operator may order, and what the machine does about it. An order is either refused with a reason
 * and changes nothing, or it is taken. Most are done at once; a switchover or failback is done when the new
 * upstream serves, and has failed when the old one serves on. Each order is answered by `settle` effects.
 *
 * Three orders stand until they are undone: `pause` (no automatic decision is made), `hold` (new clients
 * wait, until its maximum at the latest) and `drain` (an upstream is no candidate). They are independent of
 * the phase: a paused service can be moved by an order, and a hold lasts through a move.
 */
import { formatDuration } from "../base/duration.ts";
import { drainDown } from "./drains.ts";
import { decideAfterPause, isLost } from "./following.ts";
import { isDown, isSound } from "./health.ts";
import { betterRank, moveTo, whyNoFailback } from "./moving_back.ts";
import { barOf, mayOverrule } from "./roles.ts";
import { activeOf, hasBegun, type MoveOrder, type Policy, type State } from "./state.ts";
import { promote } from "./switching.ts";
import { lose, startRound } from "./rounds.ts";
import type { StepContext } from "./step_context.ts";
import type { Upstream } from "./upstream.ts";

/** An order. Times are in milliseconds. */
export type OperatorOrder =
  /**
   * Moves the traffic to an upstream that is up. New clients wait until the sessions of the old one are
   * quiet, for at most `maxWaitMs`, and until the triggers have ended. By default that is 10 s where clients
   * wait for triggers, and nothing where the triggers run beside the traffic.
   */
  | { readonly name: "switchover"; readonly to: string; readonly maxWaitMs?: number }
  /** Moves the traffic to the best upstream that is up. */
  | { readonly name: "failback" }
  | { readonly name: "pause" }
  | { readonly name: "resume" }
  /** New clients wait, for at most `maxMs`; by default as long as `Policy.holdMs`. */
  | { readonly name: "hold"; readonly maxMs?: number }
  | { readonly name: "release" }
  | { readonly name: "drain"; readonly upstream: string }
  | { readonly name: "undrain"; readonly upstream: string };

/** Who gave an order, and why; `reason` is empty if none was given. */
export interface OrderSource {
  /** For the log: who gave it, such as `uid=1000 pid=42` or an address. */
  readonly by: string;
  readonly reason: string;
}

/** An order that stands, and since when in the machine's time. */
export interface StandingOrder extends OrderSource {
  readonly since: number;
}

/** What became of an order. All but `accepted` are final. */
export type OrderOutcome =
  | { readonly is: "accepted" }
  | { readonly is: "refused"; readonly reason: string }
  | { readonly is: "finished" }
  /** It was accepted, and then could not be done; nothing but the time is lost. */
  | { readonly is: "failed"; readonly reason: string };

/** How long, in milliseconds, a switchover waits for quiet sessions if its order does not say. */
const QUIET_WAIT_MS = 10_000;

/** Carries an order out, or answers why not. */
export function takeOrder(
  context: StepContext,
  id: number,
  order: OperatorOrder,
  source: OrderSource,
): void {
  const reason = whyNot(context.state, context.policy, order);
  if (reason !== undefined) {
    context.emit({ type: "order.refused", order: describeOrder(order), by: source.by, reason });
    return context.settle(id, { is: "refused", reason });
  }
  switch (order.name) {
    case "switchover":
      context.settle(id, { is: "accepted" });
      return switchOver(context, id, order, source);
    case "failback":
      context.settle(id, { is: "accepted" });
      return moveBack(context, id, source);
    case "pause":
      pause(context, source);
      break;
    case "resume":
      resume(context, source);
      break;
    case "hold":
      hold(context, order.maxMs ?? context.policy.holdMs, source);
      break;
    case "release":
      release(context, orderedBy(source));
      break;
    case "drain":
      setDrained(context, order.upstream, source, true);
      break;
    case "undrain":
      setDrained(context, order.upstream, source, false);
  }
  context.settle(id, { is: "finished" });
}

/** An order in words: `switchover to db2:5432`. */
export function describeOrder(order: OperatorOrder): string {
  if (order.name === "switchover") return `switchover to ${order.to}`;
  return "upstream" in order ? `${order.name} ${order.upstream}` : order.name;
}

function orderedBy({ by, reason }: OrderSource): string {
  return `ordered by ${by}${reason === "" ? "" : `: ${reason}`}`;
}

/** Why an order would be refused now, for a person; undefined if it would be taken. */
export function whyNot(state: State, policy: Policy, order: OperatorOrder): string | undefined {
  switch (order.name) {
    case "switchover":
      return whyNoSwitchover(state, policy, order.to) ?? tooLong(policy, order.maxWaitMs);
    case "failback":
      return whyNoFailback(state, policy);
    case "hold":
      return whyNoHold(state, policy) ?? tooLong(policy, order.maxMs);
    case "drain":
    case "undrain":
      return whyNoDrain(state, order);
  }
}

function whyNoSwitchover(state: State, policy: Policy, to: string): string | undefined {
  const { phase, health, drained } = state;
  if (!isKnown(state, to)) return unknownUpstream(state, to);
  if (!hasBegun(state)) return "the service has not begun yet";
  if (phase.name === "promoting") return "a promotion is under way";
  if (activeOf(state)?.upstream.name === to) return `${to} is active already`;
  if (drained.has(to)) return `${to} is drained`;
  const { level, noVerdict, last } = health.get(to)!;
  if (noVerdict !== undefined) return `${to} cannot be checked now: ${noVerdict.reason}`;
  if (level === undefined) return `${to} has not been checked yet`;
  if (isDown(health.get(to)!, policy)) return `${to} is down: ${last?.reason ?? "no answer"}`;
  if (!isSound(health.get(to)!, policy)) return `the last check of ${to} failed`;
  const bar = barOf(state, policy, to);
  if (bar === undefined || mayOverrule(state, to, bar)) return undefined;
  return `${to} may not be chosen: ${bar.reason}`;
}

function whyNoHold(state: State, { holdMs }: Policy): string | undefined {
  if (holdMs === 0) return "--hold is 0: no client waits here";
  if (!hasBegun(state) || state.admission.is === "closed") return "new clients are refused now";
}

/** No client waits longer than the policy says, so a longer order would turn clients away. */
function tooLong({ holdMs }: Policy, askedMs: number | undefined): string | undefined {
  if (askedMs === undefined || askedMs <= holdMs) return undefined;
  return `${formatDuration(askedMs)} is longer than any client waits (--hold ${
    formatDuration(holdMs)
  })`;
}

function whyNoDrain(
  state: State,
  { name, upstream }: Extract<OperatorOrder, { name: "drain" | "undrain" }>,
): string | undefined {
  if (!isKnown(state, upstream)) return unknownUpstream(state, upstream);
  if (name === "undrain") return undefined;
  const { phase } = state;
  if (phase.name === "serving" && phase.active.name === upstream) {
    return `${upstream} is active: switch over to another upstream first`;
  }
  const isInPromotion = phase.name === "promoting" &&
    (phase.candidate.name === upstream || phase.back?.upstream.name === upstream);
  return isInPromotion ? `a promotion is under way that needs ${upstream}` : undefined;
}

function isKnown({ upstreams }: State, name: string): boolean {
  return upstreams.some((upstream) => upstream.name === name);
}

function unknownUpstream({ upstreams }: State, name: string): string {
  return `there is no upstream ${name}, but ${upstreams.map((u) => u.name).join(", ")}`;
}

// ---- Moves

function switchOver(
  context: StepContext,
  id: number,
  { to: name, maxWaitMs }: Extract<OperatorOrder, { name: "switchover" }>,
  source: OrderSource,
): void {
  const { phase, state, policy } = context;
  const to = state.upstreams.find((upstream) => upstream.name === name)!;
  const reason = orderedBy(source);
  const order = { id, pins: true };
  if (phase.name === "serving" && context.isUp(phase.active)) {
    const usualMs = policy.triggers === "before" ? Math.min(QUIET_WAIT_MS, policy.holdMs) : 0;
    return moveTo(context, to, "switchover", { reason, order, waitMs: maxWaitMs ?? usualMs });
  }
  moveFromNothing(context, to, reason, order);
}

function moveBack(context: StepContext, id: number, source: OrderSource): void {
  const { phase, state, policy } = context;
  const to = betterRank(state, policy, true)!;
  const reason = orderedBy(source);
  const order = { id, pins: false };
  if (phase.name === "serving" && context.isUp(phase.active)) {
    return moveTo(context, to, "switchover", { reason, order });
  }
  moveFromNothing(context, to, reason, order);
}

/** Nothing works that the service could return to, and there is nothing to wait for. */
function moveFromNothing(
  context: StepContext,
  to: Upstream,
  reason: string,
  order: MoveOrder,
): void {
  const { phase } = context;
  if (phase.name === "serving") lose(context, reason);
  else if (phase.name === "waiting") startRound(context, phase.round + 1, reason);
  promote(context, to, "switchover", reason, { order });
}

// ---- Orders that stand

function pause(context: StepContext, source: OrderSource): void {
  if (context.state.paused !== undefined) return;
  context.set({ paused: { ...source, since: context.now } });
  context.emit({ type: "service.paused", ...source });
}

/** Decisions are made again, beginning with those that were due meanwhile. */
function resume(context: StepContext, source: OrderSource): void {
  const { paused, upstreams, epoch } = context.state;
  if (paused === undefined) return;
  context.set({ paused: undefined });
  context.emit({ type: "service.resumed", ...source, pausedMs: context.now - paused.since });
  decideAgain(context);
  for (const { name } of upstreams) {
    const { since, last } = context.health(name);
    if (last !== undefined && since >= paused.since) drainDown(context, name, last, true, epoch);
  }
}

function decideAgain(context: StepContext): void {
  const { phase, state } = context;
  if (phase.name === "serving") {
    const { name } = phase.active;
    const health = context.health(name);
    if (!isDown(health, context.policy) || !isLost(context, name, true)) {
      return decideAfterPause(context);
    }
    return lose(context, `${name} is down: ${health.last?.reason ?? "no answer"}`);
  }
  if (phase.name === "promoting" || !hasBegun(state)) return;
  const round = phase.name === "waiting" ? phase.round + 1 : phase.round;
  startRound(context, round, phase.reason, [], phase.passedOver);
}

function hold(context: StepContext, maxMs: number, source: OrderSource): void {
  const { now, state } = context;
  const isNew = state.held === undefined;
  if (isNew && state.admission.is !== "holding") context.requestAction({ do: "hold" });
  context.set({ held: { ...source, since: state.held?.since ?? now, until: now + maxMs } });
  context.emit({ type: "hold.began", ...source, maxMs });
}

/** Ends the operator's hold: the data plane gets the order that was withheld from it. */
function release(context: StepContext, reason: string): void {
  const { held } = context.state;
  if (held === undefined) return;
  context.set({ held: undefined });
  const { state } = context;
  const { admission, upstreams, epoch } = state;
  const active = activeOf(state);
  if (admission.is === "closed") context.requestAction({ do: "refuse" });
  else if (admission.is === "failOpen") {
    const upstream = upstreams.find(({ name }) => name === admission.target)!;
    context.requestAction({ do: "open", upstream, epoch });
  } else if (active !== undefined) context.requestAction({ do: "open", ...active });
  context.emit({ type: "hold.ended", reason, heldMs: context.now - held.since });
}

/** Ends a hold whose maximum is over. */
export function tickHold(context: StepContext): void {
  const { held } = context.state;
  if (held !== undefined && context.now >= held.until) release(context, "its maximum is over");
}

function setDrained(
  context: StepContext,
  upstream: string,
  source: OrderSource,
  isOn: boolean,
): void {
  if (context.state.drained.has(upstream) === isOn) return;
  const drained = new Map(context.state.drained);
  if (isOn) drained.set(upstream, { ...source, since: context.now });
  else drained.delete(upstream);
  context.set({ drained });
  const type = isOn ? "upstream.drained" : "upstream.undrained";
  context.emit({ type, upstream, ...source });
}
