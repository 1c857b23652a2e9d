/** A machine with one upstream, whose steps are passed on. */
import type { Taken } from "../controller.ts";
import { step } from "../machine.ts";
import { initialState, type State } from "../state.ts";
import type { Input } from "../steps.ts";
import { POLICY } from "./policy.ts";
import { upstreamsOf } from "./results.ts";

/** The state from which `taker` begins. */
export const BEGINNING: State = initialState(upstreamsOf("a"), 0);

/** Returns a function that applies an input at a time; `take` gets each step. */
export function taker(take: (taken: Taken) => void): (input: Input, now: number) => void {
  let state = BEGINNING;
  return (input, now) => {
    const taken: Taken = {
      input,
      before: state,
      policy: POLICY,
      step: step(state, input, now, POLICY),
    };
    state = taken.step.state;
    take(taken);
  };
}
