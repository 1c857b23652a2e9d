/**
 * The admission of new clients: the part of the machine that holds them, refuses them, or lets them
 * through to a fail-open target.
 */
import type { Admission } from "./state.ts";
import type { StepContext } from "./step_context.ts";
import type { Upstream } from "./upstream.ts";

/** No client may go to the active upstream any more: new clients wait, or are refused if `holdMs` is 0. */
export function leaveService(context: StepContext, reason: string): void {
  const { now, policy, state } = context;
  if (state.admission.is !== "open") return;
  if (policy.holdMs === 0) return close(context, now, reason);
  context.set({ admission: { is: "holding", outSince: now, until: now + policy.holdMs } });
  context.admit({ do: "hold" });
  context.emit({ type: "clients.held", reason, holdMs: policy.holdMs });
}

/**
 * A whole round found no upstream, and clients must not wait any longer. If every check fails, it is more
 * likely that the checks are wrong than that all upstreams are, unless these refuse connections
 * themselves. So with `failOpen` the best upstream that has not refused one becomes the target.
 */
export function endHold(context: StepContext, reason: string): void {
  const { state: { admission, upstreams, epoch: lastEpoch }, policy } = context;
  if (admission.is === "open") return;
  const mayAnswer = ({ name }: Upstream) =>
    context.health(name).last?.evidence !== "refused" && !context.state.drained.has(name);
  const target = policy.failOpen && context.state.paused === undefined
    ? upstreams.find(mayAnswer)
    : undefined;
  if (target === undefined) return overstayed(context, reason);
  if (admission.is === "failOpen" && admission.target === target.name) return;
  const { outSince } = admission;
  const epoch = lastEpoch + 1;
  context.set({ epoch, admission: { is: "failOpen", outSince, target: target.name } });
  context.admit({ do: "open", upstream: target, epoch });
  context.emit({ type: "service.failedOpen", upstream: target.name, epoch, reason });
}

/**
 * The hold that began with the loss of service is over. With `holdWhile: down` clients are held all the
 * same, each for `holdMs` from its own arrival; otherwise they are refused.
 */
export function overstayed(context: StepContext, reason: string): void {
  const { state: { admission }, policy } = context;
  if (admission.is === "open" || admission.is === "closed") return;
  if (admission.is === "holding" && policy.holdWhile === "down") {
    context.set({ admission: { ...admission, until: Infinity } });
  } else {
    close(context, admission.outSince, reason);
  }
}

function close(context: StepContext, outSince: number, reason: string): void {
  context.set({ admission: { is: "closed", outSince } });
  context.admit({ do: "refuse" });
  context.emit({ type: "clients.refused", reason });
}

/** For how many milliseconds no promoted upstream has served clients; 0 while one serves them. */
export function outageMs(admission: Admission, now: number): number {
  return admission.is === "open" ? 0 : now - admission.outSince;
}
