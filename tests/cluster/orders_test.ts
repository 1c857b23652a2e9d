/** Each order of the operator, given to a proxy that does not lead, between real processes: it counts for all. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ETCD } from "../harness/etcd.ts";
import { Folder, waitForFile } from "../harness/folder.ts";
import { testWithPrograms } from "../harness/scenario.ts";
import { SmallCluster, type SmallMember } from "./testing/small_cluster.ts";

function orderTest(name: string, run: () => Promise<void>): void {
  testWithPrograms(`cluster: ${name}`, ETCD === undefined ? ["etcd"] : [], run);
}

/** Gives an order to one proxy, and waits until it has ended. */
async function order({ control }: SmallMember, what: string): Promise<void> {
  const [status, answer] = await control.order(`${what}${what.includes("?") ? "&" : "?"}wait=true`);
  assertEquals([status, answer.outcome], [200, "finished"], JSON.stringify(answer));
}

orderTest("pause and resume, given to a proxy that follows, count for all", async () => {
  await using cluster = await SmallCluster.start(3);
  const { first, second, members } = cluster;
  const { leader, followers: [one, other] } = await cluster.roles();
  await order(one!, "pause?reason=works");
  for (const { proxy } of members) {
    const { by, reason } = await proxy.event("service.paused");
    assertMatch(by, / at \S+$/);
    assertEquals(reason, "works");
  }
  await first.kill();
  for (const { proxy } of members) await proxy.event("upstream.down", { upstream: first.name });
  await leader.proxy.event("failover.withheld", { upstream: first.name });
  // It stands also when the proxy that carried it out is gone.
  await leader.proxy.kill();
  await Promise.any([one!, other!].map(({ proxy }) => proxy.event("lead.taken")));
  for (const { state } of [one!, other!]) assertEquals((await state()).active, first.name);
  await order(other!, "resume");
  // Who follows knows that it was ended, and not by whom: the one who paused is not named for it.
  const resumed = await Promise.all(
    [one!, other!].map(({ proxy }) => proxy.event("service.resumed")),
  );
  assertEquals(
    resumed.filter(({ by }) => by.startsWith("an operator (named in the log")).length,
    1,
  );
  await cluster.serve(second, [one!, other!]);
});

orderTest("drain and undrain, given to a proxy that follows, count for all", async () => {
  await using cluster = await SmallCluster.start(3, { "hold-while": "down" });
  const { first, second, members } = cluster;
  const { leader, followers: [one, other] } = await cluster.roles();
  await order(one!, `drain?upstream=${second.name}`);
  for (const { proxy } of members) await proxy.event("upstream.drained", { upstream: second.name });
  await first.kill();
  await leader.proxy.event("selection.failed");
  for (const { proxy } of members) await proxy.event("clients.held");
  const asked = members.map(({ proxy }) => proxy.ask());
  await order(other!, `undrain?upstream=${second.name}`);
  for (const { proxy } of members) {
    await proxy.event("upstream.undrained", { upstream: second.name });
  }
  await cluster.serve(second);
  assertEquals(await Promise.all(asked), ["second", "second", "second"]);
});

orderTest("switchover and failback, given to a proxy that follows, count for all", async () => {
  await using cluster = await SmallCluster.start(3, { failback: "auto" });
  const { first, second, members } = cluster;
  const { leader, followers: [one, other] } = await cluster.roles();
  // The sums of a drill have what only several proxies cost.
  const [, { faults }] = await one!.control.order("drill");
  const sums = faults as readonly { name: string; terms: readonly { what: string }[] }[];
  assertEquals(sums.filter(({ name }) => name === "leader gone").length, 1);
  const { terms } = sums.find(({ name }) => name === "refused")!;
  assertEquals(terms.filter(({ what }) => what.includes("stored in etcd")).length, 1);
  await order(one!, `switchover?to=${second.name}`);
  await cluster.serve(second);
  for (const { proxy } of members) assertEquals(await proxy.ask(), "second");
  // Each proxy remembers the same move, whoever has decided it.
  await leader.proxy.event("promotion.finished", { to: second.name });
  for (const { proxy } of [one!, other!]) {
    await proxy.event("decision.followed", { to: second.name });
  }
  for (const { control } of members) {
    const { incidents } = await (await control.get("incidents")).json();
    const { kind, from, to, epoch } = incidents.at(-1);
    assertEquals([kind, from, to, epoch], ["switchover", first.name, second.name, 2]);
  }
  await order(other!, "failback");
  await cluster.serve(first);
  for (const { proxy } of members) assertEquals(await proxy.ask(), "first");
  // What the leader refuses is refused everywhere, with its reason.
  const [status, { outcome, error }] = await one!.control.order("switchover?to=nobody:1&wait=true");
  assertEquals([status, outcome], [409, "refused"]);
  assertStringIncludes(String(error), "there is no upstream nobody:1");
});

orderTest("the others hold while one promotes, and open when it is done", async () => {
  await using folder = await Folder.make();
  const trigger = await folder.script(
    "trigger.sh",
    `[ "$FAILOVER_EVENT" = start ] || { ${waitForFile("go")}; }`,
  );
  await using cluster = await SmallCluster.start(3, { "on-failover": trigger });
  const { second } = cluster;
  const { leader, followers } = await cluster.roles();
  const moved = order(followers[0]!, `switchover?to=${second.name}`);
  await leader.proxy.event("trigger.started", { epoch: 2 });
  for (const { proxy, state } of followers) {
    await proxy.event("clients.held", { reason: /promotes .* \(epoch 2\)/ });
    assertEquals((await state()).admission, "holding");
  }
  const asked = followers.map(({ proxy }) => proxy.ask());
  await folder.write("go", "");
  assertEquals(await Promise.all(asked), ["second", "second"]);
  await moved;
  for (const { proxy } of followers) {
    await proxy.event("decision.followed", { to: second.name, epoch: 2 });
    assertEquals(proxy.events("trigger.started"), []);
  }
});

orderTest("orders are refused at once, with the reason, while etcd is gone", async () => {
  await using cluster = await SmallCluster.start(2);
  const { second, etcd, members } = cluster;
  await etcd.members[0]!.kill();
  for (const { proxy } of members) await proxy.event("coordinator.lost");
  for (const { control } of members) {
    for (const what of [`switchover?to=${second.name}`, "pause", `drain?upstream=${second.name}`]) {
      const join = what.includes("?") ? "&" : "?";
      const [status, { outcome, error }] = await control.order(`${what}${join}wait=true`);
      assertEquals([status, outcome], [409, "refused"]);
      assertMatch(String(error), /etcd cannot be reached/);
    }
    const [rehearsed, { chosen, cut_off }] = await control.order("drill");
    assertEquals([rehearsed, chosen, cut_off], [200, second.name, true]);
  }
});
