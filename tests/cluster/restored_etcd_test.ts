/** An etcd that was restored from an old copy: real proxies, and a real etcd that goes back in time. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { ETCD, ETCDCTL } from "../harness/etcd.ts";
import { testWithPrograms } from "../harness/scenario.ts";
import { untilTrue, withTestDeadline } from "../harness/test_deadline.ts";
import { SmallCluster, type SmallMember } from "./testing/small_cluster.ts";

const NEEDS = [
  ...ETCD === undefined ? ["etcd"] : [],
  ...ETCDCTL === undefined ? ["etcdctl"] : [],
];
const PREFIX = "/failover/v1/test/tcp/";

async function etcdctl(args: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await withTestDeadline(
    "etcdctl",
    new Deno.Command(ETCDCTL!, { args: ["--command-timeout=20s", ...args] }).output(),
  );
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

/** A cluster of two proxies that remember, whose etcd has a copy of the time before the failover to the second server. */
async function scene() {
  await using stack = new AsyncDisposableStack();
  const cluster = stack.use(await SmallCluster.start(0, {}, { hasTrigger: true }));
  const { etcd, folder, first, second } = cluster;
  const ctl = (...args: string[]) => etcdctl([`--endpoints=${etcd.endpoints[0]}`, ...args]);
  const start = async () => {
    for (const number of [0, 1]) await cluster.add({ "state-dir": folder.at(`state-${number}`) });
  };
  const write = async (count: number) => {
    for (let number = 0; number < count; number++) await ctl("put", "filler", String(number));
  };
  await start();
  await cluster.serve(first);
  const peer = /http:[^ ,]+/.exec(await ctl("member", "list"))![0];
  await ctl("snapshot", "save", folder.at("copy"));
  await write(30);
  await first.kill();
  await cluster.serve(second);
  await first.restart();
  const owned = stack.move();
  return {
    ...{ cluster, ctl, write, start },
    stop: async () => {
      for (const { proxy } of cluster.members.splice(0)) assertEquals(await proxy.stop(), 0);
    },
    restore: async () => {
      const [member] = etcd.members;
      await member!.kill();
      await Deno.remove(etcd.folder.at("m0"), { recursive: true });
      await etcdctl([
        ...["snapshot", "restore", folder.at("copy"), "--data-dir", etcd.folder.at("m0")],
        ...["--name", "m0", "--initial-cluster", `m0=${peer}`],
        ...["--initial-advertise-peer-urls", peer],
      ]);
      member!.start();
      await etcd.answers();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** It says that etcd is an old copy, and serves on. */
async function refuses(cluster: SmallCluster, member: SmallMember): Promise<void> {
  const { second } = cluster;
  const { proxy, state } = member;
  await proxy.event("coordinator.lost");
  // A loss is reported once, and it may have been noticed while etcd was not running yet.
  const isRefused = async () =>
    /restored from an old copy/.test((await state()).cluster.coordinator_trouble ?? "");
  await untilTrue("etcd to be refused", isRefused, proxy.lastLines);
  await cluster.serve(second, [member]);
  assertEquals(await proxy.ask(), "second");
  const { cluster: { role, coordinator_trouble: trouble } } = await state();
  assertEquals(role, "cut_off");
  assertMatch(trouble ?? "", /restored from an old copy/);
}

testWithPrograms(
  "cluster: an etcd that goes back in time is refused by proxies that run",
  NEEDS,
  async () => {
    await using it = await scene();
    const { cluster, restore } = it;
    await restore();
    for (const member of cluster.members) await refuses(cluster, member);
    assertEquals(await cluster.runs(), ["start", "failover"]);
  },
);

testWithPrograms(
  "cluster: an etcd that goes back in time is refused after a restart, too, and fences do not go down",
  NEEDS,
  async () => {
    await using it = await scene();
    const { cluster, ctl, restore, start, stop, write } = it;
    const { first, second, members } = cluster;
    await stop();
    await restore();
    await start();
    for (const member of members) await refuses(cluster, member);
    // Its revisions are as high as before, but what it says of the decision is old.
    await write(60);
    for (const member of members) await refuses(cluster, member);
    for (const { proxy } of members) assertEquals(proxy.events("coordinator.reached"), []);
    await ctl("del", `${PREFIX}decision`);
    for (const { proxy } of members) await proxy.event("coordinator.reached");
    await cluster.serve(second);
    await second.kill();
    await cluster.serve(first);
    assertEquals(await cluster.runs(), ["start", "failover", "failover"]);
  },
);
