/**
 * What follows from the other proxies: this one follows their decision, takes the lead, or steps down. See
 * `cluster.ts` for the model.
 */
import { leaveService, outageMs } from "./admission.ts";
import {
  type ClusterView,
  type Decision,
  isDoubtedAnew,
  isDownForAll,
  mayDecide,
  type SharedOrders,
  type Vote,
  voteOf,
} from "./cluster.ts";
import { decisionOf, endedWithLead, hasEnded, learnChosen, learnLateEnd } from "./decided.ts";
import { drainDecided, drainDown, drainLeft, spare } from "./drains.ts";
import { isDown } from "./health.ts";
import { isOver } from "./memory.ts";
import type { StandingOrder } from "./orders.ts";
import { mayServe } from "./outdated.ts";
import { lose, NO_NAMES, startRound } from "./rounds.ts";
import { activeOf, hasBegun } from "./state.ts";
import type { StepContext } from "./step_context.ts";
import type { Upstream } from "./upstream.ts";

/** Applies what is known of the other proxies. */
export function takeCluster(context: StepContext, view: ClusterView): void {
  const before = context.state.cluster;
  const { fence } = context.state;
  context.set({ cluster: view, fence: Math.max(fence, view.fence ?? 0) });
  if (view.role !== "cutOff") context.set({ outdated: undefined });
  if (!hasBegun(context.state)) return adopt(context, view);
  // A proxy that takes the lead learns what was ordered meanwhile; one that led before knows more than the store.
  const isOthers = view.role === "follows" || (view.role === "leads" && before?.role !== "leads");
  if (isOthers && view.orders !== undefined) takeOrders(context, view.orders);
  if (before?.role === "leads" && view.role !== "leads") stepDown(context);
  const active = activeOf(context.state)?.upstream.name;
  const mayBeDown = active !== undefined && isDoubtedAnew(before, view, active);
  if (mayBeDown && !isDown(context.health(active), context.policy)) {
    context.requestAction({ do: "probe", upstream: active });
  }
  drainDecided(context, before, view);
  if (view.role !== "leads") return follow(context);
  if (before?.role !== "leads") return takeLead(context);
  if (before.decision !== undefined && view.decision === undefined) return restore(context);
  learnLateEnd(context, view.decision);
  stayInstead(context, view);
  reconsider(context);
}

/**
 * This proxy has given up a promotion of its own, and the call that stores the promotion arrived only after that. The
 * other proxies hold their clients for it, so this one stores which upstream serves instead.
 */
function stayInstead(context: StepContext, { decision, instance }: ClusterView): void {
  const { phase, state } = context;
  if (decision?.phase !== "promoting" || decision.by !== instance) return;
  if (phase.name !== "serving" || phase.epoch === decision.epoch) return;
  context.set({ epoch: Math.max(state.epoch, decision.epoch) });
  stay(context, decision.epoch);
}

/**
 * The first input where there are several proxies. Returns false if nothing is decided yet, and the service
 * begins as it does alone, as far as this proxy may decide.
 */
export function beginWithOthers(context: StepContext): boolean {
  const view = context.state.cluster;
  if (view?.decision === undefined) return false;
  startRound(context, 1, "start");
  if (view.role === "leads") takeLead(context);
  else follow(context);
  return true;
}

/** Before the service begins: the shared decision counts, and not what this machine remembers. */
function adopt(context: StepContext, { decision, orders, role }: ClusterView): void {
  if (role === "cutOff") return;
  if (orders !== undefined) takeOrders(context, orders);
  if (decision === undefined) return;
  const { to, from, phase, epoch } = decision;
  const chosen = phase === "done" ? to : from;
  context.set({
    epoch: epoch - 1,
    remembered: undefined,
    lastChosen: chosen,
    failedMoves: undefined,
  });
}

// ---- Following

/** Brings this proxy into line with the shared decision. It may be called at any time. */
export function follow(context: StepContext): void {
  const { role } = context.state.cluster ?? {};
  const decision = decisionOf(context);
  if (decision === undefined || context.phase.name === "promoting") return;
  // Another proxy has gone on with the promotion that this one had taken up while it led.
  if (role !== "leads") context.set({ remembered: undefined });
  const to = context.state.upstreams.find(({ name }) => name === decision.to);
  if (to === undefined) return followUnlisted(context, decision);
  const { phase } = context;
  // Its own epoch may be equal by chance. Where clients wait for triggers, they also wait for those of other proxies.
  const isUnderWay = decision.phase === "promoting" &&
    decision.by !== context.state.cluster?.instance &&
    role === "follows" && context.policy.triggers === "before";
  const isServed = phase.name === "serving" && phase.active.name === to.name &&
    phase.epoch >= decision.epoch && !isUnderWay;
  if (isServed) return;
  learnChosen(context, decision);
  if (decision.phase === "promoting") return followPromotion(context, decision, to);
  if (mayServe(context, to)) serveDecided(context, decision, to);
  else stopServing(context, decision);
}

