/**
 * Triggers that were ended, or not begun, because the lease of this proxy may have ended. Most often the lead is lost as
 * well, and `following.ts` has dealt with that. But a proxy that gets hardly any CPU time may have renewed its lease in
 * time, and told the guard of its triggers too late.
 */
import { endedWithLead } from "./decided.ts";
import { takeUp, takeUpOwn } from "./following.ts";
import type { StepContext } from "./step_context.ts";
import { takeTriggersEnded } from "./switching.ts";

/**
 * Nobody knows how far the triggers of `epoch` came: they have neither run nor failed, whatever the policy says of a
 * failure. If this proxy still leads, they run again, in an epoch of their own.
 */
export function takeCalledOff(context: StepContext, epoch: number, reason: string): void {
  const { phase, state } = context;
  const isUnderWay = "triggers" in phase && phase.triggers.is === "running";
  if (isUnderWay && phase.name === "serving" && phase.epoch === epoch) {
    context.set({ stage: state.stage + 1 });
    context.enter({ ...phase, triggers: endedWithLead() });
    return takeUpOwn(context);
  }
  const isOwn = phase.name === "promoting" && phase.promotion.epoch === epoch;
  // A candidate that is down is given up as soon as its triggers have ended, in whichever way.
  if (!isUnderWay || !isOwn || phase.doomedAt !== undefined) {
    return takeTriggersEnded(context, epoch, { how: "cancelled" });
  }
  const { id, to, from } = phase.promotion;
  context.set({ stage: state.stage + 1 });
  context.emit({ type: "promotion.abandoned", id, epoch, to, reason });
  if (phase.order !== undefined) context.settle(phase.order.id, { is: "failed", reason });
  takeUp(context, { to, from, by: state.cluster?.instance ?? "this proxy" });
}
