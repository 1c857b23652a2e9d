import { assertEquals, assertRejects } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { CUT_OFF, type Decision } from "./cluster.ts";
import { Controller } from "./controller.ts";
import type { Coordinator, DataPlane, ProbeResult, Promotion, TriggerOutcome } from "./ports.ts";
import { decision, SELF } from "./testing/cluster_machine.ts";
import { POLICY } from "./testing/policy.ts";
import { upstreamsOf } from "./testing/results.ts";

const UPSTREAMS = upstreamsOf("a", "b");
const YES: ProbeResult = { passed: true, tookMs: 1, reason: "connected", evidence: "passed" };
const NO: ProbeResult = { passed: false, tookMs: 1, reason: "refused", evidence: "refused" };

/** A controller with ports that record their calls, and triggers that end when the test ends them. */
function build(plane: Partial<DataPlane> = {}, coordinator?: Coordinator) {
  const actions: string[] = [];
  const clock = new ManualClock();
  const running: { promotion: Promotion; end: () => void }[] = [];
  const note = (action: string) => {
    actions.push(action);
    return Promise.resolve();
  };
  const controller = new Controller(UPSTREAMS, { ...POLICY, fall: 1 }, {
    clock,
    publish: (event) => actions.push(event.type),
    plane: {
      open: (upstream, epoch) => note(`open ${upstream.name} ${epoch}`),
      hold: () => note("hold"),
      refuse: () => note("refuse"),
      confirm: (upstream) => note(`confirm ${upstream}`),
      drain: (order) => note(`drain ${order.upstream}`),
      spare: (upstream) => note(`spare ${upstream}`),
      busy: () => Promise.resolve(0),
      ...plane,
    },
    checks: { now: () => {}, pace: () => {} },
    ...coordinator === undefined ? {} : { coordinator },
    triggers: {
      run(promotion, signal) {
        const { promise, resolve } = Promise.withResolvers<TriggerOutcome>();
        signal.addEventListener("abort", () => {
          actions.push(`triggers of ${promotion.epoch} cancelled`);
          resolve({ how: "cancelled" });
        });
        running.push({ promotion, end: () => resolve({ how: "ran" }) });
        return promise;
      },
    },
  });
  const probed = (upstream: string, result: ProbeResult) =>
    controller.post({ type: "probed", upstream, result, stage: controller.state.stage });
  return { controller, actions, clock, running, probed };
}

Deno.test("the controller lets clients in only after the triggers ended", async () => {
  const { controller, actions, clock, running, probed } = build();
  controller.post({ type: "begun" });
  probed("a", YES);
  await clock.advance(0);
  assertEquals(actions, ["selection.started", "upstream.up", "promotion.started"]);
  running[0]!.end();
  await clock.advance(0);
  assertEquals(actions.slice(3), ["open a 1", "promotion.finished"]);
  await controller[Symbol.asyncDispose]();
});

Deno.test("a switchover asks the data plane until the sessions are quiet, then reports the outcome to its caller", async () => {
  let busy = 2;
  const asked: unknown[] = [];
  const { controller, actions, clock, running, probed } = build({
    busy: (upstream, throughEpoch) => {
      asked.push([upstream, throughEpoch]);
      return Promise.resolve(busy);
    },
  });
  const outcomes: unknown[] = [];
  controller.post({ type: "begun" });
  probed("a", YES);
  probed("b", YES);
  await clock.advance(0);
  running[0]!.end();
  await clock.advance(0);
  const source = { by: "ann", reason: "" };
  controller.order({ name: "switchover", to: "b" }, source, (outcome) => outcomes.push(outcome.is));
  await clock.advance(200);
  assertEquals([outcomes, running.length], [["accepted"], 1]);
  assertEquals(asked[0], ["a", 1]);
  busy = 0;
  await clock.advance(50);
  assertEquals(running.length, 2, "the triggers begin as soon as no session is busy");
  const { length } = asked;
  running[1]!.end();
  await clock.advance(1_000);
  assertEquals([outcomes, asked.length], [["accepted", "finished"], length]);
  assertEquals(actions.at(-2), "open b 2");
  await controller[Symbol.asyncDispose]();
});

