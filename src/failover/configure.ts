/**
 * What follows when the operator changes the list of upstreams, or the options, while the service runs. It
 * applies between two steps, whatever the phase: an upstream that stays keeps its health, its sessions and
 * the operator's orders about it, and a new one is unknown until its first check. An active upstream that
 * was removed is lost as in a failover. A promotion of a removed candidate is given up; if the upstream
 * that traffic was about to leave was removed, the move goes on as a failover.
 */
import { endHold, leaveService } from "./admission.ts";
import { drainLeft } from "./drains.ts";
import { isInDoubt, unknownHealth } from "./health.ts";
import { listedOnly, type Remembered, rememberedOf } from "./memory.ts";
import { rebase } from "./rebase.ts";
import { lose } from "./rounds.ts";
import { judgeRound } from "./selection.ts";
import { giveUp, loseBack } from "./switching.ts";
import type { Phase, Policy, State } from "./state.ts";
import type { StepContext } from "./step_context.ts";
import type { Upstream } from "./upstream.ts";

/** The list of upstreams and the policy that are in force from now on, also for this step. */
export interface ConfiguredInput {
  readonly type: "configured";
  /** In rank order; at least one. */
  readonly upstreams: readonly Upstream[];
  readonly policy: Policy;
}

/** Why an upstream is left that is no longer listed, for a person. */
export function whyRemoved(name: string): string {
  return `${name} was removed from the list`;
}

/** Why the list cannot be put into force now, for a person; undefined if it can. */
export function whyNotReconfigured(
  state: State,
  upstreams: readonly Upstream[],
): string | undefined {
  const { phase, paused } = state;
  if (paused === undefined) return undefined;
  const needed = phase.name === "serving"
    ? [phase.active]
    : phase.name === "promoting"
    ? [phase.candidate, ...phase.back === undefined ? [] : [phase.back.upstream]]
    : [];
  const gone = needed.find(({ name }) => !upstreams.some((each) => each.name === name));
  if (gone === undefined) return undefined;
  return `the service is paused, so nobody would take the place of ${gone.name}`;
}

/** Puts the list and the policy of the context into force; `before` is the policy that was. */
export function takeConfig(
  context: StepContext,
  upstreams: readonly Upstream[],
  before: Policy,
): void {
  const was = context.state;
  const isListed = listing(upstreams);
  context.set(relisted(rebase(was, before, context.policy), upstreams, context.now));
  for (const { name } of upstreams) {
    const isDoubtful = isInDoubt(context.health(name), context.policy);
    const old = was.health.get(name);
    if (old === undefined || isDoubtful === isInDoubt(old, before)) continue;
    context.requestAction({ do: "pace", upstream: name, pace: isDoubtful ? "doubt" : "steady" });
  }
  const added = upstreams.filter(({ name }) => !was.health.has(name));
  takePhase(context, isListed, added);
  for (const { name } of was.upstreams) if (!isListed(name)) leaveSessions(context, name, was);
  const { admission } = context.state;
  if (admission.is !== "failOpen") return;
  if (!isListed(admission.target)) endHold(context, whyRemoved(admission.target));
  else if (!context.policy.failOpen) {
    endHold(context, "clients are no longer let through unchecked");
  }
}

function listing(upstreams: readonly Upstream[]): (name: string) => boolean {
  const names = new Set(upstreams.map(({ name }) => name));
  return (name) => names.has(name);
}

/** The state with another list of upstreams. What it says about upstreams that are gone is forgotten. */
function relisted(state: State, upstreams: readonly Upstream[], now: number): State {
  const { failedMoves, pinned, drained, standbys } = listedOnly(
    { ...NOTHING, ...state },
    upstreams,
  );
  return {
    ...state,
    upstreams,
    health: new Map(
      upstreams.map(({ name }) => [name, state.health.get(name) ?? unknownHealth(now)]),
    ),
    remembered: rememberedListed(state.remembered, upstreams),
    ...{ failedMoves, pinned, drained, standbys },
    drains: bounded(state.drains, listing(upstreams)),
  };
}

