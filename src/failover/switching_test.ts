/** A promotion from the choice of its candidate to its first client, and the ways in which it fails. */
import { assertEquals } from "@std/assert";
import type { TriggerOutcome } from "./ports.ts";
import { observe, unknownHealth } from "./health.ts";
import type { Phase, Policy, State } from "./state.ts";
import {
  beginTriggers,
  bringUp,
  promote,
  proveActive,
  takeTriggersEnded,
  tickPromotion,
  watchPromotion,
} from "./switching.ts";
import type { StepContext } from "./step_context.ts";
import { POLICY } from "./testing/policy.ts";
import { PASSED, REFUSED } from "./testing/results.ts";
import { a, b, promoting, serving, START, stateOf } from "./testing/states.ts";
import { effectsOf, stepAt } from "./testing/step.ts";

const RUNNING = { is: "running", attempt: 1 } as const;
const RAN: TriggerOutcome = { how: "ran" };
const FAILED: TriggerOutcome = { how: "failed", reason: "/promote exited with 1" };
const SHORT: TriggerOutcome = { how: "short", reason: "no descriptor", hasBegun: false };
const HOLDING = { is: "holding", outSince: 40, until: 900 } as const;
const BACK = { upstream: b, epoch: 3, triggers: { is: "ran" } } as const;

/** A step in which `a` is promoted with epoch 4; with `isMove` traffic can return to `b`. */
function during(
  isMove: boolean,
  policy: Partial<Policy> = {},
  more: Partial<State> = {},
  doomedAt?: number,
): StepContext {
  const phase = promoting(isMove, RUNNING, doomedAt);
  return stepAt({ ...stateOf(phase, HOLDING), epoch: 4, ...more }, policy);
}

/** Makes an upstream go down in this step. */
function bringDown(context: StepContext, name: string): void {
  context.setHealth(name, observe(unknownHealth(90), REFUSED, POLICY, 90));
}

function nameOf({ name }: Phase): string {
  return name;
}

Deno.test("a promotion gets the next epoch and a unique id, and clients wait for its triggers", () => {
  const context = stepAt({ ...START, phase: serving({ is: "ran" }), epoch: 3, admission: HOLDING });
  promote(context, a, "failover", "b is down", {});
  const { phase } = context;
  assertEquals(phase.name === "promoting" && phase.promotion, {
    ...{ move: "failover", id: "test-4", epoch: 4, from: undefined, to: "a", reason: "b is down" },
  });
  assertEquals([context.state.epoch, context.state.stage], [4, START.stage + 1]);
  assertEquals(effectsOf(context), ["promotion.started", "run triggers of 4"]);
});

Deno.test("with triggers beside the traffic a failover lets clients in at once", () => {
  const state = { ...START, phase: serving({ is: "ran" }), epoch: 3, admission: HOLDING };
  const context = stepAt(state, { triggers: "beside" });
  promote(context, a, "failover", "b is down", {});
  assertEquals(effectsOf(context), [
    ...["promotion.started", "run triggers of 4", "open a 4", "promotion.finished"],
  ]);
  assertEquals(nameOf(context.phase), "serving");
});

Deno.test("a move that cuts sessions waits for the grace, cuts them, and then runs its triggers", () => {
  const state = { ...stateOf(serving({ is: "ran" }), HOLDING), epoch: 3 };
  const context = stepAt(state, { sessionsOnMove: "cut", graceMs: 50 });
  promote(context, a, "failback", "a is up again", { back: BACK });
  const { phase } = context;
  assertEquals(phase.name === "promoting" && phase.triggers, { is: "due", at: 150 });
  assertEquals(effectsOf(context), ["promotion.started"]);
  beginTriggers(context);
  assertEquals(effectsOf(context).slice(1), ["drain b 0", "run triggers of 4"]);
  assertEquals(context.state.failbacks, [100]);
});

Deno.test("before a server with a role is promoted, the sessions on the one that it replaces end", () => {
  const lastServed = { to: "b", promotion: undefined, since: 0 };
  const state = {
    ...START,
    phase: serving({ is: "ran" }),
    epoch: 3,
    admission: HOLDING,
    lastServed,
  };
  const roles = { maxLag: undefined, promotedBy: "us" } as const;
  const context = stepAt(state, { roles });
  promote(context, a, "failover", "b is down", {});
  assertEquals(effectsOf(context), ["promotion.started", "drain b 0", "run triggers of 4"]);
});

