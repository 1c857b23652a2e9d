/** Two HTTP proxies that share their decisions, whose triggers run beside the traffic. */
import { assert, assertEquals } from "@std/assert";
import { ETCD, EtcdCluster } from "../harness/etcd.ts";
import { Folder } from "../harness/folder.ts";
import { testWithPrograms } from "../harness/scenario.ts";
import { NEEDS_FOR_HOSTS, underHosts } from "../harness/hosts.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

import { Way } from "./way.ts";

/** Resolves when the proxy serves `says`. */
async function serves(proxy: WebProxy, says: string): Promise<void> {
  const asking = async () => {
    for (;;) {
      const { status, text } = await proxy.get("/");
      if (status === 200 && text.includes(says)) return;
    }
  };
  await withTestDeadline(`${says} to be served`, asking(), proxy.lastLines);
}

testWithPrograms(
  "HTTP proxies of a cluster move and return together, and one of them runs the trigger",
  [
    ...ETCD === undefined ? ["etcd"] : [],
  ],
  async () => {
    await using folder = await Folder.make();
    const trigger = await folder.script(
      "trigger.sh",
      `echo "$FAILOVER_EVENT $FAILOVER_EPOCH" >>runs`,
    );
    await using etcd = await EtcdCluster.start(1);
    await using primary = await WebUpstream.start("primary");
    await using backup = await WebUpstream.start("backup");
    const flags = {
      ...{ "coordinator": `etcd://${etcd.members[0]!.address}/test`, "coordinator-lease": "30s" },
      ...{ "on-failover": trigger, "failback": "auto", "recover-threshold": "1" },
    };
    const options = { primary, backups: [backup], flags };
    await using one = await startWebProxy(options);
    await using other = await startWebProxy(options, "decision.followed");
    for (const proxy of [one, other]) await serves(proxy, "primary");
    await primary.kill();
    for (const proxy of [one, other]) await serves(proxy, "backup");
    await primary.restart();
    for (const proxy of [one, other]) await serves(proxy, "primary");
    const runs = (await folder.read("runs")).trim().split("\n").map((line) => line.split(" "));
    assertEquals(runs.map(([event]) => event), ["start", "failover", "failback"]);
    const epochs = runs.map(([, epoch]) => Number(epoch));
    assert(epochs.every((epoch, index) => index === 0 || epoch > epochs[index - 1]!));
  },
);

testWithPrograms(
  "with decide-alone, HTTP proxies without etcd decide each for itself, and agree again when it is back",
  [
    ...ETCD === undefined ? ["etcd"] : [],
  ],
  async () => {
    await using etcd = await EtcdCluster.start(1);
    await using primary = await WebUpstream.start("primary");
    await using backup = await WebUpstream.start("backup");
    const flags = {
      ...{ "coordinator": `etcd://${etcd.members[0]!.address}/test`, "coordinator-lease": "5s" },
      ...{ "without-coordinator": "decide-alone", "failback": "never" },
    };
    const options = { primary, backups: [backup], flags };
    await using one = await startWebProxy(options);
    await using other = await startWebProxy(options, "decision.followed");
    await etcd.members[0]!.kill();
    for (const proxy of [one, other]) {
      await proxy.event("coordinator.lost");
      await proxy.event("coordinator.ignored");
      await serves(proxy, "primary");
    }
    await primary.kill();
    for (const proxy of [one, other]) await serves(proxy, "backup");
    etcd.members[0]!.start();
    const reached = await Promise.all(
      [one, other].map((proxy) => proxy.event("coordinator.reached")),
    );
    await Promise.any(
      [one, other].map((proxy, index) => proxy.event("lead.taken", {}, reached[index])),
    );
    for (const proxy of [one, other]) await serves(proxy, "backup");
  },
);

for (const role of ["leads", "follows"] as const) {
  testWithPrograms(
    `an HTTP proxy that ${role} and reaches no server says so, answers by an error, and moves nobody`,
    [...ETCD === undefined ? ["etcd"] : [], ...NEEDS_FOR_HOSTS],
    async () => {
      await using stack = new AsyncDisposableStack();
      const folder = stack.use(await Folder.make());
      const etcd = stack.use(await EtcdCluster.start(1));
      const primary = stack.use(await WebUpstream.start("primary"));
      const backup = stack.use(await WebUpstream.start("backup"));
      const flags = {
        ...{ "coordinator": `etcd://${etcd.members[0]!.address}/test`, "coordinator-lease": "30s" },
        "hold": "1s",
      };
      // Each proxy reaches the servers by their names, on a way of its own.
      const start = async (number: number, until: "promotion.finished" | "decision.followed") => {
        const places = [primary, backup].map(({ address, says }, index) => {
          const hostname = `127.79.${number + 1}.${index + 1}`;
          return { address, says, at: { hostname, port: Number(address.split(":")[1]) } };
        });
        const names = Object.fromEntries(
          places.map(({ says, at }) => [`${says}.test`, at.hostname]),
        );
        const ways: Way[] = [];
        const heal = () => void ways.push(...places.map(({ address, at }) => new Way(address, at)));
        // The backup first: a proxy that has lost only the primary has a reason to move.
        const cut = async () => {
          for (const way of ways.splice(0).reverse()) await way[Symbol.asyncDispose]();
        };
        stack.defer(cut);
        heal();
        const under = await underHosts(folder, `hosts-${number}`, names);
        const named = ({ url, says }: WebUpstream) => ({
          url: url.replace("127.0.0.1", `${says}.test`),
        });
        const options = { primary: named(primary), backups: [named(backup)], flags, under };
        const proxy = stack.use(await startWebProxy(options, until));
        const upstreams = [...options.backups, options.primary].map(({ url }) => url);
        return { proxy, upstreams, cut, heal };
      };
      const leader = await start(0, "promotion.finished");
      const follower = await start(1, "decision.followed");
      const [one, other] = role === "leads" ? [leader, follower] : [follower, leader];
      for (const { proxy } of [one, other]) await serves(proxy, "primary");
      await one.cut();
      // Both are down for it, also on a busy machine, before a client asks and before the ways are back.
      for (const upstream of one.upstreams) await one.proxy.event("upstream.down", { upstream });
      await one.proxy.event("failover.contested");
      const { status } = await one.proxy.get("/");
      assert(status >= 502 && status <= 504, String(status));
      await other.proxy.event("lead.taken");
      await serves(other.proxy, "primary");
      one.heal();
      for (const { proxy } of [one, other]) await serves(proxy, "primary");
      const moves = [one, other].flatMap(({ proxy }) => proxy.events("promotion.started"));
      assertEquals(moves.map(({ move }) => move), ["start"]);
    },
  );
}
