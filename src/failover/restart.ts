/**
 * The first selection after a restart of the process, if something is remembered (`memory.ts`): the upstream
 * that served before has precedence. A process that takes over from one that serves has no selection at all.
 */
import { outageMs } from "./admission.ts";
import { mayDecide } from "./cluster.ts";
import { conclude } from "./following.ts";
import { isDown, withVerdict } from "./health.ts";
import { type Remembered, rememberedName } from "./memory.ts";
import { reportOf, takesWrites } from "./roles.ts";
import { startRound } from "./rounds.ts";
import type { TriggerProgress } from "./state.ts";
import type { StepContext } from "./step_context.ts";
import { bringUp, promote } from "./switching.ts";
import type { Upstream } from "./upstream.ts";

/** Why the candidate was chosen in the first rounds after the start, for a person. */
export function whyAtStart(context: StepContext, name: string): string {
  const kept = rememberedName(context.state.remembered);
  const { last } = kept === undefined ? {} : context.health(kept);
  if (kept === undefined || last === undefined || last.passed) return `${name} is the first usable`;
  return `${kept}, which served before the restart, is down: ${last.reason}`;
}

/**
 * Continues with the upstream that served before a restart, if it has passed. Returns true if no other one
 * may be chosen: it serves now, or its promotion is repeated, or it is not known to be down.
 */
export function waitsForRemembered(context: StepContext): boolean {
  const { phase } = context;
  if (phase.name !== "selecting") return false;
  const { state: { remembered, upstreams, drained }, policy } = context;
  const kept = upstreams.find(({ name }) => name === rememberedName(remembered));
  if (kept === undefined || remembered === undefined || remembered.isGivenUp) return false;
  if (drained.has(kept.name) || phase.passedOver.has(kept.name)) return false;
  if (phase.answers.get(kept.name)?.passed !== true) {
    if (!isDown(context.health(kept.name), policy)) return true;
    const { last } = context.health(kept.name);
    const reason = `${kept.name} was being promoted and is down: ${last?.reason}`;
    return giveUpUnfinished(context, remembered, reason);
  }
  const { served } = remembered;
  if (policy.roles !== undefined && remembered.unfinished !== undefined && served !== undefined) {
    // If the promotion did not come about, the primary is still the one that served before.
    if (!phase.answers.has(served)) return true;
    const { state } = context;
    if (takesWrites(state, served) && reportOf(state, kept.name)?.role === "standby") {
      const reason =
        `${kept.name} was being promoted and is a standby, and ${served} is the primary`;
      return giveUpUnfinished(context, remembered, reason);
    }
  }
  if (remembered.unfinished === undefined && context.state.outdated === kept.name) return true;
  if (remembered.unfinished === undefined) {
    bringUp(context, kept);
    continueService(context, kept, "it served before the restart", context.now);
  } else if (mayDecide(context.state)) {
    const { round, passedOver } = phase;
    const [move, reason] = context.state.cluster === undefined
      ? ["failover" as const, "its promotion was under way before the restart"]
      : ["resume" as const, phase.reason];
    promote(context, kept, move, reason, { round, passedOver });
  }
  return true;
}

/**
 * The upstream whose promotion was interrupted is not promoted. If no client was let through to it, the one before it
 * counts as chosen again, and all are checked again. Returns false if nothing changes.
 */
function giveUpUnfinished(context: StepContext, remembered: Remembered, reason: string): boolean {
  const { served, unfinished } = remembered;
  if (unfinished === undefined || unfinished.to === served) return false;
  const { state } = context;
  context.set({ stage: state.stage + 1, remembered: { ...remembered, isGivenUp: true } });
  startRound(context, 1, reason);
  return true;
}

/**
 * Takes over from a process that serves at this moment, with what it knew (`Standing`): no check, no selection and
 * no trigger. Returns false if there is none, or if its upstream is no longer listed.
 */
export function continueAtOnce(context: StepContext): boolean {
  const { state: { remembered, upstreams }, policy } = context;
  const standing = remembered?.standing;
  const active = upstreams.find(({ name }) => name === standing?.active);
  if (standing === undefined || active === undefined) return false;
  if (context.state.outdated === active.name) return false;
  for (const { name } of upstreams) {
    const known = standing.verdicts.get(name);
    if (known !== undefined) {
      context.setHealth(name, withVerdict(known.isUp, policy, known.since));
    }
  }
  const nobody: ReadonlySet<string> = new Set();
  const answers = new Map();
  const round = { round: 1, reason: "start", answers, suspects: nobody, passedOver: nobody };
  context.enter({ name: "selecting", ...round });
  continueService(context, active, "it was taken over as it was", standing.since);
  return true;
}

/** The upstream that served before serves again. It was promoted then. */
function continueService(
  context: StepContext,
  active: Upstream,
  reason: string,
  since: number,
): void {
  const { state, now } = context;
  const { name } = active;
  const epoch = state.epoch + 1;
  const tookMs = outageMs(state.admission, now);
  const triggers: TriggerProgress = state.lastChosen === name
    ? { is: "ran" }
    : { is: "failed", reason: "they failed before the restart", proof: "none" };
  context.enter({ name: "serving", active, epoch, triggers, failbackPlan: undefined });
  context.set({
    epoch,
    admission: { is: "open" },
    lastServed: { to: name, promotion: undefined, since },
    remembered: undefined,
    pinned: state.pinned === name ? name : undefined,
  });
  conclude(context, { epoch, to: name, from: undefined, move: "start", reason });
  context.admit({ do: "open", upstream: active, epoch });
  context.emit({ type: "service.continued", upstream: name, epoch, reason, tookMs });
}
