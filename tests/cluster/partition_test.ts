/**
 * Partitions between machines, each in a network namespace of its own: packets are lost, so that connections hang
 * instead of being closed. Three members of etcd, two or three proxies, and a server that all of them reach.
 */
import { assertEquals } from "@std/assert";
import { Control } from "../harness/control.ts";
import { ETCD, EtcdCluster } from "../harness/etcd.ts";
import { Folder } from "../harness/folder.ts";
import type { Flags, Proxy } from "../harness/proxy.ts";
import { spawnProxy } from "../harness/proxy.ts";
import { mayRoute, RoutedNetworks } from "../harness/routed_networks.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startUpstream, type UpstreamProcess } from "../harness/upstream.ts";

const ignore = ETCD === undefined || !mayRoute();
const ETCDS = ["e0", "e1", "e2"];

interface State {
  readonly active: string | null;
  readonly admission: string;
  readonly cluster: { readonly role: string };
  readonly upstreams: readonly {
    readonly verdict: string;
    readonly last_results: readonly { readonly passed: boolean }[];
  }[];
}

interface Machine {
  readonly name: string;
  readonly proxy: Proxy;
  state(): Promise<State>;
}

/** All machines: those of etcd, two servers, and `count` proxies. */
async function scene(count: number, flags: Flags = {}) {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await Folder.make());
  const names = Array.from({ length: count }, (_, index) => `p${index}`);
  const net = stack.use(await RoutedNetworks.make(...ETCDS, "a", "b", ...names));
  const etcd = stack.use(
    await EtcdCluster.start(3, {
      hosts: ETCDS.map((each) => net.address(each)),
      unders: ETCDS.map((each) => net.command(each)),
    }),
  );
  const serverOf = async (name: string): Promise<UpstreamProcess> => {
    const listen = { transport: "tcp", hostname: net.address(name), port: 0 } as const;
    return stack.use(await startUpstream({ says: name, listen }, net.command(name)));
  };
  const [a, b] = [await serverOf("a"), await serverOf("b")];
  const trigger = await folder.script(
    "trigger.sh",
    `echo "$FAILOVER_EVENT $FAILOVER_TO $FAILOVER_EPOCH $FAILOVER_FENCE" >>${folder.at("runs")}`,
  );
  const members = etcd.members.map(({ address }) => address).join(",");
  const machines: Machine[] = [];
  for (const name of names) {
    const control = stack.use(await Control.make());
    const proxy = stack.use(spawnProxy({
      upstreams: [a, b],
      bind: `unix:${folder.at(name)}`,
      under: net.command(name),
      flags: {
        ...{ "coordinator": `etcd://${members}/test`, "coordinator-lease": "5s" },
        ...{ "hold": "30s", "control": control.path, "on-failover": trigger },
        ...{ "check-timeout": "500ms", "connect-timeout": "500ms", ...flags },
      },
    }));
    machines.push({
      name,
      proxy,
      state: async () => await (await control.get("state")).json(),
    });
  }
  const it = { net, etcd, a, b, machines, folder };
  await all(machines, ({ active, admission }) => active === a.name && admission === "open");
  const owned = stack.move();
  return { ...it, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Resolves when the state of each machine is as wanted. */
async function all(machines: readonly Machine[], isWanted: (s: State) => boolean): Promise<void> {
  let last: unknown;
  const search = async () => {
    for (const { name, state } of machines) {
      for (;;) {
        const found = await state().catch(() => undefined);
        if (found !== undefined && isWanted(found)) break;
        last = { name, found };
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  };
  await withTestDeadline("the machines to be as wanted", search(), () => JSON.stringify(last));
}

const serve = ({ name }: { readonly name: string }) => ({ active, admission }: State) =>
  active === name && admission === "open";

async function leaderOf(machines: readonly Machine[]): Promise<Machine> {
  const search = async () => {
    for (;;) {
      for (const machine of machines) {
        if ((await machine.state()).cluster.role === "leads") return machine;
      }
    }
  };
  return await withTestDeadline("a proxy that leads", search());
}

/** The epochs and fences of all triggers, which must grow, and their number. */
async function runs(folder: Folder): Promise<string[]> {
  const lines = (await folder.read("runs")).trim().split("\n").map((line) => line.split(" "));
  for (const column of [2, 3]) {
    const numbers = lines.map((line) => Number(line[column]));
    assertEquals(numbers, [...new Set(numbers)].sort((x, y) => x - y));
  }
  return lines.map(([event]) => event!);
}

const test = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name: `partition: ${name}`, ignore, fn });

for (const way of ["both ways", "on the way to it", "on the way back"]) {
  test(`packets between the leader and etcd are lost ${way}`, async () => {
    await using it = await scene(2);
    const { net, a, b, machines, folder } = it;
    const leader = await leaderOf(machines);
    const others = machines.filter((each) => each !== leader);
    if (way !== "on the way back") await net.lose([leader.name], ETCDS);
    if (way !== "on the way to it") await net.lose(ETCDS, [leader.name]);
    await leader.proxy.event("coordinator.lost");
    await all(others, ({ cluster }) => cluster.role === "leads");
    assertEquals((await leader.state()).cluster.role, "cut_off");
    assertEquals(await leader.proxy.ask(), "a");
    await a.kill();
    await all(others, serve(b));
    await net.heal();
    await leader.proxy.event("coordinator.reached");
    await all(machines, serve(b));
    for (const { proxy } of machines) assertEquals(await proxy.ask(), "b");
    assertEquals(await runs(folder), ["start", "failover"]);
  });
}

test("halves: the side with most members of etcd decides, the other one promotes nothing", async () => {
  await using it = await scene(3);
  const { net, a, b, machines, folder } = it;
  const leader = await leaderOf(machines);
  const others = machines.filter((each) => each !== leader);
  // The leader is on the small side, with one member of etcd and the server that works for it.
  await net.part([leader.name, "e0", "a"], ["e1", "e2", "b", ...others.map(({ name }) => name)]);
  await leader.proxy.event("coordinator.lost");
  await all(others, serve(b));
  assertEquals((await leader.state()).active, a.name);
  assertEquals(leader.proxy.events("promotion.started", { to: b.name }), []);
  await net.heal();
  await all(machines, serve(b));
  assertEquals(await runs(folder), ["start", "failover"]);
});

test("of two proxies, the one whose clients fail is believed, unless it reaches no server at all", async () => {
  await using it = await scene(2);
  const { net, a, b, machines } = it;
  const [one, other] = machines as [Machine, Machine];
  await net.part([one.name], ["a", "b"]);
  // Its clients fail, because of its own network.
  const first = one.proxy.ask();
  // It is awaited late.
  first.catch(() => {});
  await one.proxy.event("failover.contested", { upstream: a.name });
  await one.proxy.event("clients.held");
  await all([other], serve(a));
  await net.heal();
  await all(machines, serve(a));
  assertEquals(await first, "a");
  for (const { proxy } of machines) {
    assertEquals(proxy.events("promotion.started").filter(({ move }) => move !== "start"), []);
  }
  // Now it reaches another server, and only its clients use the one that it does not reach.
  await all(
    [one],
    ({ upstreams }) =>
      upstreams.every(({ verdict, last_results }) =>
        verdict === "up" && last_results.at(-1)!.passed
      ),
  );
  await net.part([one.name], ["a"]);
  const second = one.proxy.ask();
  second.catch(() => {});
  await all(machines, serve(b));
  assertEquals(await second, "b");
});
