/**
 * Machines in network namespaces of their own: three members of etcd, two servers, and some proxies. Packets between
 * them can be lost, so that connections hang instead of being closed.
 */
import { assertEquals } from "@std/assert";
import { Control } from "../../harness/control.ts";
import { ETCD, EtcdCluster } from "../../harness/etcd.ts";
import { Folder } from "../../harness/folder.ts";
import type { Flags, Proxy } from "../../harness/proxy.ts";
import { spawnProxy } from "../../harness/proxy.ts";
import { mayRoute, RoutedNetworks } from "../../harness/routed_networks.ts";
import { withTestDeadline } from "../../harness/test_deadline.ts";
import { startUpstream, type UpstreamProcess } from "../../harness/upstream.ts";

/** True where this process may make such machines. */
export const MAY_PART = ETCD !== undefined && mayRoute();
/** The machines of etcd. */
export const ETCDS: readonly string[] = ["e0", "e1", "e2"];

/** What a proxy says of itself, as far as tests look at it. */
export interface State {
  readonly active: string | null;
  readonly admission: string;
  readonly cluster: { readonly role: string };
  readonly upstreams: readonly {
    readonly verdict: string;
    readonly last_results: readonly { readonly passed: boolean }[];
  }[];
}

/** One proxy on its machine. */
export interface Machine {
  readonly name: string;
  readonly proxy: Proxy;
  state(): Promise<State>;
}

/** Starts all machines: those of etcd, two servers, and `count` proxies. */
export async function scene(count: number, flags: Flags = {}) {
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
export async function all(
  machines: readonly Machine[],
  isWanted: (s: State) => boolean,
): Promise<void> {
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

/** Whether a proxy sends its clients to this server. */
export const serve = ({ name }: { readonly name: string }) => ({ active, admission }: State) =>
  active === name && admission === "open";

/** The proxy that leads; waits for one. */
export async function leaderOf(machines: readonly Machine[]): Promise<Machine> {
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
export async function runs(folder: Folder): Promise<string[]> {
  const lines = (await folder.read("runs")).trim().split("\n").map((line) => line.split(" "));
  for (const column of [2, 3]) {
    const numbers = lines.map((line) => Number(line[column]));
    assertEquals(numbers, [...new Set(numbers)].sort((x, y) => x - y));
  }
  return lines.map(([event]) => event!);
}
