/** States of a machine with two upstreams, for tests. */
import {
  type Admission,
  initialState,
  type Phase,
  type State,
  type TriggerProgress,
} from "../state.ts";
import type { Upstream } from "../upstream.ts";
import { upstreamsOf } from "./results.ts";

export const [a, b] = upstreamsOf("a", "b") as [Upstream, Upstream];
/** The state before the first input, at 5 ms. */
export const START = initialState([a, b], 5);

/** A state in this phase; `a` was chosen last. */
export function stateOf(phase: Phase, admission: Admission = { is: "open" }): State {
  return { ...START, phase, admission, lastChosen: "a" };
}

/** The second upstream serves with epoch 3. */
export function serving(triggers: TriggerProgress, failbackAt?: number): Phase {
  const failbackPlan = failbackAt === undefined
    ? undefined
    : { to: "a", at: failbackAt, dampingMs: 0 };
  return { name: "serving", active: b, epoch: 3, triggers, failbackPlan };
}

/** The first upstream is promoted with epoch 4; `isMove`: the second one served before. */
export function promoting(isMove: boolean, triggers: TriggerProgress, doomedAt?: number): Phase {
  const promotion = {
    move: "failback",
    id: "i",
    epoch: 4,
    from: "b",
    to: "a",
    reason: "",
  } as const;
  const back = isMove ? { upstream: b, epoch: 3, triggers: { is: "ran" as const } } : undefined;
  const rest = { back, round: 0, passedOver: new Set<string>() };
  const more = { cutsFirst: false, order: undefined, ...rest };
  return { name: "promoting", candidate: a, promotion, triggers, doomedAt, ...more };
}
