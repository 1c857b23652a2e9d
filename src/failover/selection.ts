/** The choice of the next upstream, by the answers of a round of probes. */
import { backoffMs } from "../base/backoff.ts";
import { endHold } from "./admission.ts";
import { choose } from "./candidate.ts";
import { type Decision, isRefusedByOthers, mayDecide } from "./cluster.ts";
import { decisionOf } from "./decided.ts";
import { concludeReturn, follow, isDownInCommon } from "./following.ts";
import { lose } from "./rounds.ts";
import { waitsForRemembered, whyAtStart } from "./restart.ts";
import { barOf } from "./roles.ts";
import type { StepContext } from "./step_context.ts";
import { giveUp, promote } from "./switching.ts";
import type { Upstream } from "./upstream.ts";

/** Promotes a candidate or ends the round, as far as the answers allow. */
export function judgeRound(context: StepContext): void {
  const { phase, state, policy } = context;
  if (phase.name !== "selecting") return;
  // A proxy that does not lead any more may still remember a promotion that it had taken up.
  if (!mayDecide(state) && decisionOf(context) !== undefined) return follow(context);
  if (isStillDecided(context)) return goBack(context);
  if (waitsForRemembered(context)) return;
  if (!mayDecide(state)) return undecided(context);
  const { answers, suspects, passedOver, round, reason } = phase;
  // An answer that is missing may show a primary, in whose place no other one is chosen.
  const isPending = ({ name }: Upstream) => !suspects.has(name) && !answers.has(name);
  if (policy.roles !== undefined && state.upstreams.some(isPending)) return;
  const bars = new Map(state.upstreams.map(({ name }) => [name, barOf(state, policy, name)]));
  const choosable = state.upstreams.filter(({ name }) =>
    !passedOver.has(name) && !state.drained.has(name) &&
    !isRefusedByOthers(state, name) && bars.get(name) === undefined
  );
  const choice = choose(choosable, answers, suspects);
  if (choice.found === "pending") return;
  if (choice.found === "candidate") {
    const { name } = choice.upstream;
    // A first candidate whose triggers ran may be a primary, although it died before its first client.
    const isFirst = state.lastServed === undefined && state.remembered === undefined &&
      state.lastChosen === undefined;
    const move = isFirst ? "start" : "failover";
    const why = reason === "start" ? whyAtStart(context, name) : reason;
    return promote(context, choice.upstream, move, why, { round, passedOver });
  }
  const reasons = state.upstreams.map(({ name }) => ({
    upstream: name,
    reason: state.drained.has(name)
      ? "drained by the operator"
      : passedOver.has(name)
      ? "its triggers failed"
      : isRefusedByOthers(state, name)
      ? "most proxies see it down"
      : bars.get(name)?.reason ?? answers.get(name)?.reason ?? "no answer",
  }));
  const retryInMs = backoffMs(round, policy.maxBackoffMs);
  context.enter({ name: "waiting", round, reason, until: context.now + retryInMs, passedOver });
  context.emit({ type: "selection.failed", round, retryInMs, reasons });
  // An upstream that could not be probed may be usable: that is no reason to refuse clients.
  const couldNotAsk = [...answers.values()].some((answer) => answer.evidence === "no_verdict");
  const { admission } = state;
  // Somebody else may be about to promote a standby.
  const isAwaited = [...bars.values()].some((bar) => bar?.kind === "waits");
  const mayStillWait = admission.is === "holding" && admission.until !== Infinity &&
    (policy.holdWhile === "down" || isAwaited);
  const mayBeAsked = couldNotAsk && (admission.is === "holding" || round === 1);
  if (!mayStillWait && !mayBeAsked) endHold(context, "no upstream is usable");
}

/**
 * Whether this proxy leads and alone has lost the upstream that was decided: it returns to it, since for the others it
 * is not down. An operator who has drained it only wants that it is not chosen anew.
 */
function isStillDecided(context: StepContext): boolean {
  const { phase, state, policy } = context;
  const { cluster, health } = state;
  if (cluster?.role !== "leads") return false;
  const { phase: stage, to = "" } = cluster.decision ?? {};
  if (stage !== "done" || !health.has(to)) return false;
  if ("passedOver" in phase && phase.passedOver.has(to)) return false;
  return barOf(state, policy, to) === undefined && !isDownInCommon(context, to);
}

/**
 * What this proxy has decided is known to be stored only now; `before` is what it knew. Meanwhile it may have begun to
 * promote another upstream, which is not stored: it returns to the decided one if that is not down for the others.
 */
export function keepDecided(context: StepContext, before: Decision | undefined): void {
  const { phase, state: { cluster, lastServed } } = context;
  const { decision } = cluster ?? {};
  if (decision === undefined || !("triggers" in phase) || phase.triggers.is !== "running") return;
  const promotion = phase.name === "promoting" ? phase.promotion : lastServed?.promotion;
  const isKnown = decision.epoch === before?.epoch && decision.phase === before.phase;
  if (isKnown || promotion?.move !== "failover" || decision.epoch >= promotion.epoch) return;
  if (!isStillDecided(context)) return;
  const why = `the others see ${decision.to} up`;
  if (phase.name === "promoting") giveUp(context, why);
  else {
    context.requestAction({ do: "cancelTriggers", epoch: promotion.epoch });
    lose(context, why);
  }
  judgeRound(context);
}

/** It is stored as well: a move that was given up before it was known to be stored may be stored later. */
function goBack(context: StepContext): void {
  follow(context);
  const { phase, state: { epoch } } = context;
  if (phase.name !== "serving") return;
  concludeReturn(context, phase.active.name, "the others see it up", epoch);
}

/** This proxy decides nothing now, and nobody has: it serves as well as it can without them. */
function undecided(context: StepContext): void {
  const { state: { cluster, paused, admission }, phase } = context;
  if (cluster === undefined || phase.name !== "selecting") return;
  const isAlone = cluster.role === "cutOff" && paused === undefined;
  if (!isAlone || !context.policy.failOpen || admission.is === "failOpen") return;
  const passes = [...phase.answers.values()].some(({ passed }) => passed);
  if (passes) endHold(context, "nothing is decided, and the coordinator cannot be reached");
}
