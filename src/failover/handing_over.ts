/**
 * Whether another process can take over the service now, and what it must know to go on as if nothing had happened.
 * Nothing may be under way that only this process can bring to its end: a promotion, its triggers, or clients that
 * it lets wait.
 */
import { isUp, type Thresholds } from "./health.ts";
import { type Memory, memoryOf, type Standing } from "./memory.ts";
import { hasBegun, type State } from "./state.ts";

/** What another process must know to take over now, or why it cannot yet, for a person. */
export function handedOver(state: State, thresholds: Thresholds): Memory | string {
  const reason = whyNotNow(state);
  if (reason !== undefined) return reason;
  const standing = standingOf(state, thresholds);
  return { ...memoryOf(state), ...standing === undefined ? {} : { standing } };
}

function whyNotNow(state: State): string | undefined {
  const { phase, admission, held } = state;
  if (!hasBegun(state)) return "it has not begun yet";
  if (held !== undefined) return `its clients are held by order of ${held.by}`;
  if (phase.name === "promoting") return `${phase.candidate.name} is being promoted`;
  if (phase.name === "serving" && phase.triggers.is !== "ran" && phase.triggers.is !== "failed") {
    return `the triggers of ${phase.active.name} are running`;
  }
  if (admission.is === "holding") return "its clients are held until an upstream can be used";
  // In a later round, and with the port closed, the next process only begins with another round.
  const isFirst = phase.name === "selecting" && phase.round === 1;
  return isFirst ? "an upstream is being chosen" : undefined;
}

function standingOf(
  { phase, lastServed, now, health }: State,
  thresholds: Thresholds,
): Standing | undefined {
  if (phase.name !== "serving") return undefined;
  const verdicts = [...health].flatMap(([name, each]) =>
    each.level === undefined
      ? []
      : [[name, { isUp: isUp(each, thresholds), since: each.since }] as const]
  );
  return {
    active: phase.active.name,
    since: lastServed?.since ?? now,
    verdicts: new Map(verdicts),
  };
}
