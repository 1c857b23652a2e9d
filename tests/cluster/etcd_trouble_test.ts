/** What befalls a cluster when somebody, or etcd itself, treats the keys badly: real proxies and a real etcd. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { ETCD, ETCDCTL } from "../harness/etcd.ts";
import { testWithPrograms } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { SmallCluster } from "./testing/small_cluster.ts";

const PREFIX = "/failover/v1/test/tcp/";
const NEEDS = [
  ...ETCD === undefined ? ["etcd"] : [],
  ...ETCDCTL === undefined ? ["etcdctl"] : [],
];

function troubleTest(name: string, run: () => Promise<void>): void {
  testWithPrograms(`cluster: ${name}`, NEEDS, run);
}

/** Runs etcdctl; resolves with what it says, also if it fails. */
async function etcdctl({ etcd }: SmallCluster, ...args: string[]): Promise<string> {
  const command = new Deno.Command(ETCDCTL!, {
    args: [`--endpoints=${etcd.endpoints[0]}`, "--command-timeout=20s", ...args],
  });
  const { stdout, stderr } = await withTestDeadline("etcdctl", command.output());
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

/** What etcd has under a key of the service. */
async function stored(cluster: SmallCluster, key: string): Promise<Record<string, unknown>> {
  const found = JSON.parse(await etcdctl(cluster, "get", PREFIX + key, "-w", "json"));
  return found.kvs?.[0] ?? {};
}

/** For what must not end a lease: a busy machine may leave a proxy without the processor for seconds. */
const LONG_LEASE = { "coordinator-lease": "60s" };

troubleTest("a lease that is revoked by hand costs the lead, and nothing else", async () => {
  await using cluster = await SmallCluster.start(2, LONG_LEASE, { hasTrigger: true });
  const { first, second, members } = cluster;
  for (let count = 0; count < 5; count++) {
    const { leader: { proxy } } = await cluster.roles();
    const lost = proxy.events("lead.lost").at(-1);
    // A lease is a number of 64 bits, which `JSON.parse` would round.
    const leader = await etcdctl(cluster, "get", `${PREFIX}leader`, "-w", "json");
    const lease = BigInt(/"lease":(\d+)/.exec(leader)![1]!).toString(16);
    assertMatch(await etcdctl(cluster, "lease", "revoke", lease), /revoked/);
    await proxy.event("lead.lost", {}, lost);
    await cluster.all(({ cluster: { leader, proxies } }) =>
      leader !== null && proxies.length === 2
    );
  }
  await first.kill();
  await cluster.serve(second);
  assertEquals(await cluster.runs(), ["start", "failover"]);
  for (const { proxy } of members) assertEquals(proxy.events("coordinator.lost"), []);
});

troubleTest("keys that are deleted by hand are written again", async () => {
  await using cluster = await SmallCluster.start(2, LONG_LEASE, { hasTrigger: true });
  const { first, second } = cluster;
  const before = await stored(cluster, "decision");
  await etcdctl(cluster, "del", "--prefix", PREFIX);
  await cluster.all(({ cluster: { leader, proxies } }) => leader !== null && proxies.length === 2);
  const search = async () => {
    for (;;) {
      const { value } = await stored(cluster, "decision");
      if (value !== undefined) return JSON.parse(atob(String(value)));
    }
  };
  const { to, phase } = await withTestDeadline("the decision to be stored again", search());
  assertEquals([to, phase], [first.name, "done"]);
  assert(before.value !== undefined);
  await first.kill();
  await cluster.serve(second);
  assertEquals(await cluster.runs(), ["start", "failover"]);
});

troubleTest("garbage in keys is ignored, replaced, or said, and decides nothing", async () => {
  await using cluster = await SmallCluster.start(2, {}, { hasTrigger: true });
  const { first, second, members } = cluster;
  const rubbish = ["?", "null", '{"epoch":1e99}', "{".repeat(2_000), "\u0001\uffff"];
  for (const [index, text] of rubbish.entries()) {
    for (const key of ["seen/ghost", `order/${index}`, `outcome/${index}`, "unknown"]) {
      await etcdctl(cluster, "put", "--", PREFIX + key, text);
    }
  }
  await etcdctl(cluster, "put", `${PREFIX}leader`, "ghost");
  await cluster.all(({ cluster: { leader, proxies } }) =>
    leader !== null && leader !== "ghost" && proxies.length === 2
  );
  await etcdctl(cluster, "put", `${PREFIX}decision`, "?");
  for (const { proxy } of members) await proxy.event("coordinator.lost");
  // A loss is said once, and its last call before may have had no answer in time.
  await cluster.all(({ cluster: { coordinator_trouble: trouble } }) =>
    /the stored decision cannot be read/.test(trouble ?? "")
  );
  await first.kill();
  for (const { proxy } of members) await proxy.event("upstream.down", { upstream: first.name });
  assertEquals((await stored(cluster, "decision")).value, btoa("?"));
  await etcdctl(cluster, "del", `${PREFIX}decision`);
  await cluster.serve(second);
  assertEquals((await cluster.runs()).slice(0, 1), ["start"]);
});

troubleTest("compaction and a defragmentation change nothing", async () => {
  await using cluster = await SmallCluster.start(2, LONG_LEASE, { hasTrigger: true });
  const { first, second, members } = cluster;
  const { mod_revision: revision } = await stored(cluster, "decision");
  await etcdctl(cluster, "compact", String(revision));
  await etcdctl(cluster, "defrag");
  await first.kill();
  await cluster.serve(second);
  for (const { proxy } of members) assertEquals(proxy.events("coordinator.lost"), []);
  assertEquals(await cluster.runs(), ["start", "failover"]);
});

troubleTest(
  "etcd without space stores nothing, so nothing is promoted until it has some",
  async () => {
    await using cluster = await SmallCluster.start(2, {}, {
      hasTrigger: true,
      etcdArgs: ["--quota-backend-bytes", String(1 << 18)],
    });
    const { first, second, members } = cluster;
    const filler = "x".repeat(100_000);
    let said = "";
    for (let count = 0; count < 20 && !said.includes("space exceeded"); count++) {
      said = await etcdctl(cluster, "put", `filler${count}`, filler);
    }
    assertMatch(said, /database space exceeded/);
    await first.kill();
    for (const { proxy } of members) await proxy.event("coordinator.lost");
    await cluster.all(({ cluster: { coordinator_trouble: trouble } }) =>
      /database space exceeded/.test(trouble ?? "")
    );
    for (const { proxy } of members) {
      assertEquals(proxy.events("promotion.finished", { to: second.name }), []);
    }
    // Keys can be removed; without that, the alarm would come again.
    await etcdctl(cluster, "del", "--prefix", "filler");
    const { header } = JSON.parse(await etcdctl(cluster, "get", "x", "-w", "json"));
    await etcdctl(cluster, "compact", String(header.revision));
    await etcdctl(cluster, "defrag");
    await etcdctl(cluster, "alarm", "disarm");
    await cluster.serve(second);
    assertEquals(await cluster.runs(), ["start", "failover"]);
  },
);

troubleTest(
  "etcd that stands still for longer than a lease gets what waits late, and one trigger runs for it",
  async () => {
    await using cluster = await SmallCluster.start(1, {}, { hasTrigger: true });
    const { first, second, members: [leader], etcd: { members: [etcd] } } = cluster;
    const { proxy } = leader!;
    await etcd!.freeze();
    await first.kill();
    // The decision waits for its answer; then the lease ends, and the promotion is given up.
    const { id } = await proxy.event("promotion.started", { to: second.name });
    await proxy.event("coordinator.lost");
    await proxy.event("promotion.abandoned", { id });
    assertEquals(await cluster.runs(), ["start"]);
    etcd!.thaw();
    await cluster.serve(second);
    await proxy.event("coordinator.reached");
    // It may have been stored all the same, and is taken up then.
    const runs = await cluster.runs();
    assert(["failover", "resume"].includes(runs[1]!), runs.join());
    assertEquals([runs[0], runs.length], ["start", 2]);
  },
);
