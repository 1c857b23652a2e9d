/**
 * A proxy that is cut off from the coordinator serves what was decided last, as far as it knows. Where checks know the
 * role, a server may prove that this is outdated: it was the primary when it was decided, and it is a standby now, so
 * another one was decided since. It may become the primary again, in a promotion that is given up, and what it
 * acknowledges then is lost. So nobody is let through to it until the coordinator has answered.
 */
import { decisionOf, hasEnded } from "./decided.ts";
import { drainOutdated } from "./drains.ts";
import { isDown } from "./health.ts";
import { rememberedName, unfinishedOf } from "./memory.ts";
import type { ProbeResult } from "./ports.ts";
import { lose } from "./rounds.ts";
import { activeOf, hasBegun, type State } from "./state.ts";
import type { StepContext } from "./step_context.ts";
import type { Upstream } from "./upstream.ts";

/**
 * Learns from one result whether the decision that this proxy knows is outdated. If so, its upstream serves nobody any
 * more: it may have become the primary again before its next check. Returns true if its sessions end.
 */
export function leaveOutdated(
  context: StepContext,
  name: string,
  { server, overtaken }: ProbeResult,
): boolean {
  const { state, policy: { roles } } = context;
  // A server that somebody else promotes is right as soon as it is the primary.
  if (roles === undefined || roles.promotedBy === "others" || overtaken === true) return false;
  if (!mayBeOutdated(state) || state.outdated === name) return false;
  const isStandby = server?.role === "standby" && server.phase === "running";
  if (!isStandby || decidedOf(context) !== name) return false;
  context.set({ outdated: name });
  if (!hasBegun(state)) return false;
  const reason = `${name} was decided, and is a standby now: another one was decided since`;
  if (activeOf(state)?.upstream.name === name) lose(context, reason);
  return drainOutdated(context, name, reason);
}

/** Whether others may have decided meanwhile. Before the service begins, nobody knows yet whether it has any. */
function mayBeOutdated(state: State): boolean {
  return hasBegun(state) ? state.cluster?.role === "cutOff" : state.cluster === undefined;
}

/** The upstream that is decided and whose promotion has ended, as far as this proxy knows or remembers. */
function decidedOf(context: StepContext): string | undefined {
  const decision = decisionOf(context);
  if (decision !== undefined) {
    const isDone = decision.phase === "done" || hasEnded(context, decision);
    return isDone ? decision.to : undefined;
  }
  const { remembered } = context.state;
  return unfinishedOf(remembered) === undefined ? rememberedName(remembered) : undefined;
}

/**
 * Whether clients can be let through, as it was decided. An upstream that this proxy sees down must pass a check first,
 * unless it serves already.
 */
export function mayServe(context: StepContext, to: Upstream): boolean {
  const { phase, state } = context;
  if (state.outdated === to.name) return false;
  if (!isDown(context.health(to.name), context.policy)) return true;
  return phase.name === "selecting" && phase.answers.get(to.name)?.passed === true;
}