Deno.test("orders under way are answered when the controller ends, and later ones refused", async () => {
  const { controller, clock, running, probed } = build({ busy: () => Promise.resolve(1) });
  const outcomes: unknown[] = [];
  controller.post({ type: "begun" });
  probed("a", YES);
  probed("b", YES);
  await clock.advance(0);
  running[0]!.end();
  await clock.advance(0);
  const order = { name: "switchover", to: "b" } as const;
  const source = { by: "ann", reason: "" };
  controller.order(order, source, (outcome) => outcomes.push(outcome.is));
  await clock.advance(0);
  await controller[Symbol.asyncDispose]();
  controller.order(order, source, (outcome) => outcomes.push(outcome.is));
  assertEquals(outcomes, ["accepted", "failed", "refused"]);
});

Deno.test("the controller performs effects one after another, however slow the first is", async () => {
  const gate = Promise.withResolvers<void>();
  const order: string[] = [];
  const { controller, clock, running, probed } = build({
    hold: () => gate.promise.then(() => void order.push("hold")),
    drain: () => Promise.resolve(void order.push("drain")),
  });
  controller.post({ type: "begun" });
  probed("a", YES);
  await clock.advance(0);
  running[0]!.end();
  await clock.advance(0);
  probed("a", NO);
  await clock.advance(0);
  assertEquals(order, []);
  gate.resolve();
  await clock.advance(0);
  assertEquals(order, ["hold", "drain"]);
  await controller[Symbol.asyncDispose]();
});

Deno.test("an input that changes nothing does not keep the next from being performed", async () => {
  const { controller, actions, clock, probed } = build();
  controller.post({ type: "begun" });
  await clock.advance(0);
  controller.post({ type: "triggersEnded", epoch: 99, outcome: { how: "ran" } });
  await clock.advance(0);
  probed("a", YES);
  await clock.advance(0);
  assertEquals(actions.at(-1), "promotion.started");
  await controller[Symbol.asyncDispose]();
});

Deno.test("the controller wakes the machine when its time has come", async () => {
  const { controller, actions, clock, probed } = build();
  controller.post({ type: "begun" });
  probed("a", NO);
  probed("b", NO);
  await clock.advance(999);
  assertEquals(controller.state.phase.name, "waiting");
  await clock.advance(1);
  assertEquals(controller.state.phase.name, "selecting");
  assertEquals(actions.filter((d) => d === "selection.failed").length, 1);
  await controller[Symbol.asyncDispose]();
  assertEquals(clock.pending, 0);
});

Deno.test("a stopped controller ends running triggers and accepts no more inputs", async () => {
  const { controller, actions, clock, probed } = build();
  controller.post({ type: "begun" });
  probed("a", YES);
  await clock.advance(0);
  await controller[Symbol.asyncDispose]();
  assertEquals(actions.at(-1), "triggers of 1 cancelled");
  probed("a", NO);
  assertEquals(controller.state.phase.name, "promoting");
  await controller.finished;
});

Deno.test("a data plane that breaks its contract ends the controller with its error", async () => {
  const broken = () => Promise.reject(new Error("out of order"));
  const { controller, clock, running, probed } = build({ open: broken });
  controller.post({ type: "begun" });
  probed("a", YES);
  await clock.advance(0);
  running[0]!.end();
  await assertRejects(() => controller.finished, Error, "out of order");
  await controller[Symbol.asyncDispose]();
});

Deno.test("the controller remembers the results of probes and since when the active upstream serves", async () => {
  const { controller, clock, running, probed } = build();
  controller.post({ type: "begun" });
  probed("a", YES);
  probed("b", NO);
  await clock.advance(40);
  assertEquals(controller.state.lastServed?.since, undefined);
  running[0]!.end();
  await clock.advance(0);
  assertEquals(controller.state.lastServed?.since, 40);
  assertEquals(["a", "b"].map((name) => controller.history.of(name).passed), [1, 0]);
  await controller[Symbol.asyncDispose]();
});

