/** Which sessions the machine has ended, and when it thinks better of it. */
import { isDown } from "./health.ts";
import type { ProbeResult } from "./ports.ts";
import type { PendingDrain } from "./state.ts";
import type { StepContext } from "./step_context.ts";

/**
 * Follows one failure of an upstream that is down: the sessions that it has from `throughEpoch` and
 * before end as far as the policy and the evidence go. Silence spares those that still move bytes, until
 * something harder is heard.
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

/** Traffic has moved away from, or is about to leave, an upstream that still works. */
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

/** The upstream is up again (`soft`), or active again (any): those of its sessions that are left may stay. */
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