/** The upstream of the decision is not on this proxy's list, so that no client may go anywhere else. */
function followUnlisted(context: StepContext, { to, epoch }: Decision): void {
  if (activeOf(context.state) === undefined) return;
  lose(context, `epoch ${epoch} is for ${to}, which is not on the list of this proxy`);
}

function followPromotion(context: StepContext, decision: Decision, to: Upstream): void {
  const active = activeOf(context.state)?.upstream;
  if (context.policy.triggers === "beside") {
    const staysFor = decision.move === "failback" || decision.move === "switchover";
    if (staysFor && active !== undefined && active.name === decision.from) return;
    if (mayServe(context, to)) return serveDecided(context, decision, to);
  }
  stopServing(context, decision);
  context.requestAction({ do: "acknowledge", epoch: decision.epoch });
}

/** Holds new clients, and ends the sessions on the upstream that served so far, as the policy says. */
function stopServing(context: StepContext, { epoch, to, by }: Decision): void {
  const active = activeOf(context.state)?.upstream;
  const { state, policy } = context;
  if (active === undefined) return;
  const reason = `${by} promotes ${to} (epoch ${epoch})`;
  leaveService(context, reason);
  if (active.name !== to) {
    const { last } = context.health(active.name);
    if (policy.sessionsOnMove === "cut") drainLeft(context, active.name, state.epoch, 0, reason);
    else if (last !== undefined) drainDown(context, active.name, last, true, state.epoch);
  }
  startRound(context, 1, reason);
}

/** Lets clients in, as another proxy has decided. */
function serveDecided(context: StepContext, decision: Decision, to: Upstream): void {
  const { state, now, policy } = context;
  const old = activeOf(state);
  const epoch = decision.epoch > state.epoch ? decision.epoch : state.epoch + 1;
  const tookMs = outageMs(state.admission, now);
  if (context.phase.name === "waiting") enterSelecting(context, decision.reason);
  context.enter({
    name: "serving",
    active: to,
    epoch,
    triggers: { is: "ran" },
    failbackPlan: undefined,
  });
  context.set({
    epoch,
    stage: state.stage + 1,
    admission: { is: "open" },
    lastServed: { to: to.name, promotion: undefined, since: now },
    lastChosen: to.name,
    remembered: undefined,
    failedMoves: undefined,
  });
  spare(context, to.name);
  context.admit({ do: "open", upstream: to, epoch });
  const { by, reason, move } = decision;
  context.emit({ type: "decision.followed", to: to.name, epoch, move, by, reason, tookMs });
  if (old === undefined || old.upstream.name === to.name) return;
  if (policy.sessionsOnMove === "keep") return;
  const graceMs = policy.sessionsOnMove === "cut" ? policy.graceMs : policy.drainMs;
  const why = `traffic moves to ${to.name}: ${reason}`;
  drainLeft(context, old.upstream.name, epoch - 1, graceMs, why);
}

function enterSelecting(context: StepContext, reason: string): void {
  const answers = new Map();
  context.enter({
    ...{ name: "selecting", round: 1, reason, answers },
    ...{ suspects: NO_NAMES, passedOver: NO_NAMES },
  });
}

/** Only the orders that stand are stored, and not who has ended one. */
const ENDED_BY = { by: "an operator (named in the log of the proxy that leads)", reason: "" };

