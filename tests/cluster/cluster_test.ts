/**
 * Real proxies and three real etcd with one fault at a time. The history of all triggers and writes is checked
 * after each.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { testWithPrograms } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { type Member, ProxyCluster } from "./proxy_cluster.ts";
import type { Writer } from "./writer.ts";

function clusterTest(name: string, run: () => Promise<void>): void {
  testWithPrograms(`cluster: ${name}`, ["etcd", "flock"], run);
}

/** For what must not end a lease: a busy machine may leave a proxy without the processor for seconds. */
const LONG_LEASE = { "coordinator-lease": "30s" };

/** The breaches of the rules in the whole history, in which clients have written. */
async function breaches(cluster: ProxyCluster, writers: readonly Writer[]): Promise<string[]> {
  const found = await cluster.breaches();
  assert(writers.some(({ acknowledged }) => acknowledged.length > 0));
  return found;
}

/** Resolves when all of `members` send their clients to `upstream`. */
async function serve(members: readonly Member[], upstream: string): Promise<void> {
  const serves = async ({ state }: { state: Member["state"] }) => {
    for (;;) {
      const { active, admission } = await state();
      if (active === upstream && admission === "open") return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const all = members.map((member) => serves({ state: () => member.state() }));
  await withTestDeadline(`all to serve ${upstream}`, Promise.all(all));
}

clusterTest("one proxy decides, all follow, and its trigger runs once", async () => {
  await using cluster = await ProxyCluster.start(3, LONG_LEASE);
  const writers = cluster.write();
  const { first, second, members } = cluster;
  await serve(members, first.name);
  await first.kill();
  await serve(members, second.name);
  const lines = await cluster.triggers();
  const begun = lines.filter(({ what }) => what === "begin");
  assertEquals(begun.map(({ event, to }) => [event, to]), [
    ["start", first.name],
    ["failover", second.name],
  ]);
  const epochs = await Promise.all(members.map(async (each) => (await each.state()).epoch));
  assertEquals(new Set(epochs), new Set([begun.at(-1)!.epoch]));
  assertEquals(await breaches(cluster, writers), []);
});

clusterTest(
  "kill -9 of the leader while its trigger runs: it ends, and another proxy resumes",
  async () => {
    await using cluster = await ProxyCluster.start(3);
    const writers = cluster.write();
    const { first, second, members, folder } = cluster;
    const leader = await cluster.leader();
    await folder.write("seconds-failover", "20");
    await first.kill();
    const begun = await cluster.triggered(({ event, what }) =>
      event === "failover" && what === "begin"
    );
    leader.proxy.signal("SIGKILL");
    await leader.proxy.ended;
    const others = members.filter((each) => each !== leader);
    await serve(others, second.name);
    const resumed = await cluster.triggered(({ event, what }) =>
      event === "resume" && what === "end"
    );
    assert(resumed.epoch > begun.epoch && resumed.proxy !== begun.proxy);
    assertEquals(await breaches(cluster, writers), []);
  },
);

clusterTest("SIGSTOP of the leader for longer than its lease while a trigger runs", async () => {
  await using cluster = await ProxyCluster.start(3);
  const writers = cluster.write();
  const { first, second, members, folder } = cluster;
  const leader = await cluster.leader();
  await folder.write("seconds-failover", "20");
  await first.kill();
  await cluster.triggered(({ event, what }) => event === "failover" && what === "begin");
  leader.proxy.signal("SIGSTOP");
  await serve(members.filter((each) => each !== leader), second.name);
  leader.proxy.signal("SIGCONT");
  await serve(members, second.name);
  await cluster.triggered(({ event, what }) => event === "resume" && what === "end");
  assertEquals(await breaches(cluster, writers), []);
});

clusterTest(
  "a leader that etcd does not hear stops leading, serves on, and promotes nothing",
  async () => {
    await using cluster = await ProxyCluster.start(3);
    const writers = cluster.write();
    const { first, second, members } = cluster;
    const cut = await cluster.leader();
    cut.cut("there");
    await cut.proxy.event("coordinator.lost");
    const next = await cluster.leader(cut);
    assert(next !== cut);
    const { cluster: seen, ready } = await cut.state();
    assertEquals([seen.role, ready], ["cut_off", false]);
    await first.kill();
    await serve(members.filter((each) => each !== cut), second.name);
    assertEquals((await cut.state()).active, first.name);
    cut.heal();
    await serve(members, second.name);
    assertEquals(await breaches(cluster, writers), []);
  },
);

clusterTest(
  "without etcd nothing is promoted, and a failover follows as soon as it is back",
  async () => {
    await using cluster = await ProxyCluster.start(2);
    const writers = cluster.write();
    const { first, second, members, etcd } = cluster;
    for (const member of etcd.members) await member.kill();
    for (const { proxy } of members) await proxy.event("coordinator.lost");
    await first.kill();
    for (const { proxy } of members) await proxy.event("upstream.down", { upstream: first.name });
    assertEquals((await cluster.triggers()).filter(({ what }) => what === "begin").length, 1);
    for (const member of etcd.members) member.start();
    await serve(members, second.name);
    for (const { proxy } of members) await proxy.event("coordinator.reached");
    assertEquals(await breaches(cluster, writers), []);
  },
);

clusterTest(
  "a clock that jumps while a trigger runs ends nothing, and decides nothing twice",
  async () => {
    await using cluster = await ProxyCluster.start(2, LONG_LEASE);
    const writers = cluster.write();
    const { first, second, members, folder } = cluster;
    const leader = await cluster.leader();
    await folder.write("seconds", "6");
    await first.kill();
    await cluster.triggered(({ event, what }) => event === "failover" && what === "begin");
    leader.proxy.signal("SIGWINCH");
    await serve(members, second.name);
    leader.proxy.signal("SIGWINCH");
    const ended = (await cluster.triggers()).filter(({ what }) => what === "end");
    assertEquals(ended.map(({ event }) => event), ["start", "failover"]);
    assertEquals(await breaches(cluster, writers), []);
  },
);

clusterTest("etcd may lose a member, also the one that leads it", async () => {
  await using cluster = await ProxyCluster.start(2, LONG_LEASE);
  const writers = cluster.write();
  const { first, second, members, etcd } = cluster;
  for (const member of etcd.members) {
    await member.kill();
    await etcd.answers(etcd.members.filter((each) => each !== member));
    member.start();
    await etcd.answers();
  }
  await first.kill();
  await serve(members, second.name);
  assertEquals(await breaches(cluster, writers), []);
});

clusterTest(
  "a proxy that alone sees the active upstream down says so, and it stays active",
  async () => {
    await using cluster = await ProxyCluster.start(3, LONG_LEASE);
    const writers = cluster.write();
    const { first, members, folder } = cluster;
    const leader = await cluster.leader();
    await folder.write(`cut-${members.indexOf(leader)}-${first.name}`, "");
    await leader.proxy.event("failover.contested", { upstream: first.name });
    await serve(members, first.name);
    const other = members.find((each) => each !== leader)!;
    await folder.write(`cut-${members.indexOf(other)}-${first.name}`, "");
    const { second } = cluster;
    await serve(members, second.name);
    assertEquals(await breaches(cluster, writers), []);
  },
);

clusterTest("an order given to any proxy counts for all", async () => {
  await using cluster = await ProxyCluster.start(2, LONG_LEASE);
  const writers = cluster.write();
  const { second, members } = cluster;
  const leader = await cluster.leader();
  const follower = members.find((each) => each !== leader)!;
  assertEquals((await follower.control.order("pause?reason=works&wait=true"))[0], 200);
  for (const { proxy } of members) {
    const { by, reason } = await proxy.event("service.paused");
    assertMatch(by, /uid=\d+ pid=\d+ .* at \S+|at /);
    assertEquals(reason, "works");
  }
  assertEquals((await follower.control.order("resume?wait=true"))[0], 200);
  for (const { proxy } of members) await proxy.event("service.resumed");
  const [status, answer] = await follower.control.order(`switchover?to=${second.name}&wait=true`);
  assertEquals([status, answer.outcome], [200, "finished"], JSON.stringify(answer));
  await serve(members, second.name);
  const [refused, why] = await follower.control.order("switchover?to=nobody:1&wait=true");
  assertEquals([refused, why.outcome], [409, "refused"]);
  assertEquals(await breaches(cluster, writers), []);
});

clusterTest("a proxy with another list of upstreams is seen and said", async () => {
  await using cluster = await ProxyCluster.start(1);
  const { first, members } = cluster;
  const other = await cluster.add({}, [first]);
  const { what } = await members[0]!.proxy.event("proxy.differs");
  assertEquals(what, `its upstreams are ${first.name}`);
  await other.proxy.event("proxy.differs");
});
