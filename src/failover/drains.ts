/** The orders that end sessions on an upstream, and those that cancel such an order. */
import type { ClusterView } from "./cluster.ts";
import { isDown } from "./health.ts";
import type { ProbeResult, Promotion } from "./ports.ts";
import type { PendingDrain } from "./state.ts";
import type { StepContext } from "./step_context.ts";

/**
 * Ends sessions after a failed check of an upstream that is down, as far as the policy and the evidence
 * allow: those of epoch `throughEpoch` and older. Silence spares sessions that still move bytes, until a
 * check fails with harder evidence. `hasFallen` is true if this result brought the upstream down.
 */
export function drainDown(
  context: StepContext,
  upstream: string,
  result: ProbeResult,
  hasFallen: boolean,
  throughEpoch: number,
): void {
  const { policy, now, state } = context;
  if (result.passed || policy.sessionsOnDown === "keep" || throughEpoch === 0) return;
  if (!isDown(context.health(upstream), policy)) return;
  const pending = state.drains.get(upstream);
  const isSoft = result.evidence === "silent";
  if (hasFallen ? isSoft && pending?.why === "move" : isSoft || pending?.why !== "soft") return;
  const quietMs = now - (context.health(upstream).failingSince ?? now);
  const epoch = hasFallen ? throughEpoch : pending!.throughEpoch;
  note(context, upstream, isSoft ? { why: "soft", throughEpoch: epoch } : undefined);
  context.requestAction({
    do: "drain",
    order: {
      upstream,
      throughEpoch: epoch,
      graceMs: policy.graceMs,
      sparedIfMovedMs: isSoft ? Math.max(1_000, quietMs) : undefined,
      revocable: isSoft,
      reason: result.reason,
    },
  });
}

/** Ends sessions on an upstream that works, after a grace in milliseconds: traffic moves away from it. */
export function drainLeft(
  context: StepContext,
  upstream: string,
  throughEpoch: number,
  graceMs: number,
  reason: string,
): void {
  if (graceMs > 0) note(context, upstream, { why: "move", throughEpoch });
  context.requestAction({
    do: "drain",
    order: {
      upstream,
      throughEpoch,
      graceMs,
      sparedIfMovedMs: undefined,
      revocable: true,
      reason,
    },
  });
}

/**
 * Ends all sessions on the server `from`, because `to` is promoted in its place, also those that still move bytes: a
 * server that was only silent would go on to answer their clients, and what it acknowledges then is lost. Only
 * where checks know the role, since nowhere else is it known that one server at a time may take writes.
 */
export function drainReplaced(
  context: StepContext,
  { from, to, epoch }: Pick<Promotion, "from" | "to" | "epoch">,
  reason: string,
): void {
  const { policy } = context;
  if (policy.roles === undefined || policy.sessionsOnDown === "keep") return;
  const throughEpoch = epoch - 1;
  if (from === undefined || from === to || throughEpoch <= 0) return;
  const health = context.health(from);
  // Its sessions end already, after the grace in which their last bytes arrive.
  if (isDown(health, policy) && health.last?.evidence !== "silent") return;
  note(context, from, undefined);
  context.requestAction({
    do: "drain",
    order: {
      ...{ upstream: from, throughEpoch, graceMs: 0, reason },
      ...{ sparedIfMovedMs: undefined, revocable: false },
    },
  });
}

/**
 * Ends all sessions on a server that serves only by an outdated decision, without a grace: what it acknowledges is lost
 * if it becomes the primary again for a moment. Returns false if the policy keeps them.
 */
export function drainOutdated(context: StepContext, upstream: string, reason: string): boolean {
  const { policy, state: { epoch } } = context;
  if (policy.sessionsOnDown === "keep" || epoch === 0) return false;
  note(context, upstream, undefined);
  context.requestAction({
    do: "drain",
    order: {
      ...{ upstream, throughEpoch: epoch, graceMs: 0, reason },
      ...{ sparedIfMovedMs: undefined, revocable: false },
    },
  });
  return true;
}

/** Before a promotion begins, the sessions end that may not stay where they are. */
export function drainBefore(context: StepContext, promotion: Promotion, reason: string): void {
  if (context.state.cluster === undefined) drainReplaced(context, promotion, reason);
  else drainOthers(context, promotion.to, promotion.epoch - 1, reason);
}

/** Another proxy has decided: no client stays on any other server, also if this one has missed what came before. */
export function drainDecided(
  context: StepContext,
  before: ClusterView | undefined,
  { decision, role }: ClusterView,
): void {
  if (decision === undefined || decision.epoch === before?.decision?.epoch) return;
  const { epoch, to, from, by, phase } = decision;
  // A proxy that has led all the time made the decision itself, and has ended the sessions then.
  if (role === "leads" && before?.role === "leads") return;
  // While the server `to` is being promoted, its sessions are ended as well: they are from an earlier time, and the
  // promotion may be given up.
  const isAnother = phase === "promoting" && from !== undefined && from !== to;
  const reason = `${by} has decided for ${to} (epoch ${epoch})`;
  drainOthers(context, isAnother ? undefined : to, context.state.epoch, reason);
}

/**
 * Ends all sessions that are not on `kept`, of epoch `throughEpoch` and older, as `drainReplaced` does. Where several
 * proxies decide, sessions may be left on any server: this one may have missed a decision, and those on a server that
 * it alone sees down go on.
 */
function drainOthers(
  context: StepContext,
  kept: string | undefined,
  throughEpoch: number,
  reason: string,
): void {
  const { policy, state } = context;
  if (policy.roles === undefined) return;
  for (const { name } of state.upstreams) {
    const { last } = context.health(name);
    if (name === kept) continue;
    const isGone = isDown(context.health(name), policy) && last?.evidence !== "silent";
    if (isGone && last !== undefined) drainDown(context, name, last, true, throughEpoch);
    else drainReplaced(context, { from: name, to: kept ?? "", epoch: throughEpoch + 1 }, reason);
  }
}

/**
 * Cancels the drain of an upstream; with `why` only a drain for that reason. Its remaining sessions stay,
 * because the upstream is up again (`soft`) or active again (any reason).
 */
export function spare(context: StepContext, upstream: string, why?: PendingDrain["why"]): void {
  const pending = context.state.drains.get(upstream);
  if (pending === undefined || (why !== undefined && pending.why !== why)) return;
  note(context, upstream, undefined);
  context.requestAction({ do: "spare", upstream });
}

function note(context: StepContext, upstream: string, pending: PendingDrain | undefined): void {
  const drains = new Map(context.state.drains);
  if (pending === undefined) drains.delete(upstream);
  else drains.set(upstream, pending);
  context.set({ drains });
}
