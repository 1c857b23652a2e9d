/** One step of the machine under test, and its effects in words. */
import { PASSED } from "./results.ts";
import { observe, unknownHealth } from "../health.ts";
import type { Policy, State } from "../state.ts";
import { StepContext } from "../step_context.ts";
import { POLICY } from "./policy.ts";

/** A step at 100 ms. `up`: upstreams that have passed enough checks to be up. */
export function stepAt(
  state: State,
  policy: Partial<Policy> = {},
  up: readonly string[] = ["a", "b"],
): StepContext {
  const health = new Map(state.health);
  for (const name of up) health.set(name, observe(unknownHealth(50), PASSED, POLICY, 50));
  return new StepContext({ ...state, health }, 100, { ...POLICY, ...policy });
}

/** What a step requested so far: `open a 4`, `settle 7 refused`, and events by their type. */
export function effectsOf({ effects }: StepContext): string[] {
  return effects.map((effect) => {
    switch (effect.do) {
      case "publish":
        return effect.event.type;
      case "open":
        return `open ${effect.upstream.name} ${effect.epoch}`;
      case "settle":
        return `settle ${effect.id} ${effect.outcome.is}`;
      case "probe":
        return `probe ${effect.upstream}`;
      case "drain":
        return `drain ${effect.order.upstream} ${effect.order.graceMs}`;
      case "runTriggers":
        return `run triggers of ${effect.promotion.epoch}`;
      default:
        return effect.do;
    }
  });
}
