/** Proxies that come, go and differ: real processes and a real etcd. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { runCommand } from "../harness/command.ts";
import { ETCD } from "../harness/etcd.ts";
import { Folder } from "../harness/folder.ts";
import { testWithPrograms } from "../harness/scenario.ts";
import { copyTree } from "./testing/copied_tree.ts";
import { SmallCluster, type SmallMember } from "./testing/small_cluster.ts";

function memberTest(name: string, run: () => Promise<void>): void {
  testWithPrograms(`cluster: ${name}`, ["prlimit", ...ETCD === undefined ? ["etcd"] : []], run);
}

memberTest("a proxy of another version is seen and said, and works with the others", async () => {
  await using folder = await Folder.make();
  const main = await copyTree(folder, { version: "9.9.9" });
  await using cluster = await SmallCluster.start(1);
  const { first, second, members: [one] } = cluster;
  const other = await cluster.add({}, main);
  const { what } = await one!.proxy.event("proxy.differs");
  assertMatch(what, /^its version is 9\.9\.9, and this one is \d/);
  const { what: back } = await other.proxy.event("proxy.differs");
  assertMatch(back, /^its version is \d.*, and this one is 9\.9\.9$/);
  const { cluster: { proxies } } = await one!.state();
  const versions = proxies.map(({ version, differs }) => [version === "9.9.9", differs !== null]);
  assertEquals(versions.sort(), [[false, false], [true, true]]);
  await first.kill();
  await cluster.serve(second);
});

memberTest("fences and epochs grow over a restart of all proxies, and of etcd", async () => {
  await using cluster = await SmallCluster.start(2, {}, { hasTrigger: true });
  const { first, second, members, etcd } = cluster;
  await first.kill();
  await cluster.serve(second);
  for (const { proxy } of members.splice(0)) assertEquals(await proxy.stop(), 0);
  await etcd.members[0]!.kill();
  etcd.members[0]!.start();
  await etcd.answers();
  await first.restart();
  for (let count = 0; count < 2; count++) await cluster.add();
  // What was decided stays, although the first server works again.
  await cluster.serve(second);
  assertEquals(await cluster.runs(), ["start", "failover"]);
  await second.kill();
  await cluster.serve(first);
  assertEquals(await cluster.runs(), ["start", "failover", "failover"]);
});

memberTest("two clusters in one etcd know nothing of each other", async () => {
  await using cluster = await SmallCluster.start(1, {}, { hasTrigger: true });
  const { first, second, members: [one], coordinator } = cluster;
  const other = await cluster.add({ coordinator: `${coordinator}.2` });
  await cluster.serve(first);
  for (const { state } of [one!, other]) {
    const { cluster: { role, proxies } } = await state();
    assertEquals([role, proxies.length], ["leads", 1]);
  }
  const [status] = await one!.control.order("pause?wait=true");
  assertEquals(status, 200);
  await first.kill();
  await cluster.serve(second, [other]);
  await one!.proxy.event("failover.withheld", { upstream: first.name });
  assertEquals((await one!.state()).active, first.name);
  assertEquals(other.proxy.events("service.paused"), []);
  assertEquals((await one!.control.order("resume?wait=true"))[0], 200);
  await cluster.serve(second, [one!]);
  const runs = (await cluster.folder.read("runs")).trim().split("\n");
  assertEquals(runs.map((line) => line.split(" ")[0]).sort(), [
    ...["failover", "failover"],
    ...["start", "start"],
  ]);
});

memberTest("without etcd, log, status, metrics, page and state of each proxy say so", async () => {
  await using cluster = await SmallCluster.start(2);
  const { etcd, members } = cluster;
  const metric = async ({ control }: SmallMember, name: string) => {
    const text = await (await control.get("metrics")).text();
    return Number(new RegExp(`^${name}\\{service="tcp"\\} (\\S+)$`, "m").exec(text)?.[1]);
  };
  for (const member of members) {
    assertEquals(await metric(member, "failover_coordinator_reachable"), 1);
    assert(await metric(member, "failover_lease_left_seconds") > 0);
  }
  await etcd.members[0]!.kill();
  for (const member of members) {
    const { proxy, control, state } = member;
    const { message, level } = await proxy.event("coordinator.lost");
    assertEquals(level, "error");
    assertStringIncludes(message, "NOTHING IS PROMOTED");
    const { out } = await runCommand(["status", "--control", control.path]);
    assertStringIncludes(out, "ETCD CANNOT BE REACHED");
    assertStringIncludes(out, "NOT READY");
    for (const name of ["coordinator_reachable", "lease_left_seconds", "ready"]) {
      assertEquals([name, await metric(member, `failover_${name}`)], [name, 0]);
    }
    const page = await (await control.get("")).text();
    assertMatch(page, /etcd cannot be used.*nothing is promoted/);
    const { ready, cluster: { role, coordinator_trouble: trouble } } = await state();
    assertEquals([ready, role], [false, "cut_off"]);
    assert(trouble !== null);
    assertEquals(await proxy.ask(), "first");
  }
});

for (const role of ["leads", "follows"] as const) {
  memberTest(
    `a proxy that ${role} and gets no descriptor hinders no other, and follows later`,
    async () => {
      // One that leads and cannot ask etcd any more must lose its lease.
      await using cluster = await SmallCluster.start(2, { "coordinator-lease": "5s" });
      const { first, second, members } = cluster;
      const { leader, followers } = await cluster.roles();
      const poor = role === "leads" ? leader : followers[0]!;
      const { pid } = poor.proxy;
      const limit = async (count: number) => {
        const args = ["--pid", String(pid), `--nofile=${count}:`];
        assert((await new Deno.Command("prlimit", { args }).output()).success);
      };
      // Not one more than it has; what it closes it may open again.
      await limit([...Deno.readDirSync(`/proc/${pid}/fd`)].length);
      await first.kill();
      await cluster.serve(second, members.filter((each) => each !== poor));
      await limit(10_000);
      await cluster.serve(second);
    },
  );
}
