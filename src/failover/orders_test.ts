/** Orders of the operator: what is refused and why, and what each one does. */
import { assertEquals } from "@std/assert";
import { observe, unknownHealth } from "./health.ts";
import { describeOrder, type OperatorOrder, takeOrder, tickHold, whyNot } from "./orders.ts";
import type { Event } from "../events/events.ts";
import type { Phase, State } from "./state.ts";
import { POLICY } from "./testing/policy.ts";
import { NO_VERDICT, PASSED, REFUSED } from "./testing/results.ts";
import { promoting, serving, START, stateOf } from "./testing/states.ts";
import { effectsOf, stepAt } from "./testing/step.ts";

const ANN = { by: "ann", reason: "a new disk" };
const STANDING = { ...ANN, since: 60 };
const ON_B = stateOf(serving({ is: "ran" }));

Deno.test("an order is refused with a reason, and then changes nothing", () => {
  const up = stepAt(ON_B).state;
  const known = (result: typeof PASSED) =>
    new Map(up.health).set("a", observe(unknownHealth(5), result, POLICY, 5));
  const passed = observe(unknownHealth(5), PASSED, POLICY, 5);
  const toA: OperatorOrder = { name: "switchover", to: "a" };
  const cases: readonly (readonly [OperatorOrder, State, string | undefined])[] = [
    [toA, up, undefined],
    [{ name: "switchover", to: "c" }, up, "there is no upstream c, but a, b"],
    [{ name: "switchover", to: "b" }, up, "b is active already"],
    [toA, { ...up, drained: new Map([["a", STANDING]]) }, "a is drained"],
    [toA, { ...up, health: known(REFUSED) }, "a is down: connection refused"],
    [toA, { ...up, health: new Map(START.health) }, "a has not been checked yet"],
    [
      toA,
      { ...up, health: new Map([["a", observe(passed, NO_VERDICT, POLICY, 6)]]) },
      "a cannot be checked now: no descriptor",
    ],
    [
      toA,
      { ...up, health: new Map([["a", observe(passed, REFUSED, POLICY, 6)]]) },
      "the last check of a failed",
    ],
    [toA, { ...up, phase: promoting(true, { is: "ran" }) }, "a promotion is under way"],
    [toA, { ...up, phase: START.phase }, "the service has not begun yet"],
    [{ ...toA, maxWaitMs: 20_000 }, up, "20s is longer than any client waits (--hold 10s)"],
    [{ name: "hold", maxMs: 20_000 }, up, "20s is longer than any client waits (--hold 10s)"],
    [
      { name: "hold" },
      { ...up, admission: { is: "closed", outSince: 5 } },
      "new clients are refused now",
    ],
    [{ name: "drain", upstream: "c" }, up, "there is no upstream c, but a, b"],
    [{ name: "drain", upstream: "b" }, up, "b is active: switch over to another upstream first"],
    [
      { name: "drain", upstream: "b" },
      { ...up, phase: promoting(true, { is: "ran" }) },
      "a promotion is under way that needs b",
    ],
    [
      { name: "drain", upstream: "a" },
      { ...up, phase: promoting(false, { is: "ran" }) },
      "a promotion is under way that needs a",
    ],
    [{ name: "undrain", upstream: "b" }, up, undefined],
    [{ name: "pause" }, up, undefined],
  ];
  for (const [order, state, reason] of cases) {
    assertEquals(whyNot(state, POLICY, order), reason, describeOrder(order));
    if (reason === undefined) continue;
    const context = stepAt(state, {}, []);
    takeOrder(context, 7, order, ANN);
    assertEquals(effectsOf(context), ["order.refused", "settle 7 refused"]);
  }
  const noHold = whyNot(up, { ...POLICY, holdMs: 0 }, { name: "hold" });
  assertEquals(noHold, "--hold is 0: no client waits here");
});

Deno.test("an order is described by its name and its upstream", () => {
  assertEquals(describeOrder({ name: "switchover", to: "a" }), "switchover to a");
  assertEquals(describeOrder({ name: "drain", upstream: "a" }), "drain a");
  assertEquals(describeOrder({ name: "pause" }), "pause");
});

Deno.test("a switchover is accepted, holds clients and waits for quiet sessions", () => {
  const context = stepAt(ON_B);
  takeOrder(context, 7, { name: "switchover", to: "a" }, ANN);
  assertEquals(effectsOf(context), [
    ...["settle 7 accepted", "hold", "clients.held", "promotion.started", "awaitQuiet"],
  ]);
  assertEquals(context.phase.name === "promoting" && context.phase.order, { id: 7, pins: true });
});

Deno.test("a switchover from an upstream that is down waits for nothing", () => {
  const context = stepAt(ON_B, {}, ["a"]);
  takeOrder(context, 7, { name: "switchover", to: "a" }, ANN);
  assertEquals(effectsOf(context).includes("awaitQuiet"), false);
  assertEquals(effectsOf(context).at(-1), "run triggers of 1");
});

Deno.test("a pause stands until it is undone, and a second one changes nothing", () => {
  const context = stepAt(ON_B);
  takeOrder(context, 1, { name: "pause" }, ANN);
  takeOrder(context, 2, { name: "pause" }, { by: "bob", reason: "" });
  assertEquals(context.state.paused, { ...ANN, since: 100 });
  takeOrder(context, 3, { name: "resume" }, ANN);
  takeOrder(context, 4, { name: "resume" }, ANN);
  assertEquals(context.state.paused, undefined);
  assertEquals(effectsOf(context), [
    ...["service.paused", "settle 1 finished", "settle 2 finished"],
    ...["service.resumed", "settle 3 finished", "settle 4 finished"],
  ]);
});

