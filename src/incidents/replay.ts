/**
 * Feeds the recorded inputs of an incident to the machine again. The machine is pure, so it decides exactly what
 * it decided then, unless the program has changed. Pure.
 */
import { policyAfter, step } from "../failover/machine.ts";
import type { Step } from "../failover/steps.ts";
import type { Recorded } from "./recording.ts";
import { type Decided, decisionsOf } from "./input_log.ts";

/** What the machine decides from the recorded inputs. */
export function replay(recorded: Recorded): readonly Decided[] {
  const decided: Decided[] = [];
  eachStep(recorded, (next) => {
    decided.push(...decisionsOf({ step: next }));
  });
  return decided;
}

/** Calls `take` with each step of the replay, and the state before it. */
export function eachStep(
  { start, entries, policy }: Recorded,
  take: (next: Step, before: Step["state"], index: number) => void,
): void {
  let state = start;
  let inForce = policy;
  for (const [index, { at, input }] of entries.entries()) {
    const next = step(state, input, at, inForce);
    inForce = policyAfter(input, inForce);
    take(next, state, index);
    state = next.state;
  }
}
