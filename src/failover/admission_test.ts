/** What happens to new clients when service is lost, and when a hold is over. */
import { assertEquals } from "@std/assert";
import { endHold, leaveService, outageMs, overstayed } from "./admission.ts";
import { observe, unknownHealth } from "./health.ts";
import type { Admission, Policy, State } from "./state.ts";
import type { StepContext } from "./step_context.ts";
import { POLICY } from "./testing/policy.ts";
import { PASSED, REFUSED, SILENT } from "./testing/results.ts";
import { serving, START, stateOf } from "./testing/states.ts";
import { effectsOf, stepAt } from "./testing/step.ts";

const OPEN: Admission = { is: "open" };
const HOLDING: Admission = { is: "holding", outSince: 40, until: 90 };

function withAdmission(admission: Admission, policy: Partial<Policy> = {}): StepContext {
  return stepAt(stateOf(serving({ is: "ran" }), admission), policy);
}

Deno.test("clients wait from the loss of service on, for at most the hold", () => {
  const context = withAdmission(OPEN, { holdMs: 30 });
  leaveService(context, "a is down");
  assertEquals(context.state.admission, { is: "holding", outSince: 100, until: 130 });
  leaveService(context, "a second reason");
  assertEquals(effectsOf(context), ["hold", "clients.held"]);
  assertEquals(outageMs(context.state.admission, 150), 50);
  assertEquals(outageMs(OPEN, 150), 0);
});

Deno.test("without a hold clients are refused at once", () => {
  const context = withAdmission(OPEN, { holdMs: 0 });
  leaveService(context, "a is down");
  assertEquals(context.state.admission, { is: "closed", outSince: 100 });
  assertEquals(effectsOf(context), ["refuse", "clients.refused"]);
});

Deno.test("after the hold clients are refused, or held for their own time with --hold-while down", () => {
  const refused = withAdmission(HOLDING);
  overstayed(refused, "held for 10s");
  assertEquals(refused.state.admission, { is: "closed", outSince: 40 });
  const held = withAdmission(HOLDING, { holdWhile: "down" });
  overstayed(held, "held for 10s");
  assertEquals(held.state.admission, { ...HOLDING, until: Infinity });
  assertEquals([effectsOf(refused), effectsOf(held)], [["refuse", "clients.refused"], []]);
  const open = withAdmission(OPEN);
  overstayed(open, "never");
  assertEquals(effectsOf(open), []);
});

/** A step after a round in which each upstream gave the answer of this name. */
function afterRound(a: typeof PASSED, b: typeof PASSED, more: Partial<State> = {}): StepContext {
  const health = new Map([
    ["a", observe(unknownHealth(5), a, POLICY, 5)],
    ["b", observe(unknownHealth(5), b, POLICY, 5)],
  ]);
  return stepAt({ ...START, health, admission: HOLDING, ...more }, { failOpen: true }, []);
}

Deno.test("with fail-open the best upstream that has not refused a connection gets the clients", () => {
  const context = afterRound(REFUSED, SILENT);
  endHold(context, "no upstream passes");
  assertEquals(context.state.admission, { is: "failOpen", outSince: 40, target: "b" });
  endHold(context, "again: the target is the same");
  assertEquals(effectsOf(context), ["open b 1", "service.failedOpen"]);
});

Deno.test("there is no fail-open target if all refuse, if it is drained, or while the service is paused", () => {
  const standing = { by: "ann", reason: "", since: 5 };
  const drained = new Map([["b", standing]]);
  for (
    const context of [
      afterRound(REFUSED, REFUSED),
      afterRound(REFUSED, SILENT, { drained }),
      afterRound(SILENT, SILENT, { paused: standing }),
    ]
  ) {
    endHold(context, "no upstream passes");
    assertEquals([context.state.admission.is, effectsOf(context)], [
      "closed",
      ["refuse", "clients.refused"],
    ]);
  }
});