Deno.test("a chosen upstream that was down is up after one pass, and says so", () => {
  const context = stepAt(START);
  bringDown(context, "a");
  bringUp(context, a);
  bringUp(context, a);
  assertEquals(effectsOf(context).filter((effect) => effect === "upstream.up").length, 1);
  assertEquals(context.isUp(a), true);
});

Deno.test("triggers that ran let the clients in and make their upstream the one chosen last", () => {
  const context = during(false, {}, {
    lastChosen: "b",
    failedMoves: { to: "a", count: 1, until: 9 },
  });
  takeTriggersEnded(context, 99, RAN);
  assertEquals(effectsOf(context), []);
  takeTriggersEnded(context, 4, RAN);
  assertEquals(effectsOf(context), ["open a 4", "promotion.finished"]);
  const { lastChosen, admission, failedMoves, lastServed } = context.state;
  assertEquals([lastChosen, admission, failedMoves, lastServed?.to], [
    ...["a", { is: "open" }, undefined, "a"],
  ]);
});

Deno.test("after a failed trigger the policy lets clients in, tries again, or chooses another upstream", () => {
  const goesOn = during(false);
  takeTriggersEnded(goesOn, 4, FAILED);
  assertEquals(effectsOf(goesOn), ["open a 4", "promotion.finished", "probe a"]);
  const repeats = during(false, { onTriggerFailure: "retry" });
  takeTriggersEnded(repeats, 4, FAILED);
  assertEquals(effectsOf(repeats), ["promotion.delayed"]);
  const { phase } = repeats;
  assertEquals(phase.name === "promoting" && phase.triggers, {
    ...{ is: "retrying", at: 1_100, attempt: 1, reason: "/promote exited with 1" },
  });
  const next = during(false, { onTriggerFailure: "next" });
  takeTriggersEnded(next, 4, FAILED);
  assertEquals(effectsOf(next), [
    ...["promotion.abandoned", "selection.started", "probe a", "probe b"],
  ]);
  assertEquals(next.phase.name === "selecting" && [...next.phase.passedOver], ["a"]);
});

Deno.test("triggers that could not be started are run again, whatever the policy", () => {
  const context = during(false, { onTriggerFailure: "next" });
  takeTriggersEnded(context, 4, SHORT);
  assertEquals(effectsOf(context), ["promotion.delayed"]);
  tickPromotion(context);
  assertEquals(effectsOf(context).length, 1);
  const later = stepAt({ ...context.state, now: 100 });
  const { phase } = later;
  if (phase.name !== "promoting" || phase.triggers.is !== "retrying") throw new Error(phase.name);
  later.enter({ ...phase, triggers: { ...phase.triggers, at: 100 } });
  tickPromotion(later);
  assertEquals(effectsOf(later), ["run triggers of 4"]);
});

Deno.test("a move whose triggers failed returns to the old upstream, and the next one is delayed", () => {
  for (const outcome of [FAILED, SHORT]) {
    const context = during(true);
    takeTriggersEnded(context, 4, outcome);
    assertEquals(effectsOf(context), ["promotion.abandoned", "open b 5", "service.returned"]);
    const { phase } = context;
    assertEquals(phase.name === "serving" && [phase.active.name, phase.epoch], ["b", 5]);
    assertEquals(context.state.failedMoves?.count, 1);
    assertEquals(context.state.failedMoves!.until > 100, true);
  }
});

Deno.test("a candidate that goes down may finish its triggers, unless the old upstream can serve", () => {
  const alone = during(false);
  bringDown(alone, "a");
  watchPromotion(alone, "a");
  const { phase } = alone;
  assertEquals(phase.name === "promoting" && phase.doomedAt !== undefined, true);
  takeTriggersEnded(alone, 4, RAN);
  assertEquals(effectsOf(alone).slice(-4), [
    ...["promotion.abandoned", "selection.started", "probe a", "probe b"],
  ]);
  assertEquals(alone.state.lastChosen, "a");
  const move = during(true);
  bringDown(move, "a");
  watchPromotion(move, "a");
  assertEquals(effectsOf(move).slice(-4), [
    ...["cancelTriggers", "promotion.abandoned", "open b 5", "service.returned"],
  ]);
  const overdue = during(false, {}, {}, 100);
  bringDown(overdue, "a");
  tickPromotion(overdue);
  assertEquals(nameOf(overdue.phase), "selecting");
});

Deno.test("a move whose old upstream goes down becomes a failover", () => {
  const context = during(true);
  bringDown(context, "b");
  watchPromotion(context, "b");
  assertEquals(context.phase.name === "promoting" && context.phase.back, undefined);
  takeTriggersEnded(context, 4, RAN);
  assertEquals(effectsOf(context).slice(-2), ["open a 4", "promotion.finished"]);
});