Deno.test("after a pause the loss of the active upstream is decided, and its sessions end", () => {
  const down = { ...observe(unknownHealth(50), REFUSED, POLICY, 80), since: 80 };
  const health = new Map(ON_B.health).set("b", down);
  const context = stepAt({ ...ON_B, health, epoch: 3, paused: STANDING }, {}, ["a"]);
  takeOrder(context, 1, { name: "resume" }, ANN);
  assertEquals(effectsOf(context), [
    ...["service.resumed", "hold", "clients.held", "selection.started", "probe a", "probe b"],
    ...["drain b 1000", "settle 1 finished"],
  ]);
});

Deno.test("a hold ends by an order or at its maximum, with the order that was withheld", () => {
  const context = stepAt({ ...ON_B, epoch: 3 });
  takeOrder(context, 1, { name: "hold", maxMs: 0 }, ANN);
  assertEquals(context.state.held, { ...ANN, since: 100, until: 100 });
  tickHold(context);
  tickHold(context);
  takeOrder(context, 2, { name: "hold", maxMs: 50 }, ANN);
  tickHold(context);
  takeOrder(context, 3, { name: "release" }, ANN);
  assertEquals(effectsOf(context), [
    ...["hold", "hold.began", "settle 1 finished", "open b 3", "hold.ended"],
    ...["hold", "hold.began", "settle 2 finished", "open b 3", "hold.ended", "settle 3 finished"],
  ]);
});

Deno.test("what is withheld during a hold may also be a refusal, or a fail-open target", () => {
  const held = { ...STANDING, until: 900 };
  const closed = stepAt({ ...ON_B, held, admission: { is: "closed", outSince: 5 } });
  takeOrder(closed, 1, { name: "release" }, ANN);
  const admission = { is: "failOpen", outSince: 5, target: "a" } as const;
  const failOpen = stepAt({ ...ON_B, held, epoch: 9, admission });
  takeOrder(failOpen, 1, { name: "release" }, ANN);
  assertEquals([effectsOf(closed)[0], effectsOf(failOpen)[0]], ["refuse", "open a 9"]);
});

Deno.test("a drained upstream is no candidate until that is undone", () => {
  const context = stepAt(ON_B);
  takeOrder(context, 1, { name: "drain", upstream: "a" }, ANN);
  takeOrder(context, 2, { name: "drain", upstream: "a" }, ANN);
  assertEquals([...context.state.drained], [["a", { ...ANN, since: 100 }]]);
  takeOrder(context, 3, { name: "undrain", upstream: "a" }, ANN);
  assertEquals(context.state.drained.size, 0);
  assertEquals(effectsOf(context).filter((effect) => !effect.startsWith("settle")), [
    ...["upstream.drained", "upstream.undrained"],
  ]);
});

/** The event of this type in a step. */
function eventOf({ effects }: ReturnType<typeof stepAt>, type: Event["type"]): Event | undefined {
  return effects.flatMap((each) => each.do === "publish" ? [each.event] : []).find((event) =>
    event.type === type
  );
}

Deno.test("the reason of a move names who ordered it, and why if that was said", () => {
  for (
    const [reason, text] of [["", "ordered by ann"], ["a disk", "ordered by ann: a disk"]] as const
  ) {
    const context = stepAt(ON_B);
    takeOrder(context, 7, { name: "switchover", to: "a" }, { by: "ann", reason });
    const event = eventOf(context, "promotion.started");
    assertEquals(event?.type === "promotion.started" && [event.to, event.reason], ["a", text]);
  }
});

Deno.test("an ordered failback moves the traffic at once, and does not keep it there", () => {
  const context = stepAt(ON_B, { failback: { kind: "manual" } });
  takeOrder(context, 7, { name: "failback" }, ANN);
  assertEquals(effectsOf(context), [
    ...["settle 7 accepted", "hold", "clients.held", "promotion.started", "run triggers of 1"],
  ]);
  assertEquals(context.phase.name === "promoting" && context.phase.order, { id: 7, pins: false });
});

const WAITING: Phase = {
  ...{ name: "waiting", round: 3, reason: "b is down", until: 900 },
  passedOver: new Set(),
};

Deno.test("a switchover while no upstream serves begins its promotion at once", () => {
  const context = stepAt(stateOf(WAITING, { is: "closed", outSince: 5 }));
  takeOrder(context, 7, { name: "switchover", to: "a" }, ANN);
  assertEquals(effectsOf(context), [
    ...["settle 7 accepted", "probe a", "probe b", "promotion.started", "run triggers of 1"],
  ]);
});

Deno.test("after a pause a service without an upstream begins its next round", () => {
  const context = stepAt({ ...stateOf(WAITING, { is: "closed", outSince: 5 }), paused: STANDING });
  takeOrder(context, 7, { name: "resume" }, ANN);
  assertEquals(effectsOf(context), [
    ...["service.resumed", "probe a", "probe b", "settle 7 finished"],
  ]);
  assertEquals(context.phase.name === "selecting" && context.phase.round, 4);
  const busy = stepAt({ ...stateOf(promoting(false, { is: "ran" })), paused: STANDING });
  takeOrder(busy, 7, { name: "resume" }, ANN);
  assertEquals(effectsOf(busy), ["service.resumed", "settle 7 finished"]);
});

Deno.test("a hold while clients wait already orders nothing, and a second one moves its end", () => {
  const context = stepAt({ ...ON_B, admission: { is: "holding", outSince: 5, until: 900 } });
  takeOrder(context, 7, { name: "hold", maxMs: 50 }, ANN);
  takeOrder(context, 8, { name: "hold", maxMs: 80 }, ANN);
  assertEquals(effectsOf(context), [
    ...["hold.began", "settle 7 finished", "hold.began", "settle 8 finished"],
  ]);
  assertEquals(context.state.held, { ...ANN, since: 100, until: 180 });
});
