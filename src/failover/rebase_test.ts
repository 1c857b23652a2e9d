import { assertEquals } from "@std/assert";
import { failuresSoFar, isSound, isUp } from "./health.ts";
import { initialState, type State } from "./state.ts";
import { POLICY } from "./testing/policy.ts";
import { rebase } from "./rebase.ts";
import { upstreamsOf } from "../failover/testing/results.ts";

const UPSTREAMS = upstreamsOf("a");

function stateWith(level: number | undefined): State {
  const state = initialState(UPSTREAMS, 0);
  const health = { ...state.health.get("a")!, level };
  return { ...state, health: new Map([["a", health]]) };
}

Deno.test("verdicts and runs of failures are kept", () => {
  const to = { ...POLICY, rise: 1, fall: 5 };
  const health = (level: number | undefined, policy = to) =>
    rebase(stateWith(level), POLICY, policy).health.get("a")!;
  assertEquals(health(undefined).level, undefined);
  assertEquals(isSound(health(4), to), true);
  assertEquals([isUp(health(3), to), failuresSoFar(health(3), to)], [true, 1]);
  assertEquals([isUp(health(0), to), isUp(health(1), to)], [false, false]);
  // More failures than the other threshold allows: the next one decides.
  const strict = { ...POLICY, fall: 1 };
  assertEquals([isUp(health(2, strict), strict), health(2, strict).level], [true, strict.rise]);
});

Deno.test("a running hold ends as the other policy says", () => {
  const state = { ...stateWith(4), admission: { is: "holding", outSince: 5, until: 15 } } as const;
  const { admission } = rebase(state, POLICY, { ...POLICY, holdMs: 100 });
  assertEquals(admission, { is: "holding", outSince: 5, until: 105 });
  const endless = { ...state, admission: { ...state.admission, until: Infinity } };
  assertEquals(rebase(endless, POLICY, POLICY).admission, endless.admission);
});
