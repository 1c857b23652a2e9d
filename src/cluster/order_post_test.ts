import { assertEquals } from "@std/assert";
import type { OrderOutcome } from "../failover/orders.ts";
import { EtcdError } from "./etcd.ts";
import { passedText, storedOf } from "./keys.ts";
import { OrderPost } from "./order_post.ts";
import { Members, promptEtcd, twoProxies } from "./testing/membership.ts";

const ANN = { by: "ann", reason: "" };

/** Two proxies, of which the first one leads; `send` passes an order on to it from the second one. */
async function pair() {
  const { members, p1, p2 } = await twoProxies();
  const outcomes: OrderOutcome[] = [];
  const send = () =>
    p2.coordinator.passOn({ name: "pause" }, ANN, (outcome) => outcomes.push(outcome));
  const stored = () => [...members.etcd.keys.keys()].filter((key) => /^(order|outcome)/.test(key));
  return { members, p1, p2, outcomes, send, stored };
}

/** Two proxies, of which the first one leads and is cut off; the second one has passed an order on to it. */
async function orderUnderWay() {
  const proxies = await pair();
  proxies.members.cut.add("p1");
  proxies.send();
  return proxies;
}

Deno.test("an order fails that nobody takes, and leaves nothing behind", async () => {
  const { members, p1, p2, outcomes } = await orderUnderWay();
  // The other one is gone, and this proxy takes its own order as soon as it leads.
  await members.pass(20_000);
  assertEquals([p1.orders.length, p2.orders.length], [0, 1]);
  assertEquals(outcomes.at(-1)?.is, "finished");
  assertEquals([...members.etcd.keys.keys()].filter((key) => key.startsWith("order/")), []);
});

Deno.test("an order is refused while etcd cannot be reached", async () => {
  const members = new Members();
  members.cut.add("p1");
  const p1 = members.join("p1");
  await members.pass(100);
  const outcomes: OrderOutcome[] = [];
  p1.coordinator.passOn({ name: "pause" }, ANN, (outcome) => outcomes.push(outcome));
  assertEquals(outcomes.map(({ is }) => is), ["refused"]);
});

Deno.test("an order is refused while too many are under way, and those are carried out", async () => {
  const { members, p1, outcomes, send } = await pair();
  for (let count = 0; count < 17; count++) send();
  assertEquals(outcomes, [{ is: "refused", reason: "16 orders are under way already" }]);
  await members.pass(1_000);
  const finished = outcomes.filter(({ is }) => is === "finished");
  assertEquals([p1.orders.length, finished.length], [16, 16]);
  send();
  await members.pass(500);
  assertEquals(p1.orders.length, 17);
});

Deno.test("an order is refused at once where a lease may have ended, and is not sent", async () => {
  const { members, p2 } = await twoProxies();
  members.cut.add("p2");
  // Its lease may last a little longer, but not for certain.
  await members.pass(8_000);
  const outcomes: OrderOutcome[] = [];
  p2.coordinator.passOn({ name: "pause" }, ANN, (outcome) => outcomes.push(outcome));
  assertEquals(outcomes.map(({ is }) => is), ["refused"]);
});

Deno.test("an order that was accepted fails when the proxy that carries it out is gone", async () => {
  const { members, p1, p2 } = await twoProxies();
  p1.outcomes = [{ is: "accepted" }];
  const outcomes: OrderOutcome[] = [];
  p2.coordinator.passOn({ name: "failback" }, ANN, (outcome) => outcomes.push(outcome));
  await members.pass(500);
  assertEquals(outcomes.map(({ is }) => is), ["accepted"]);
  members.cut.add("p1");
  await members.pass(20_000);
  assertEquals(outcomes.at(-1), {
    is: "failed",
    reason: "the proxy that carried it out is gone",
  });
});

Deno.test("orders under way fail when the service stops", async () => {
  const { members, p2, outcomes } = await orderUnderWay();
  await members.settle(p2.coordinator[Symbol.asyncDispose]());
  assertEquals(outcomes, [{ is: "failed", reason: "the service is stopping" }]);
});

Deno.test("an order whose answer is lost is carried out once, and its outcome is told", async () => {
  const { members, p1, outcomes, send, stored } = await pair();
  members.etcd.onChange = (key) => {
    if (!key.startsWith("order/")) return;
    members.cutFor(2_000, "p2");
  };
  send();
  await members.pass(1_500);
  assertEquals(outcomes, []);
  await members.pass(3_000);
  assertEquals([p1.orders.length, outcomes.at(-1)], [1, { is: "finished" }]);
  assertEquals(stored(), []);
});

