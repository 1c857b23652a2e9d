/** Which upstream check programs must consider chosen. */
import { rememberedName, unfinishedOf } from "./memory.ts";
import type { Phase, State } from "./state.ts";

/**
 * The upstream that a check program must consider chosen (`FAILOVER_ACTIVE`) while it checks `upstream`;
 * undefined before the first promotion. This is `State.lastChosen` with two exceptions. For the active
 * upstream, and for the one that traffic may still return to, it is that upstream itself. And while it is
 * unknown whether a promotion succeeded, it is the upstream of that promotion for all others.
 * The same is true of the upstream and the promotion that are remembered from before a restart, and of a
 * promotion that another proxy carries out for all.
 */
export function trustedFor(state: State, upstream: string): string | undefined {
  const { phase, lastChosen, remembered } = state;
  if (phase.name === "promoting") {
    return phase.back?.upstream.name === upstream ? upstream : phase.candidate.name;
  }
  const shared = promotedByAnother(state);
  if (phase.name !== "serving" && shared !== undefined) return shared;
  if (phase.name !== "serving") {
    const kept = rememberedName(remembered);
    const isOpen = unfinishedOf(remembered) !== undefined;
    return upstream === kept || isOpen ? kept : lastChosen ?? kept;
  }
  const { active, triggers } = phase;
  const isOpen = triggers.is === "failed" ? triggers.proof === "none" : triggers.is !== "ran";
  return active.name === upstream || isOpen ? active.name : lastChosen;
}

/**
 * The phase that a check program gets (`FAILOVER_PHASE`). A promotion that a restart has interrupted is
 * under way until it is repeated or given up.
 */
export function phaseForChecks(state: State): Phase["name"] {
  const { phase, remembered } = state;
  const isUnfinished = phase.name !== "serving" &&
    (unfinishedOf(remembered) !== undefined || promotedByAnother(state) !== undefined);
  return isUnfinished ? "promoting" : phase.name;
}

/**
 * The upstream that another proxy promotes for all. The proxy that leads knows more than what is stored: it
 * remembers what it found unfinished, and may have given it up.
 */
function promotedByAnother({ cluster }: State): string | undefined {
  if (cluster === undefined || cluster.role === "leads") return undefined;
  return cluster.decision?.phase === "promoting" ? cluster.decision.to : undefined;
}