/** The orders that stand for all proxies become those of this one. */
function takeOrders(context: StepContext, { paused, drained, pinned }: SharedOrders): void {
  const { state, now } = context;
  if (paused !== undefined && state.paused === undefined) {
    context.set({ paused: { ...paused, since: now } });
    context.emit({ type: "service.paused", ...paused });
  } else if (paused === undefined && state.paused !== undefined) {
    context.set({ paused: undefined });
    context.emit({ type: "service.resumed", ...ENDED_BY, pausedMs: now - state.paused.since });
  }
  const next = new Map<string, StandingOrder>();
  for (const [upstream, order] of drained) {
    if (!state.health.has(upstream)) continue;
    const known = state.drained.get(upstream);
    next.set(upstream, known ?? { ...order, since: now });
    if (known === undefined) context.emit({ type: "upstream.drained", upstream, ...order });
  }
  for (const upstream of state.drained.keys()) {
    if (!drained.has(upstream)) context.emit({ type: "upstream.undrained", upstream, ...ENDED_BY });
  }
  context.set({ drained: next, pinned });
}

// ---- Leading

/** This proxy leads from now on, and finds what another one has decided, or nothing. */
function takeLead(context: StepContext): void {
  const { state } = context;
  const decision = state.cluster?.decision;
  if (decision === undefined) {
    if (context.phase.name !== "serving") return startRound(context, 1, "start");
    const { active, epoch } = context.phase;
    const reason = "it served before there was a decision for all";
    return conclude(context, { epoch, to: active.name, from: undefined, move: "start", reason });
  }
  context.set({ remembered: undefined });
  follow(context);
  context.set({ epoch: Math.max(context.state.epoch, decision.epoch) });
  if (decision.phase === "done") return reconsider(context);
  if (!hasEnded(context, decision)) return takeUp(context, decision);
  // Its upstream was lost since then. It is tried first, but the upstream before it is not chosen again in its place.
  if (context.phase.name !== "serving") return takeUp(context, { ...decision, from: decision.to });
  // The first attempt to store that it is done may have failed.
  conclude(context, conclusionOf(decision));
  reconsider(context);
}

/** Nobody knows how far the triggers of this promotion came, so they run again, in an epoch of their own. */
export function takeUp(
  context: StepContext,
  { to, from, by }: Pick<Decision, "to" | "from" | "by">,
): void {
  context.set({
    remembered: { served: from, unfinished: { to, from }, isGivenUp: false },
  });
  lose(context, `${by} has not finished the promotion of ${to}`);
}

/** The operator's pause has ended: the leader decides what was due meanwhile. */
export function decideAfterPause(context: StepContext): void {
  const { phase, state } = context;
  const { decision } = state.cluster ?? {};
  if (phase.name !== "serving" || !mayDecide(state)) return;
  const isUnderWay = phase.triggers.is === "running" || phase.triggers.is === "retrying";
  // This proxy may have taken the lead meanwhile, and found a promotion that no other proxy continues.
  const isLeft = decision?.phase === "promoting" && !isUnderWay && !hasEnded(context, decision);
  if (isLeft) takeUp(context, decision);
  else reconsider(context);
}

/**
 * Triggers that run beside the traffic were cancelled when this proxy lost the lead, before they had begun. But their
 * promotion was stored after that, when this proxy led again, and no other proxy continues it.
 */
export function takeUpOwn(context: StepContext): void {
  const { phase, state } = context;
  const { promotion } = state.lastServed ?? {};
  if (phase.name !== "serving" || promotion === undefined) return;
  if (state.cluster === undefined || !mayDecide(state)) return;
  const { instance: by } = state.cluster;
  takeUp(context, { to: phase.active.name, from: promotion.from, by });
}

/** Somebody has removed the decision from the store: the one in force is stored again. */
function restore(context: StepContext): void {
  // A promotion under way stores how it ends.
  if (context.phase.name !== "serving") return;
  const { active: { name }, epoch } = context.phase;
  const reason = "the stored decision was removed";
  conclude(context, { epoch, to: name, from: name, move: "resume", reason });
}

/** Another proxy may lead now: nothing that only the leader may do goes on. */
function stepDown(context: StepContext): void {
  const { phase, state } = context;
  if (!("triggers" in phase)) {
    // Triggers that ran beside the traffic go on when their upstream is lost, but not without the lead.
    const epoch = state.lastServed?.promotion?.epoch;
    if (epoch !== undefined) context.requestAction({ do: "cancelTriggers", epoch });
    return;
  }
  const isUnderWay = phase.triggers.is === "running" || phase.triggers.is === "retrying";
  if (phase.name === "serving") {
    if (!isUnderWay) return;
    context.requestAction({ do: "cancelTriggers", epoch: phase.epoch });
    return context.enter({ ...phase, triggers: endedWithLead() });
  }
  const { id, epoch, to } = phase.promotion;
  if (isUnderWay) context.requestAction({ do: "cancelTriggers", epoch });
  const reason = "this proxy does not lead any more";
  context.set({ stage: state.stage + 1 });
  context.emit({ type: "promotion.abandoned", id, epoch, to, reason });
  if (phase.order !== undefined) context.settle(phase.order.id, { is: "failed", reason });
  const { back } = phase;
  if (back === undefined || state.admission.is !== "open") return startRound(context, 1, reason);
  const { upstream: active, triggers } = back;
  context.enter({ name: "serving", active, epoch: back.epoch, triggers, failbackPlan: undefined });
}

