import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { OrderOutcome } from "../failover/orders.ts";
import { initialState } from "../failover/state.ts";
import { StandingOrders } from "./standing_orders.ts";
import { EtcdModel } from "./testing/etcd_model.ts";
import { oneProxy, promptEtcd } from "./testing/membership.ts";

const ANN = { by: "ann", reason: "works" };

/** A proxy that leads, and whose service is paused by the order that it gets. */
async function leader() {
  const { members, p1 } = await oneProxy();
  const outcomes: OrderOutcome[] = [];
  const send = () => {
    p1.state = { ...p1.state, paused: { ...ANN, since: 0 } };
    p1.coordinator.passOn({ name: "pause" }, ANN, (outcome) => outcomes.push(outcome));
    p1.coordinator.changed();
  };
  return { members, p1, outcomes, send };
}

Deno.test("an order that the leader got has succeeded when it is stored for all", async () => {
  const { members, outcomes, send } = await leader();
  let storedFirst: boolean | undefined;
  members.etcd.onChange = (key) => {
    if (key === "orders") storedFirst = outcomes.length === 0;
  };
  send();
  await members.pass(500);
  assertEquals([outcomes, storedFirst], [[{ is: "finished" }], true]);
});

Deno.test("an order that cannot be stored for all has failed, although it is in force here", async () => {
  const { members, outcomes, send } = await leader();
  members.cut.add("p1");
  send();
  await members.pass(15_000);
  assertEquals(outcomes, [{
    is: "failed",
    reason: "it was carried out here, but is not stored for all: no answer in time",
  }]);
});

Deno.test("an order that was lost with the lead has failed, although this proxy leads again", async () => {
  const { members, p1, outcomes, send } = await leader();
  members.cut.add("p1");
  send();
  await members.pass(8_000);
  // Whoever takes the lead anew takes the orders that are stored.
  p1.state = { ...p1.state, paused: undefined };
  members.cut.delete("p1");
  await members.pass(15_000);
  assertEquals([p1.coordinator.report().role, outcomes.map(({ is }) => is)], ["leads", ["failed"]]);
});

Deno.test("an order whose outcome comes after the lead was lost has failed, since it stands no more", async () => {
  const { members, p1, outcomes, send } = await leader();
  p1.outcomes = [];
  members.cut.add("p1");
  send();
  await members.pass(8_000);
  // What is stored counts again, and is the same as what stands here.
  p1.state = { ...p1.state, paused: undefined };
  members.cut.delete("p1");
  await members.pass(3_000);
  p1.answer({ is: "finished" });
  await members.pass(1_000);
  assertEquals(outcomes.map(({ is }) => is), ["failed"]);
});

Deno.test("orders are stored only while this proxy leads in the store as well", async () => {
  const { clock, etcd, client, settle } = promptEtcd();
  const service = {
    state: () => ({ ...initialState([], 0), paused: { ...ANN, since: 0 } }),
    order: () => {},
  };
  const orders = new StandingOrders({
    ...{ etcd: client, clock, instance: "p1", service },
    session: { stored: undefined, leads: true },
    ...{ keptMs: 0, nextRound: () => Promise.resolve(), lead: () => 1, whyNot: () => "" },
  });
  for (const [leader, isStored] of [["p2", false], ["p1", true]] as const) {
    await settle(client.transact([], [{ put: "leader", value: leader }]));
    await settle(orders.keep());
    assertEquals(etcd.keys.has("orders"), isStored, leader);
  }
});

Deno.test("orders that reach etcd late do not undo those that were stored meanwhile", async () => {
  const clock = new ManualClock(1_000);
  const etcd = new EtcdModel(clock, () => 0.5);
  let thereMs = 0;
  const client = etcd.client(clock, { delay: (way) => way === "there" ? thereMs : 0 });
  let by = "ann";
  const service = {
    state: () => ({ ...initialState([], 0), paused: { by, reason: "", since: 0 } }),
    order: () => {},
  };
  const orders = new StandingOrders({
    ...{ etcd: client, clock, instance: "p1", service },
    session: { stored: undefined, leads: true },
    ...{ keptMs: 0, nextRound: () => Promise.resolve(), lead: () => 1, whyNot: () => "" },
  });
  const put = client.transact([], [{ put: "leader", value: "p1" }]);
  await clock.advance(10);
  await put;
  thereMs = 10_000;
  const late = orders.keep().catch((error) => error.kind);
  thereMs = 0;
  by = "bob";
  const kept = orders.keep();
  await clock.advance(10);
  await kept;
  await clock.advance(10_000);
  assertEquals(await late, "unreachable");
  assertEquals(JSON.parse(etcd.keys.get("orders")!.value).paused.by, "bob");
});
