import { assert, assertEquals } from "@std/assert";
import type { OrderOutcome } from "../failover/orders.ts";
import type { Event } from "../events/events.ts";
import { HELD_MS } from "../failover/cluster.ts";
import { leader } from "../failover/testing/cluster_machine.ts";
import { POLICY } from "../failover/testing/policy.ts";
import { FIRST_ANSWER_MS } from "./coordinator.ts";
import { failoverOf, Members, oneProxy, roleOf, twoProxies } from "./testing/membership.ts";

const ANN = { by: "ann", reason: "works" };

Deno.test("the service begins with the first view, and one proxy leads", async () => {
  const members = new Members();
  const [p1, p2] = [members.join("p1"), members.join("p2")];
  await members.pass(500);
  assertEquals(p1.inputs.slice(0, 2).map(({ type }) => type), ["coordinated", "begun"]);
  assertEquals([roleOf(p1), roleOf(p2)].sort(), ["follows", "leads"]);
  assertEquals(p1.coordinator.report().proxies.length, 2);
});

Deno.test("without an answer the service begins cut off, and says so once, until etcd answers", async () => {
  const members = new Members();
  members.cut.add("p1");
  const p1 = members.join("p1");
  await members.pass(FIRST_ANSWER_MS - 100);
  assertEquals(p1.inputs, []);
  await members.pass(2_000);
  assertEquals(p1.inputs.map(({ type }) => type), ["coordinated", "begun"]);
  assertEquals([roleOf(p1), p1.coordinator.report().isReachable], ["cutOff", false]);
  assertEquals(p1.events.map(({ type }) => type), ["coordinator.lost"]);
  members.cut.delete("p1");
  await members.pass(2_000);
  assertEquals(roleOf(p1), "leads");
  assertEquals(p1.events.map(({ type }) => type), [
    ...["coordinator.lost", "coordinator.reached", "lead.taken"],
  ]);
});

Deno.test("a proxy that is cut off says so before another one leads", async () => {
  const { members, p1, p2 } = await twoProxies();
  assertEquals([roleOf(p1), roleOf(p2)], ["leads", "follows"]);
  members.cut.add("p1");
  for (let ms = 0; ms < 15_000 && roleOf(p2) !== "leads"; ms += 100) {
    assert(roleOf(p1) !== "leads" || roleOf(p2) !== "leads");
    await members.pass(100);
  }
  assertEquals([roleOf(p1), roleOf(p2)], ["cutOff", "leads"]);
  assert("denied" in await members.settle(p1.coordinator.decide(failoverOf(1))));
});

Deno.test("with decide-alone a proxy that is cut off leads alone, and joins again later", async () => {
  const { members, p1 } = await oneProxy("decide-alone");
  members.cut.add("p1");
  await members.pass(30_000);
  assertEquals([roleOf(p1), p1.coordinator.report().role], ["leads", "alone"]);
  assert(p1.events.some(({ type }) => type === "coordinator.ignored"));
  assertEquals(await members.settle(p1.coordinator.decide(failoverOf(1))), { fence: undefined });
  assertEquals(await members.settle(p1.coordinator.conclude(failoverOf(1))), undefined);
  members.cut.delete("p1");
  await members.pass(2_000);
  assertEquals(p1.coordinator.report().role, "leads");
  assert(!members.etcd.keys.has("decision"));
  assertEquals(p1.events.map(({ type }) => type), [
    ...["lead.taken", "coordinator.lost", "lead.lost", "coordinator.ignored"],
    ...["coordinator.reached", "lead.taken"],
  ]);
});

Deno.test("with decide-alone the time of a lease is not exceeded by calls that wait for an answer", async () => {
  const members = new Members();
  const p1 = members.join("p1", "decide-alone");
  const firstOf = async (type: Event["type"]) => {
    while (!p1.events.some((event) => event.type === type)) await members.pass(10);
    return members.clock.now();
  };
  members.cut.add("p1");
  const lostAt = await firstOf("coordinator.lost");
  assertEquals(await firstOf("coordinator.ignored") - lostAt, 10_000);
});

Deno.test("a decision is stored once, with a fence that grows, and only by the proxy that leads", async () => {
  const { members, p1, p2 } = await twoProxies();
  p2.coordinator.acknowledge(1);
  await members.pass(100);
  const first = await members.settle(p1.coordinator.decide(failoverOf(1)));
  assert("fence" in first && first.fence !== undefined);
  assertEquals(JSON.parse(members.etcd.keys.get("decision")!.value).phase, "promoting");
  assertEquals(await members.settle(p1.coordinator.decide(failoverOf(1))), first, "a repetition");
  assertEquals(await members.settle(p1.coordinator.conclude(failoverOf(1))), undefined);
  assertEquals(JSON.parse(members.etcd.keys.get("decision")!.value).phase, "done");
  await members.pass(100);
  for (const [{ inputs }, isOwn] of [[p1, true], [p2, false]] as const) {
    const last = inputs.findLast((input) => input.type === "coordinated");
    if (last?.type !== "coordinated") throw new Error("no view");
    assertEquals(last.view.decision?.by === last.view.instance, isOwn);
  }
  const second = await members.settle(p1.coordinator.decide(failoverOf(2)));
  assert("fence" in second && second.fence! > first.fence);
  const theirs = await members.settle(p2.coordinator.decide(failoverOf(3)));
  assertEquals(theirs, { denied: "p1 leads" });
  const old = await members.settle(p1.coordinator.decide(failoverOf(1)));
  assertEquals(old, { denied: "epoch 2 was decided by p1" });
});

