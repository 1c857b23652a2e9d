/**
 * What new clients meet: the part of the machine that holds them, turns them away, or lets them through
 * to a last resort.
 */
import type { StepContext } from "./step_context.ts";
import type { Upstream } from "./upstream.ts";

/** Nobody may be given to the active upstream any more: new clients wait, or are turned away. */
export function leaveService(context: StepContext, reason: string): void {
  const { now, policy, state } = context;
  if (state.door !== "open") return;
  context.set({ outSince: now, failbackPlan: undefined });
  if (policy.holdMs === 0) return closeDoor(context, reason);
  context.set({ door: "holding", holdUntil: now + policy.holdMs });
  context.requestAction({ do: "hold" });
  context.emit({ type: "clients.held", reason, holdMs: policy.holdMs });
}

export function closeDoor(context: StepContext, reason: string): void {
  if (context.state.door === "closed") return;
  context.set({ door: "closed", holdUntil: undefined, lastResort: undefined });
  context.requestAction({ do: "refuse" });
  context.emit({ type: "clients.refused", reason });
}

/**
 * A whole round found nobody, and nobody shall wait longer. If every check fails, the checks are more
 * likely to be wrong than all upstreams, unless these refuse connections themselves.
 */
export function endHold(context: StepContext, reason: string): void {
  const { state, policy } = context;
  const mayAnswer = ({ name }: Upstream) => context.health(name).last?.evidence !== "refused";
  const resort = policy.failOpen ? state.upstreams.find(mayAnswer) : undefined;
  if (resort === undefined) {
    return mayHoldOn(context) ? holdOn(context) : closeDoor(context, reason);
  }
  if (state.lastResort === resort.name) return;
  const epoch = state.epoch + 1;
  context.set({ epoch, door: "open", holdUntil: undefined, lastResort: resort.name });
  context.requestAction({ do: "open", upstream: resort, epoch });
  context.emit({ type: "service.failedOpen", upstream: resort.name, epoch, reason });
}

/** The first hold is over while a candidate is being promoted or a first round is under way. */
export function overstayed(context: StepContext, reason: string): void {
  if (mayHoldOn(context)) holdOn(context);
  else closeDoor(context, reason);
}

/** With `holdWhile: down` the door goes on holding: each client has a hold of its own, from its arrival. */
function mayHoldOn({ policy, state }: StepContext): boolean {
  return policy.holdWhile === "down" && state.door === "holding";
}

function holdOn(context: StepContext): void {
  context.set({ holdUntil: undefined });
}
