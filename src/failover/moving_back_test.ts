/** When traffic moves back to a better rank, and why a planned move is cancelled. */
import { assertEquals } from "@std/assert";
import { betterRank, moveTo, planFailback, tickFailback, whyNoFailback } from "./moving_back.ts";
import { doubted, observe, unknownHealth } from "./health.ts";
import type { Phase, State } from "./state.ts";
import type { StepContext } from "./step_context.ts";
import { POLICY } from "./testing/policy.ts";
import { NO_VERDICT, PASSED, REFUSED } from "./testing/results.ts";
import { a, promoting, serving, START, stateOf } from "./testing/states.ts";
import { effectsOf, stepAt } from "./testing/step.ts";

const ON_B = serving({ is: "ran" });
const STANDING = { by: "ann", reason: "", since: 5 };

/** The reason in the last event of this type. */
function reasonOf({ effects }: StepContext, type: string): string | undefined {
  const events = effects.flatMap((effect) => effect.do === "publish" ? [effect.event] : []);
  const event = events.findLast((event) => event.type === type);
  return event !== undefined && "reason" in event ? event.reason : undefined;
}

function planOf(phase: Phase): unknown {
  return phase.name === "serving" ? phase.failbackPlan : phase.name;
}

Deno.test("the better rank is one that is up, sound, not drained and can be checked", () => {
  const { state, policy } = stepAt(stateOf(ON_B));
  assertEquals(betterRank(state, policy)?.name, "a");
  assertEquals(betterRank({ ...state, drained: new Map([["a", STANDING]]) }, policy), undefined);
  assertEquals(betterRank({ ...state, phase: promoting(true, { is: "ran" }) }, policy), undefined);
  const passed = observe(unknownHealth(5), PASSED, POLICY, 5);
  for (
    const health of [
      doubted(passed, "soft", POLICY),
      observe(passed, NO_VERDICT, POLICY, 6),
      observe(unknownHealth(5), REFUSED, POLICY, 5),
    ]
  ) assertEquals(betterRank({ ...state, health: new Map([["a", health]]) }, policy), undefined);
});

Deno.test("the policy decides when traffic returns: never, at once, or after a time", () => {
  const never = stepAt(stateOf(ON_B), { failback: { kind: "never" } });
  planFailback(never);
  assertEquals([planOf(never.phase), effectsOf(never)], [undefined, []]);
  const after = stepAt(stateOf(ON_B), { failback: { kind: "after", ms: 500 } });
  planFailback(after);
  assertEquals(planOf(after.phase), { to: "a", at: 550, dampingMs: 0 });
  assertEquals(effectsOf(after), ["failback.scheduled"]);
  const auto = stepAt(stateOf(ON_B), { failback: { kind: "auto" } });
  planFailback(auto);
  assertEquals(planOf(auto.phase), "promoting");
});

Deno.test("many failbacks within ten minutes delay the next one, and so do triggers that failed", () => {
  const auto = { failback: { kind: "auto" } } as const;
  const damped = stepAt({ ...stateOf(ON_B), failbacks: [10, 20] }, auto);
  planFailback(damped);
  assertEquals(planOf(damped.phase), { to: "a", at: 10_050, dampingMs: 10_000 });
  const undamped = stepAt({ ...stateOf(ON_B), failbacks: [10, 20] }, {
    ...auto,
    damping: false,
  });
  planFailback(undamped);
  assertEquals(planOf(undamped.phase), "promoting");
  const failedMoves = { to: "a", count: 2, until: 700 };
  const late = stepAt({ ...stateOf(ON_B), failedMoves }, auto);
  planFailback(late);
  assertEquals(planOf(late.phase), { to: "a", at: 700, dampingMs: 0 });
  assertEquals(reasonOf(late, "failback.scheduled"), "its triggers failed 2 times");
});

Deno.test("an upstream that was chosen by name keeps the traffic, and a paused service does not move", () => {
  for (const more of [{ pinned: "b" }, { paused: STANDING }] satisfies Partial<State>[]) {
    const context = stepAt({ ...stateOf(ON_B), ...more }, { failback: { kind: "auto" } });
    planFailback(context);
    assertEquals([planOf(context.phase), effectsOf(context)], [undefined, []]);
  }
});

Deno.test("a plan is cancelled with the reason why its upstream can take no traffic now", () => {
  const planned = stateOf(serving({ is: "ran" }, 900));
  const passed = observe(unknownHealth(5), PASSED, POLICY, 5);
  const drained = new Map([["a", STANDING]]);
  const cases: readonly (readonly [Partial<State>, string])[] = [
    [{ paused: STANDING }, "the service is paused"],
    [{ drained }, "a is drained"],
    [
      { health: new Map([["a", observe(unknownHealth(5), REFUSED, POLICY, 5)]]) },
      "a is down again",
    ],
    [
      { health: new Map([["a", observe(passed, NO_VERDICT, POLICY, 6)]]) },
      "a can't be checked now",
    ],
    [{ health: new Map([["a", observe(passed, REFUSED, POLICY, 6)]]) }, "a check of a failed"],
  ];
  for (const [more, reason] of cases) {
    const { health, ...rest } = more;
    const context = stepAt(
      { ...planned, ...rest, ...health && { health } },
      {},
      health ? [] : ["a"],
    );
    planFailback(context);
    assertEquals(reasonOf(context, "failback.cancelled"), reason);
    assertEquals(planOf(context.phase), undefined);
  }
});

Deno.test("a planned failback begins when it is due, if its upstream is still the better one", () => {
  const early = stepAt(stateOf(serving({ is: "ran" }, 101)));
  tickFailback(early);
  assertEquals(effectsOf(early), []);
  const due = stepAt(stateOf(serving({ is: "ran" }, 100)));
  tickFailback(due);
  assertEquals(planOf(due.phase), "promoting");
  const gone = stepAt(stateOf(serving({ is: "ran" }, 100)), {}, []);
  tickFailback(gone);
  assertEquals([planOf(gone.phase), effectsOf(gone)], [undefined, []]);
});

Deno.test("a move holds new clients, unless triggers run beside the traffic and nothing is waited for", () => {
  const before = stepAt(stateOf(ON_B));
  moveTo(before, a, "failback", { reason: "a is up again" });
  assertEquals(effectsOf(before).slice(0, 3), ["hold", "clients.held", "promotion.started"]);
  const beside = stepAt(stateOf(ON_B), { triggers: "beside" });
  moveTo(beside, a, "failback", { reason: "a is up again" });
  assertEquals(effectsOf(beside), ["promotion.started", "run triggers of 1"]);
  const quiet = stepAt(stateOf(ON_B), { triggers: "beside" });
  moveTo(quiet, a, "switchover", { reason: "ordered", order: { id: 1, pins: true }, waitMs: 50 });
  assertEquals(effectsOf(quiet), ["hold", "clients.held", "promotion.started", "awaitQuiet"]);
});

Deno.test("an order to fail back is refused with its reason", () => {
  const { state, policy } = stepAt(stateOf(ON_B), { failback: { kind: "manual" } });
  assertEquals(whyNoFailback(state, policy), undefined);
  assertEquals(whyNoFailback(state, POLICY), "--failback is never");
  assertEquals(
    whyNoFailback({ ...state, health: new Map(START.health) }, policy),
    "no better upstream is up",
  );
  assertEquals(whyNoFailback(START, policy), "no upstream is serving now");
  const moving = { ...state, phase: promoting(true, { is: "ran" }) };
  assertEquals(whyNoFailback(moving, policy), "a promotion is under way");
});