/** The verdict of all proxies on the active upstream may have changed by their votes. */
export function reconsider(context: StepContext): void {
  const { phase, state, policy } = context;
  const view = state.cluster;
  if (view === undefined || phase.name !== "serving" || !mayDecide(state)) return;
  const { name } = phase.active;
  if (!isDownForAll(view, ownVote(context, view), name)) return;
  const health = context.health(name);
  const { epoch } = state;
  const isOwn = isDown(health, policy);
  const why = isOwn ? health.last?.reason ?? "no answer" : "most proxies see it down";
  lose(context, `${name} is down: ${why}`);
  if (isOwn && health.last !== undefined) drainDown(context, name, health.last, true, epoch);
}

/**
 * Whether the active upstream, of which a check has failed, must be left: it is down, for all if there are several
 * proxies. Those that follow hold their clients until the leader has decided. A proxy that sees it down alone says
 * so once, and serves on as long as it reaches any upstream: another one may have to be served soon. If it
 * reaches none, its clients are better off with another proxy, unless they are to be let through in any case.
 */
export function isLost(context: StepContext, upstream: string, wasDown: boolean): boolean {
  const { state, policy } = context;
  const { cluster } = state;
  if (cluster === undefined) return mayDecide(state);
  if (state.paused !== undefined) return false;
  const mayLeave = mayDecide(state) || !policy.failOpen;
  if (cluster.role !== "cutOff") {
    if (isDownInCommon(context, upstream)) return mayLeave;
    // The votes of the others come a moment later.
    if (wasDown) contested(context, upstream);
  }
  return mayLeave && wasDown &&
    state.upstreams.every(({ name }) => isDown(context.health(name), policy));
}

/** Whether an upstream is down for all proxies together, as far as this one knows. */
export function isDownInCommon(context: StepContext, upstream: string): boolean {
  const { cluster } = context.state;
  return cluster !== undefined && cluster.role !== "cutOff" &&
    isDownForAll(cluster, ownVote(context, cluster), upstream);
}

function contested(context: StepContext, upstream: string): void {
  const { state: { contested, epoch } } = context;
  if (contested?.upstream === upstream && contested.epoch === epoch) return;
  context.set({ contested: { upstream, epoch } });
  const reason = context.health(upstream).last?.reason ?? "no answer";
  context.emit({ type: "failover.contested", upstream, reason });
}

function ownVote({ state, policy }: StepContext, { traffic }: ClusterView): Vote {
  return voteOf(state, policy, traffic);
}

/** Stores that the promotion, or the return to `to`, has ended. Only the leader does. */
export function conclude(context: StepContext, decision: Omit<Decision, "phase" | "by">): void {
  if (context.state.cluster?.role !== "leads") return;
  context.requestAction({ do: "conclude", decision });
}

/** The promotion `given` was given up after it was stored, and the upstream that serves goes on. */
export function stay(context: StepContext, given: number): void {
  const { phase } = context;
  // Triggers beside the traffic belong to a later promotion, which is stored when they have ended.
  if (phase.name !== "serving" || !isOver(phase.triggers)) return;
  concludeReturn(context, phase.active.name, `the promotion of epoch ${given} was given up`);
}

/** Stores that traffic stays where it is: in `given`, or in an epoch of its own, since each one has one upstream. */
export function concludeReturn(
  context: StepContext,
  to: string,
  reason: string,
  given?: number,
): void {
  if (context.state.cluster?.role !== "leads") return;
  const epoch = given ?? context.state.epoch + 1;
  context.set({ epoch });
  conclude(context, { epoch, to, from: to, move: "failback", reason });
}

/** The decision that ends a promotion. */
export function conclusionOf(
  { epoch, to, from, move, reason }: Omit<Decision, "phase" | "by">,
) {
  return { epoch, to, from, move, reason };
}
