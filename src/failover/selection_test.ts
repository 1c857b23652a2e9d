/** The choice at the end of a round, and what follows a round without one. */
import { assertEquals } from "@std/assert";
import type { ProbeResult } from "./ports.ts";
import { judgeRound } from "./selection.ts";
import type { Phase, Policy, State } from "./state.ts";
import type { StepContext } from "./step_context.ts";
import { NO_VERDICT, PASSED, REFUSED, SILENT } from "./testing/results.ts";
import { START } from "./testing/states.ts";
import { effectsOf, stepAt } from "./testing/step.ts";

/** A step in the first round, with these answers. */
function round(
  answers: Readonly<Record<string, ProbeResult>>,
  more: Partial<State> = {},
  policy: Partial<Policy> = {},
): StepContext {
  const phase: Phase = {
    name: "selecting",
    round: 1,
    reason: "b is down",
    suspects: new Set(),
    answers: new Map(Object.entries(answers)),
    passedOver: new Set(),
  };
  const admission = { is: "holding", outSince: 40, until: 900 } as const;
  const context = stepAt({ ...START, phase, admission, ...more }, policy);
  judgeRound(context);
  return context;
}

Deno.test("nothing is decided before an answer that counts has come, or while the service is paused", () => {
  assertEquals(effectsOf(round({ b: PASSED })), []);
  const paused = { by: "ann", reason: "", since: 5 };
  assertEquals(effectsOf(round({ a: PASSED, b: PASSED }, { paused })), []);
});

Deno.test("the first upstream in order that passed is promoted", () => {
  const context = round({ a: REFUSED, b: PASSED });
  assertEquals(context.phase.name === "promoting" && context.phase.promotion.to, "b");
});

Deno.test("a drained upstream is not chosen, and the failed round says why each was not", () => {
  const drained = new Map([["a", { by: "ann", reason: "", since: 5 }]]);
  const context = round({ a: PASSED, b: REFUSED }, { drained });
  assertEquals(context.phase.name === "waiting" && context.phase.until, 1_100);
  const [first] = context.effects;
  assertEquals(first?.do === "publish" && "reasons" in first.event && first.event.reasons, [
    { upstream: "a", reason: "drained by the operator" },
    { upstream: "b", reason: "connection refused" },
  ]);
  assertEquals(effectsOf(context).slice(1), ["refuse", "clients.refused"]);
});

Deno.test("clients stay held after a failed round with --hold-while down, or if an upstream could not be asked", () => {
  const down = round({ a: REFUSED, b: REFUSED }, {}, { holdWhile: "down" });
  const unknown = round({ a: REFUSED, b: NO_VERDICT });
  for (const { effects } of [down, unknown]) {
    assertEquals(effects.map((effect) => effect.do), ["publish"]);
  }
});

Deno.test("the first choice of a process is a start, every later one a failover", () => {
  const moveOf = ({ phase }: StepContext) => phase.name === "promoting" && phase.promotion.move;
  assertEquals(moveOf(round({ a: PASSED })), "start");
  const lastServed = { to: "b", promotion: undefined, since: 5 };
  assertEquals(moveOf(round({ a: PASSED }, { lastServed })), "failover");
  // The first candidate died before its first client, but its triggers had run.
  assertEquals(moveOf(round({ a: PASSED }, { lastChosen: "b" })), "failover");
});

Deno.test("with --hold-while down clients go to a fail-open target only after the hold", () => {
  const target = (until: number) => {
    const admission = { is: "holding", outSince: 40, until } as const;
    const policy = { holdWhile: "down", failOpen: true } as const;
    return effectsOf(round({ a: SILENT, b: SILENT }, { admission }, policy)).slice(1);
  };
  assertEquals([target(900), target(Infinity)], [[], ["open a 1", "service.failedOpen"]]);
});

Deno.test("nothing is judged outside a round", () => {
  const waiting = {
    ...{ name: "waiting", round: 3, reason: "b is down", until: 900 },
    passedOver: new Set<string>(),
  } as const;
  assertEquals(effectsOf(round({}, { phase: waiting as Phase })), []);
});

Deno.test("an upstream whose triggers failed is passed over in the same selection", () => {
  const passedOver = new Set(["a"]);
  const phase: Phase = {
    ...{
      name: "selecting",
      round: 2,
      reason: "b is down",
      suspects: new Set<string>(),
      passedOver,
    },
    answers: new Map([["a", PASSED], ["b", PASSED]]),
  } as Phase;
  const context = round({}, { phase });
  assertEquals(
    context.phase.name === "promoting" && [
      ...[context.phase.promotion.to, context.phase.round, [...context.phase.passedOver][0]],
    ],
    ["b", 2, "a"],
  );
});
