/** The loss of service, and what a round asks. */
import { assertEquals } from "@std/assert";
import { lose, startRound } from "./rounds.ts";
import { PASSED } from "./testing/results.ts";
import { serving, stateOf } from "./testing/states.ts";
import { effectsOf, stepAt } from "./testing/step.ts";

Deno.test("service that is lost holds the clients and probes every upstream", () => {
  const context = stepAt(stateOf(serving({ is: "ran" })));
  lose(context, "b is down");
  assertEquals(effectsOf(context), [
    ...["hold", "clients.held", "selection.started", "probe a", "probe b"],
  ]);
  assertEquals(context.phase.name === "selecting" && [context.phase.round, context.phase.reason], [
    ...[1, "b is down"],
  ]);
});

Deno.test("a later round uses the answers of this moment, and knows who was down", () => {
  const context = stepAt(stateOf(serving({ is: "ran" })), { rise: 1, fall: 1 });
  const health = new Map(context.state.health).set("b", { ...context.health("b"), level: 0 });
  context.set({ health });
  startRound(context, 2, "nobody passed", [["a", PASSED]], new Set(["b"]));
  assertEquals(effectsOf(context), ["probe b"]);
  const { phase } = context;
  assertEquals(phase.name === "selecting" && [...phase.suspects, ...phase.passedOver], ["b", "b"]);
});
