/**
 * What this proxy knows of the shared decision: who was chosen, and what has become of its own promotions, of which the
 * store may know less.
 */
import type { Decision } from "./cluster.ts";
import { isOver } from "./memory.ts";
import { lose } from "./rounds.ts";
import type { TriggerProgress } from "./state.ts";
import type { StepContext } from "./step_context.ts";

const CANCELLED = "they were cancelled";

/** The triggers that were ended for another move of the traffic, which may fail. */
export function cancelledForMove(): TriggerProgress {
  return { is: "failed", reason: CANCELLED, proof: "none" };
}

/** The triggers that were ended with the lead; the next leader runs them again. */
export function endedWithLead(): TriggerProgress {
  const reason = `${CANCELLED}: this proxy does not lead any more`;
  return { is: "failed", reason, proof: "none" };
}

/**
 * Whether this proxy has ended the promotion that the store shows as `promoting`: that it is done is being stored, and
 * all proxies open when it is. To repeat it would be wrong, since it could be given up after clients were let through.
 */
export function hasEnded(
  { state: { phase, lastServed, cluster }, policy }: StepContext,
  { epoch, by }: Pick<Decision, "epoch" | "by">,
): boolean {
  if (by !== cluster?.instance || lastServed?.promotion?.epoch !== epoch) return false;
  // Its upstream was lost since. Triggers beside the traffic may have been under way then.
  if (phase.name !== "serving") return policy.triggers === "before";
  const { triggers } = phase;
  const isCancelled = triggers.is === "failed" && triggers.reason.startsWith(CANCELLED);
  return phase.epoch === epoch && isOver(triggers) && !isCancelled;
}

/**
 * The decision by which this proxy serves. While it is cut off, and has read nothing since its start, it is what it served
 * by its memory.
 */
export function decisionOf({ state }: StepContext): Decision | undefined {
  const { phase, epoch, lastServed, cluster } = state;
  if (cluster?.decision !== undefined) return cluster.decision;
  if (cluster?.role !== "cutOff" || lastServed === undefined) return undefined;
  const { to } = lastServed;
  return {
    ...{ epoch: phase.name === "serving" ? phase.epoch : epoch, to, from: to, phase: "done" },
    ...{ move: "resume", reason: "it served before", by: cluster.instance },
  };
}

/**
 * The store does not take what this proxy serves. If it still leads, nobody else has decided: the upstream was promoted
 * and may have got writes, so that no other one is chosen in its place because of its rank.
 */
export function loseUnstored(context: StepContext, reason: string): void {
  const { phase, state } = context;
  if (phase.name === "serving" && isOver(phase.triggers) && state.cluster?.role === "leads") {
    const { name } = phase.active;
    const unfinished = { to: name, from: name };
    context.set({ remembered: { served: name, unfinished, isGivenUp: false } });
  }
  lose(context, reason);
}

/**
 * What was decided counts, also where this proxy could not follow or cannot serve it now: if it leads one day, an
 * upstream that was left before that must be a stale one for it.
 */
export function learnChosen(context: StepContext, decision: Decision): void {
  const { to, from, phase } = decision;
  if (phase === "promoting" && hasEnded(context, decision)) return;
  const chosen = phase === "done" ? to : from;
  const { state: { upstreams, lastServed, lastChosen }, now } = context;
  if (!upstreams.some(({ name }) => name === chosen)) return;
  if (lastChosen !== chosen) context.set({ lastChosen: chosen });
  if (chosen === undefined || lastServed?.to === chosen) return;
  context.set({ lastServed: { to: chosen, promotion: undefined, since: now } });
}

/** The promotion that this proxy had taken up was done, and that was stored late: its upstream may have got clients. */
export function learnLateEnd(context: StepContext, decision: Decision | undefined): void {
  const { remembered } = context.state;
  if (decision?.phase !== "done" || remembered?.unfinished?.to !== decision.to) return;
  learnChosen(context, decision);
  context.set({ remembered: undefined });
}