Deno.test("outcomes are removed by who asked, and by who answered if that one is gone", async () => {
  const { members, p2, outcomes, send, stored } = await pair();
  send();
  await members.pass(500);
  assertEquals([outcomes.at(-1), stored()], [{ is: "finished" }, []]);
  send();
  members.etcd.onChange = (key) => key.startsWith("outcome/") && members.cut.add("p2");
  await members.pass(1_000);
  assertEquals(stored().length, 1);
  await members.pass(70_000);
  assertEquals(stored(), []);
  await members.settle(p2.coordinator[Symbol.asyncDispose]());
});

Deno.test("an order that was never stored fails in the end, and one of unknown fate says so", async () => {
  const { members, p1, outcomes, send } = await pair();
  members.cut.add("p2");
  send();
  await members.pass(3_000);
  members.cut.delete("p2");
  await members.pass(20_000);
  const reason = "no proxy has taken the order in time";
  assertEquals([p1.orders.length, outcomes], [0, [{ is: "failed", reason }]]);
  outcomes.length = 0;
  members.etcd.onChange = (key) => key.startsWith("order/") && members.cut.add("p2");
  send();
  await members.pass(20_000);
  assertEquals(outcomes, [{
    is: "failed",
    reason: "etcd does not answer, and the order may still be carried out",
  }]);
});

Deno.test("an order is carried out, and its outcome stored, although etcd's answers to that are lost", async () => {
  for (const lost of ["accepted", "finished"]) {
    const { members, p1, outcomes, send, stored } = await pair();
    let isLost = false;
    members.etcd.onChange = (key, value) => {
      if (isLost || !key.startsWith("outcome/") || !value?.includes(lost)) return;
      isLost = true;
      members.cutFor(1_500, "p1");
    };
    send();
    await members.pass(6_000);
    assertEquals([p1.orders.length, outcomes.at(-1)], [1, { is: "finished" }], lost);
    assertEquals(stored(), [], lost);
  }
});

Deno.test("an outcome that could not be stored is stored as soon as etcd can be reached", async () => {
  const { members, p1, outcomes, send } = await pair();
  p1.outcomes = [];
  send();
  await members.pass(500);
  assertEquals(outcomes.map(({ is }) => is), ["accepted"]);
  members.cut.add("p1");
  p1.answer({ is: "refused", reason: "no" });
  await members.pass(1_500);
  members.cut.delete("p1");
  await members.pass(3_000);
  assertEquals(outcomes.at(-1), { is: "refused", reason: "no" });
});

Deno.test("an order that cannot be taken since the lease is over is left to whoever leads next", async () => {
  const { clock, client } = promptEtcd();
  const lease = { ended: false, asked: 0 };
  const carriedOut: string[] = [];
  const post = new OrderPost({
    etcd: {
      ...client,
      transact: () => {
        lease.asked++;
        return lease.ended
          ? Promise.resolve({ succeeded: true, revision: 9 })
          : Promise.reject(new EtcdError("leaseGone", "requested lease not found"));
      },
    },
    ...{ clock, instance: "p1", lease: () => "1", isMember: () => true },
    leads: () => !lease.ended || lease.asked > 1,
    leaseEnded: () => lease.ended = true,
    carryOut: ({ name }) => carriedOut.push(name),
  });
  const passed = ["one", "two"].map((id, index) => ({
    ...{ id, order: { name: "pause" } as const, source: ANN, revision: index + 1 },
  }));
  const stored = { ...storedOf({ revision: 5, entries: new Map() }), passed };
  await post.look(stored);
  assertEquals([lease, carriedOut], [{ ended: true, asked: 1 }, []]);
  // The next lead.
  lease.asked = 2;
  await post.look(stored);
  assertEquals(carriedOut, ["pause", "pause"]);
});

Deno.test("an order is taken only by the proxy that leads, and not if it was taken back or taken before", async () => {
  const { clock, etcd, client, settle } = promptEtcd();
  const { id: lease } = await settle(client.grant(60));
  const carriedOut: string[] = [];
  const post = new OrderPost({
    ...{ etcd: client, clock, instance: "p1", lease: () => lease, isMember: () => true },
    ...{ leads: () => true, leaseEnded: () => {} },
    carryOut: ({ name }) => carriedOut.push(name),
  });
  const order = { name: "pause" } as const;
  const put = (key: string, value: string) =>
    settle(client.transact([], [{ put: key, value, lease }]));
  /** The proxy has read the order, and tries to take it. */
  const take = async (revision: number) => {
    const passed = [{ id: "one", order, source: ANN, revision }];
    const stored = { ...storedOf({ revision, entries: new Map() }), passed };
    await settle(post.look(stored));
    return [carriedOut.length, etcd.keys.has("outcome/one")];
  };
  await put("leader", "p2");
  const { revision } = await put("order/one", passedText(order, ANN));
  assertEquals(await take(revision), [0, false]);
  await put("leader", "p1");
  assertEquals(await take(revision - 1), [0, false]);
  assertEquals(await take(revision), [1, true]);
  await settle(client.transact([], [{ remove: "outcome/one" }]));
  assertEquals(await take(revision), [1, false]);
});