Deno.test("a promotion waits until the others hold their clients, but not for ever", async () => {
  const { members, p1, p2 } = await twoProxies();
  const began = members.clock.now();
  let heldAt: number | undefined;
  const decided = p1.coordinator.decide(failoverOf(1));
  decided.then(() => heldAt = members.clock.now());
  await members.pass(200);
  assertEquals(heldAt, undefined);
  p2.coordinator.acknowledge(1);
  await members.settle(decided);
  assert(heldAt! - began < HELD_MS);
  const again = members.clock.now();
  await members.settle(p1.coordinator.decide(failoverOf(2)));
  assert(members.clock.now() - again >= HELD_MS);
});

Deno.test("an order that another proxy got is carried out by the one that leads, and answered", async () => {
  const { members, p1, p2 } = await twoProxies();
  const outcomes: OrderOutcome[] = [];
  const send = (name: "pause" | "hold") =>
    p2.coordinator.passOn({ name }, ANN, (outcome) => outcomes.push(outcome));
  assert(!send("hold"), "that one is for the clients of this proxy");
  assert(send("pause"));
  await members.pass(500);
  assertEquals([p1.orders, outcomes.at(-1)], [[{ name: "pause" }], { is: "finished" }]);
  assert(p1.coordinator.passOn({ name: "pause" }, ANN, () => {}));
  assertEquals(p1.orders.length, 2, "it carries it out itself");
  p1.outcomes = [{ is: "refused", reason: "no" }];
  outcomes.length = 0;
  send("pause");
  await members.pass(500);
  assertEquals(outcomes.at(-1), { is: "refused", reason: "no" });
});

Deno.test("orders that stand are stored by the proxy that leads, and reach the others", async () => {
  const { members, p1 } = await oneProxy();
  const p2 = members.join("p2");
  p1.state = { ...p1.state, paused: { ...ANN, since: 0 } };
  p1.coordinator.changed();
  await members.pass(500);
  const last = p2.inputs.findLast((input) => input.type === "coordinated");
  assertEquals(last?.type === "coordinated" && last.view.orders?.paused, ANN);
});

Deno.test("the lead is free at once when a proxy leaves", async () => {
  const { members, p1, p2 } = await twoProxies();
  await members.settle(p1.coordinator[Symbol.asyncDispose]());
  await members.pass(200);
  assertEquals(roleOf(p2), "leads");
});

Deno.test("a proxy that sees no upstream up gives the lead to one that does, but not while its triggers run", async () => {
  const { members, p1, p2 } = await twoProxies();
  p1.runsTriggers = true;
  p2.state = leader(POLICY).state;
  p2.coordinator.changed();
  await members.pass(5_000);
  assertEquals([roleOf(p1), roleOf(p2)], ["leads", "follows"]);
  p1.runsTriggers = false;
  await members.pass(5_000);
  assertEquals([roleOf(p1), roleOf(p2)], ["follows", "leads"]);
});

Deno.test("a lease that is revoked at any moment is replaced, and etcd is not called lost for it", async () => {
  for (let ms = 0; ms < 40; ms++) {
    for (const name of ["p1", "p2"]) {
      const { members, p1, p2 } = await twoProxies();
      const outcomes: OrderOutcome[] = [];
      // A change of what it sees and an order make each of them write.
      p1.state = { ...p1.state, paused: { ...ANN, since: 0 } };
      p1.coordinator.changed();
      p2.coordinator.passOn({ name: "pause" }, ANN, (outcome) => outcomes.push(outcome));
      await members.clock.advance(ms);
      members.etcd.end(members.etcd.keys.get(`seen/${name}`)!.lease!);
      await members.pass(2_000);
      const roles = [roleOf(p1), roleOf(p2)].sort();
      assertEquals(roles, ["follows", "leads"], `${name} after ${ms} ms`);
      const lost = [p1, p2].flatMap(({ events }) => events.map(({ type }) => type))
        .filter((type) => type === "coordinator.lost" || type === "coordinator.reached");
      assertEquals(lost, [], `${name} after ${ms} ms`);
      const members_ = [p1, p2].map(({ coordinator }) => coordinator.report());
      assertEquals(members_.map(({ isReachable }) => isReachable), [true, true]);
    }
  }
});

Deno.test("that clients move bytes is told in the round in which it is seen", async () => {
  const members = new Members();
  const p1 = members.join("p1", "serve-last", false);
  p1.state = leader().state;
  const told: string[] = [];
  members.etcd.onChange = (key, value) => {
    if (key === "seen/p1") told.push(JSON.parse(value!).traffic);
  };
  p1.coordinator.begin();
  await members.pass(100);
  // A round that does not begin with a renewal.
  p1.busy = 1;
  p1.state = leader().probe("b", false).probe("b", false).state;
  p1.coordinator.changed();
  await members.pass(100);
  assertEquals(told, ["none", "flows"]);
});
