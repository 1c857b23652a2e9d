/**
 * What new clients meet: the part of the machine that holds them, turns them away, or lets them through
 * to a last resort.
 */
import type { Turn } from "./step_context.ts";
import type { Upstream } from "./upstream.ts";

/** Nobody may be given to the active upstream any more: new clients wait, or are turned away. */
export function leaveService(turn: Turn, reason: string): void {
  const { now, policy, state } = turn;
  if (state.door !== "open") return;
  turn.set({ outSince: now, failbackPlan: undefined });
  if (policy.holdMs === 0) return closeDoor(turn, reason);
  turn.set({ door: "holding", holdUntil: now + policy.holdMs });
  turn.ask({ do: "hold" });
  turn.tell({ type: "clients.held", reason, holdMs: policy.holdMs });
}

export function closeDoor(turn: Turn, reason: string): void {
  if (turn.state.door === "closed") return;
  turn.set({ door: "closed", holdUntil: undefined, lastResort: undefined });
  turn.ask({ do: "refuse" });
  turn.tell({ type: "clients.refused", reason });
}

/**
 * A whole round found nobody, and nobody shall wait longer. If every check fails, the checks are more
 * likely to be wrong than all upstreams, unless these refuse connections themselves.
 */
export function endHold(turn: Turn, reason: string): void {
  const { state, policy } = turn;
  const mayAnswer = ({ name }: Upstream) => turn.health(name).last?.evidence !== "refused";
  const resort = policy.failOpen ? state.upstreams.find(mayAnswer) : undefined;
  if (resort === undefined) return mayHoldOn(turn) ? holdOn(turn) : closeDoor(turn, reason);
  if (state.lastResort === resort.name) return;
  const epoch = state.epoch + 1;
  turn.set({ epoch, door: "open", holdUntil: undefined, lastResort: resort.name });
  turn.ask({ do: "open", upstream: resort, epoch });
  turn.tell({ type: "service.failedOpen", upstream: resort.name, epoch, reason });
}

/** The first hold is over while a candidate is being promoted or a first round is under way. */
export function overstayed(turn: Turn, reason: string): void {
  if (mayHoldOn(turn)) holdOn(turn);
  else closeDoor(turn, reason);
}

/** With `holdWhile: down` the door goes on holding: each client has a hold of its own, from its arrival. */
function mayHoldOn({ policy, state }: Turn): boolean {
  return policy.holdWhile === "down" && state.door === "holding";
}

function holdOn(turn: Turn): void {
  turn.set({ holdUntil: undefined });
}