Deno.test("an active upstream whose triggers failed proves itself by a check that passes", () => {
  const flawed = serving({ is: "failed", reason: "exited with 1", proof: "none" });
  const context = stepAt({ ...stateOf(flawed), lastChosen: "a" });
  proveActive(context, false);
  assertEquals(context.state.lastChosen, "a");
  proveActive(context, true);
  assertEquals(context.state.lastChosen, "b");
  const { phase } = context;
  assertEquals(
    phase.name === "serving" && phase.triggers.is === "failed" && phase.triggers.proof,
    "passed",
  );
});

Deno.test("triggers beside the traffic that fail are reported after their promotion", () => {
  const context = stepAt(stateOf(serving(RUNNING)));
  takeTriggersEnded(context, 3, FAILED);
  assertEquals(effectsOf(context), ["promotion.flawed", "probe b"]);
  const ran = stepAt({ ...stateOf(serving(RUNNING)), lastChosen: "a" });
  takeTriggersEnded(ran, 3, RAN);
  assertEquals([effectsOf(ran), ran.state.lastChosen], [[], "b"]);
});

Deno.test("an order is answered when its promotion has ended, and its upstream is kept", () => {
  const state = { ...stateOf(serving({ is: "ran" }), HOLDING), epoch: 3 };
  const context = stepAt(state, { sessionsOnMove: "drain", drainMs: 70 });
  const order = { id: 7, pins: true };
  promote(context, a, "switchover", "ordered", { back: BACK, order, waitMs: 20 });
  beginTriggers(context);
  takeTriggersEnded(context, 4, { ...RAN });
  assertEquals(effectsOf(context), [
    ...["promotion.started", "awaitQuiet", "run triggers of 4", "open a 4", "promotion.finished"],
    ...["settle 7 finished", "drain b 70"],
  ]);
  assertEquals(context.state.pinned, "a");
  const failed = stepAt(state);
  promote(failed, a, "switchover", "ordered", { back: BACK, order });
  takeTriggersEnded(failed, 4, FAILED);
  assertEquals(effectsOf(failed).includes("settle 7 failed"), true);
});

Deno.test("the answer of an upstream that no promotion concerns changes nothing", () => {
  const context = stepAt(stateOf(serving({ is: "ran" })));
  context.setHealth("a", observe(context.health("a"), PASSED, POLICY, 90));
  watchPromotion(context, "a");
  tickPromotion(context);
  beginTriggers(context);
  assertEquals(effectsOf(context), []);
});

Deno.test("triggers that are due begin at their time, and a promotion with a flaw says so", () => {
  const due = (at: number) => {
    const state = { ...stateOf(promoting(true, { is: "due", at }), HOLDING), epoch: 4 };
    const context = stepAt(state);
    tickPromotion(context);
    return effectsOf(context);
  };
  assertEquals([due(101), due(100)], [[], ["run triggers of 4"]]);
  const flawed = during(false);
  takeTriggersEnded(flawed, 4, FAILED);
  const finished = flawed.effects.flatMap((each) => each.do === "publish" ? [each.event] : []);
  assertEquals("triggersFailed" in finished[0]! && finished[0].triggersFailed, FAILED.reason);
  const fine = during(false);
  takeTriggersEnded(fine, 4, RAN);
  const events = fine.effects.flatMap((each) => each.do === "publish" ? [each.event] : []);
  assertEquals("triggersFailed" in events[0]!, false);
});

Deno.test("a move that waits for quiet sessions begins its triggers when its old upstream goes down", () => {
  const state = { ...stateOf(promoting(true, { is: "due", at: 900 }), HOLDING), epoch: 4 };
  const context = stepAt(state);
  bringDown(context, "b");
  watchPromotion(context, "b");
  assertEquals(effectsOf(context).slice(-1), ["run triggers of 4"]);
});

Deno.test("a trigger that had begun before a shortage makes a return impossible", () => {
  const context = during(true);
  takeTriggersEnded(context, 4, { ...SHORT, hasBegun: true } as TriggerOutcome);
  assertEquals(effectsOf(context), ["promotion.delayed"]);
});

Deno.test("sessions stay where they are after a move if the policy keeps them", () => {
  for (const [sessionsOnMove, drains] of [["keep", 0], ["drain", 1], ["cut", 1]] as const) {
    const context = during(true, { sessionsOnMove });
    takeTriggersEnded(context, 4, RAN);
    const count = effectsOf(context).filter((effect) => effect.startsWith("drain b")).length;
    assertEquals(count, drains, sessionsOnMove);
  }
});