Deno.test("a suspended controller decides nothing and takes no order, and goes on when it is resumed", async () => {
  const { controller, actions, clock, running, probed } = build();
  assertEquals(controller.suspend(), "it has not begun yet");
  assertEquals(controller.busyWith, "it has not begun yet");
  controller.post({ type: "begun" });
  assertEquals(controller.suspend(), "a decision is being put into force");
  await clock.advance(0);
  assertEquals(controller.suspend(), "an upstream is being chosen");
  probed("a", YES);
  await clock.advance(0);
  assertEquals(controller.suspend(), "a is being promoted");
  running[0]!.end();
  await clock.advance(0);
  assertEquals(controller.busyWith, undefined);
  const memory = controller.suspend();
  assertEquals(typeof memory !== "string" && [memory.standing?.active, memory.epoch], ["a", 1]);
  const before = actions.length;
  probed("a", NO);
  const outcomes: unknown[] = [];
  const source = { by: "ann", reason: "" };
  controller.order({ name: "pause" }, source, (outcome) => outcomes.push(outcome));
  await clock.advance(60_000);
  assertEquals(actions.slice(before), []);
  assertEquals(outcomes, [{ is: "refused", reason: "another process is taking over" }]);
  controller.resume();
  probed("a", NO);
  await clock.advance(0);
  assertEquals(actions.slice(before, before + 2), ["upstream.down", "hold"]);
  await controller[Symbol.asyncDispose]();
  assertEquals(controller.suspend(), "it is stopping");
});

/** A leader in epoch 3, whose promotion waits until the end of the one before it is stored. */
async function waitingLeader() {
  const stored: string[] = [];
  const gate = Promise.withResolvers<string | undefined>();
  let isSlow = false;
  const { controller, clock, running, probed } = build({}, {
    decide: ({ epoch, to }) => {
      stored.push(`promoting ${to} ${epoch}`);
      return Promise.resolve({ fence: epoch });
    },
    conclude: async ({ epoch, to }) => {
      const denied = isSlow ? await gate.promise : undefined;
      if (denied === undefined) stored.push(`done ${to} ${epoch}`);
      return denied;
    },
    acknowledge: () => {},
    passOn: () => false,
  });
  const view = (role: "leads" | "cutOff", of: Decision | undefined, fence = 0) =>
    controller.post({
      type: "coordinated",
      view: { ...CUT_OFF, instance: SELF, role, decision: of, fence },
    });
  view("leads", undefined);
  controller.post({ type: "begun" });
  probed("a", YES);
  await clock.advance(0);
  running[0]!.end();
  await clock.advance(0);
  assertEquals(stored, ["promoting a 1", "done a 1"]);
  // The end of the next promotion is not stored yet, and the one that follows it waits for that.
  const by = SELF;
  view("leads", decision({ epoch: 1, to: "a", by }), 2);
  isSlow = true;
  probed("a", NO);
  probed("b", YES);
  await clock.advance(0);
  running[1]!.end();
  await clock.advance(0);
  probed("b", NO);
  probed("a", YES);
  await clock.advance(0);
  assertEquals(controller.state.epoch, 3);
  const mine = decision({ epoch: 2, to: "b", from: "a", phase: "promoting", by });
  return { controller, clock, view, stored, gate, mine };
}

Deno.test("what was decided in an earlier lead is not stored over the decision of another proxy", async () => {
  const { controller, clock, view, stored, gate, mine } = await waitingLeader();
  // Meanwhile another proxy has led, and this one leads again.
  view("cutOff", mine, 3);
  view("leads", decision({ epoch: 3, to: "b", from: "a" }), 5);
  gate.resolve("epoch 3 was decided by p1");
  await clock.advance(0);
  assertEquals(stored, ["promoting a 1", "done a 1", "promoting b 2"]);
  await controller[Symbol.asyncDispose]();
});

Deno.test("what waits to be stored is not held up by an earlier decision of the same proxy, which is read late", async () => {
  const { controller, clock, view, stored, gate, mine } = await waitingLeader();
  view("leads", mine, 3);
  gate.resolve(undefined);
  await clock.advance(0);
  const [before, after] = [["promoting a 1", "done a 1"], ["promoting b 2", "done b 2"]];
  assertEquals(stored, [...before, ...after, "promoting a 3"]);
  await controller[Symbol.asyncDispose]();
});