const NOTHING = { served: undefined, unfinished: undefined };
/** Drains of upstreams that are no longer listed, which may be listed again before their sessions have ended. */
const GONE_MAX = 32;

function bounded(drains: State["drains"], isListed: (name: string) => boolean): State["drains"] {
  const gone = [...drains.keys()].filter((name) => !isListed(name)).slice(0, -GONE_MAX);
  return new Map([...drains].filter(([name]) => !gone.includes(name)));
}

function rememberedListed(
  remembered: Remembered | undefined,
  upstreams: readonly Upstream[],
): Remembered | undefined {
  if (remembered === undefined) return undefined;
  const isListed = listing(upstreams);
  const { served, unfinished, standing } = remembered;
  const isCandidateGone = unfinished !== undefined && !isListed(unfinished.to);
  const known = rememberedOf({
    served: served !== undefined && isListed(served) ? served : undefined,
    unfinished: isCandidateGone ? undefined : unfinished,
  });
  if (known === undefined) return undefined;
  // Its triggers had begun, so the one before it does not simply continue: it is promoted again.
  const isGivenUp = remembered.isGivenUp || isCandidateGone;
  const stands = standing !== undefined && isListed(standing.active);
  return { ...known, isGivenUp, ...stands ? { standing } : {} };
}

function takePhase(
  context: StepContext,
  isListed: (name: string) => boolean,
  added: readonly Upstream[],
): void {
  const phase = renewed(context.phase, context.state.upstreams);
  context.enter(phase);
  switch (phase.name) {
    case "selecting":
      for (const { name } of added) context.requestAction({ do: "probe", upstream: name });
      return judgeRound(context);
    case "promoting":
      return takePromotion(context, phase, isListed);
    case "serving":
      if (!isListed(phase.active.name)) lose(context, whyRemoved(phase.active.name));
  }
}

/** The phase with the upstreams as they are listed now, and without the answers of those that are gone. */
function renewed(phase: Phase, upstreams: readonly Upstream[]): Phase {
  const isListed = listing(upstreams);
  const listed = (names: ReadonlySet<string>) => new Set([...names].filter(isListed));
  const newest = (old: Upstream) => upstreams.find(({ name }) => name === old.name) ?? old;
  switch (phase.name) {
    case "selecting": {
      const answers = new Map([...phase.answers].filter(([name]) => isListed(name)));
      const [suspects, passedOver] = [listed(phase.suspects), listed(phase.passedOver)];
      return { ...phase, answers, suspects, passedOver };
    }
    case "waiting":
      return { ...phase, passedOver: listed(phase.passedOver) };
    case "promoting": {
      const { candidate, back, passedOver } = phase;
      return {
        ...phase,
        candidate: newest(candidate),
        back: back === undefined ? undefined : { ...back, upstream: newest(back.upstream) },
        passedOver: listed(passedOver),
      };
    }
    case "serving":
      return { ...phase, active: newest(phase.active) };
  }
}

function takePromotion(
  context: StepContext,
  phase: Extract<Phase, { name: "promoting" }>,
  isListed: (name: string) => boolean,
): void {
  const { candidate, back } = phase;
  const isBackGone = back !== undefined && !isListed(back.upstream.name);
  if (isListed(candidate.name)) {
    if (isBackGone) loseBack(context, phase, whyRemoved(back.upstream.name));
    return;
  }
  if (isBackGone) {
    context.enter({ ...phase, back: undefined });
    leaveService(context, whyRemoved(back.upstream.name));
  }
  giveUp(context, whyRemoved(candidate.name));
}

/**
 * Ends the sessions of an upstream that was removed, unless sessions are kept at a move. Where clients must
 * not change two servers at the same time they end at once, because the next upstream may be chosen now.
 */
function leaveSessions(context: StepContext, name: string, was: State): void {
  const { sessionsOnMove, triggers, graceMs, drainMs } = context.policy;
  if (sessionsOnMove === "keep" || was.epoch === 0) return;
  const cutMs = triggers === "before" ? 0 : graceMs;
  const endMs = sessionsOnMove === "cut" ? cutMs : drainMs;
  drainLeft(context, name, was.epoch, endMs, whyRemoved(name));
}
