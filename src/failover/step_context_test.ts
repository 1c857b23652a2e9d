/** The context of one step: what it collects, and what it refuses. */
import { assertEquals, assertThrows } from "@std/assert";
import { unknownHealth } from "./health.ts";
import type { Phase } from "./state.ts";
import { StepContext } from "./step_context.ts";
import { POLICY } from "./testing/policy.ts";
import { promoting, serving, START, stateOf } from "./testing/states.ts";

Deno.test("only transitions of the table are possible", () => {
  const context = new StepContext(stateOf(serving({ is: "ran" })), 7, POLICY);
  assertEquals(context.state.now, 7);
  context.enter(serving({ is: "ran" })); // the same phase with other contents
  context.enter(promoting(true, { is: "ran" }));
  const waiting = { ...START.phase, name: "waiting" } as unknown as Phase;
  const active = new StepContext(stateOf(serving({ is: "ran" })), 7, POLICY);
  assertThrows(() => active.enter(waiting), Error, "Cannot move from serving to waiting");
});

Deno.test("the pace changes only when a verdict comes into doubt or out of it", () => {
  const context = new StepContext(START, 7, POLICY);
  const failing = { ...unknownHealth(7), level: POLICY.rise + POLICY.fall - 2 };
  context.setHealth("a", failing);
  context.setHealth("a", failing);
  context.setHealth("a", { ...failing, level: POLICY.rise + POLICY.fall - 1 });
  assertEquals(context.effects, [
    { do: "pace", upstream: "a", pace: "doubt" },
    { do: "pace", upstream: "a", pace: "steady" },
  ]);
});

Deno.test("the operator's hold has precedence over orders about new clients", () => {
  const held = { by: "ann", reason: "", since: 5, until: 99 };
  const context = new StepContext({ ...START, held }, 7, POLICY);
  context.admit({ do: "refuse" });
  assertEquals(context.effects, []);
  context.set({ held: undefined });
  context.admit({ do: "refuse" });
  assertEquals(context.effects, [{ do: "refuse" }]);
});
