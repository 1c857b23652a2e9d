/** The faults that schedules are made of. What they need of a cluster is in `scene.ts`. */
import { AIMED } from "./aimed_faults.ts";
import { ORDERS } from "./order_faults.ts";
import { PROXIES, type Scene } from "./scene.ts";
import { slowDisk } from "./slow_disk.ts";

/** Ends a fault. */
export type End = () => Promise<void> | void;

/** One kind of fault. */
export interface Fault {
  /** Only with this kind of servers; with both if it is missing. */
  readonly only?: "postgres" | "recorders";
  /** Begins it; resolves with what ends it, or with undefined if it cannot happen now. */
  begin(scene: Scene): Promise<End | undefined> | End | undefined;
}

/** The faults, by their words in the table. */
export const FAULTS: Readonly<Record<string, Fault>> = {
  "a server dies (kill -9) and comes back": {
    async begin({ cluster, dice }) {
      const server = dice.once(3) ? cluster.second : cluster.first;
      await server.kill();
      return () => server.start();
    },
  },
  "both servers die (kill -9) and come back": {
    async begin({ cluster: { first, second } }) {
      await Promise.all([first.kill(), second.kill()]);
      return async () => {
        await Promise.all([first.start(), second.start()]);
      };
    },
  },
  "a server is stopped, then continued": {
    only: "postgres",
    async begin({ dice, postgres }) {
      const server = dice.once(3) ? postgres!.second : postgres!.first;
      await server.freeze();
      return () => server.thaw();
    },
  },
  "a proxy cannot reach etcd": {
    begin(scene) {
      const member = scene.anyProxy();
      member.cut();
      return () => member.heal();
    },
  },
  "a proxy cannot reach etcd one way": {
    begin(scene) {
      const member = scene.anyProxy();
      member.cut(scene.dice.once(2) ? "there" : "back");
      return () => member.heal();
    },
  },
  "a proxy sees a server down that others see up": {
    only: "recorders",
    async begin({ cluster, dice }) {
      const server = dice.once(2) ? cluster.second : cluster.first;
      const name = `cut-${dice.under(PROXIES)}-${server.name}`;
      await cluster.folder.write(name, "");
      return () => Deno.remove(cluster.folder.at(name)).catch(() => {});
    },
  },
  "a proxy cannot reach one server": {
    only: "postgres",
    begin(scene) {
      const way = scene.dice.pick(scene.anyProxy().serverWays);
      way.cut();
      return () => way.heal();
    },
  },
  "a proxy cannot reach any server": {
    only: "postgres",
    begin(scene) {
      const { serverWays } = scene.anyProxy();
      for (const way of serverWays) way.cut();
      return () => {
        for (const way of serverWays) way.heal();
      };
    },
  },
  "a partition: etcd, proxies and servers in halves": {
    only: "postgres",
    begin: (scene) => scene.splitInHalves(),
  },
  "a member of etcd is cut off from the others": {
    only: "postgres",
    begin(scene) {
      const number = scene.dice.under(3);
      return scene.cutAll(scene.peerWaysOf(number));
    },
  },
  "SIGSTOP of a proxy, then SIGCONT": {
    begin(scene) {
      const { proxy } = scene.anyProxy();
      proxy.signal("SIGSTOP");
      return () => proxy.signal("SIGCONT");
    },
  },
  "the clock of a proxy jumps an hour ahead, then back": {
    begin(scene) {
      const { proxy } = scene.anyProxy();
      proxy.signal("SIGWINCH");
      return () => proxy.signal("SIGWINCH");
    },
  },
  "kill -9 of a proxy, then a new one": {
    begin: (scene) => scene.killProxy(scene.anyProxy()),
  },
  "a member of etcd dies (kill -9) and comes back": {
    async begin({ cluster, dice }) {
      const member = cluster.etcd.members[dice.under(3)]!;
      await member.kill();
      return () => member.start();
    },
  },
  "the member that leads etcd dies (kill -9) and comes back": {
    async begin({ cluster }) {
      const member = await cluster.history.leadingMember();
      if (member === undefined) return undefined;
      await member.kill();
      return () => member.start();
    },
  },
  "a member of etcd is stopped, then continued": {
    async begin({ cluster, dice }) {
      const member = cluster.etcd.members[dice.under(3)]!;
      await member.freeze();
      return () => member.thaw();
    },
  },
  "all of etcd is stopped, then continued": {
    async begin({ cluster }) {
      await Promise.all(cluster.etcd.members.map((member) => member.freeze()));
      return () => {
        for (const member of cluster.etcd.members) member.thaw();
      };
    },
  },
  "all of etcd dies (kill -9) and comes back": {
    async begin({ cluster }) {
      await Promise.all(cluster.etcd.members.map((member) => member.kill()));
      return () => {
        for (const member of cluster.etcd.members) member.start();
      };
    },
  },
  "slow disk: each fsync of one member of etcd takes 0.3 s": {
    begin: (scene) => slowDisk([scene.cluster.etcd.members[scene.dice.under(3)]!]),
  },
  "slow disk: each fsync of all of etcd takes 0.3 s": {
    begin: ({ cluster }) => slowDisk(cluster.etcd.members),
  },
  ...AIMED,
  ...ORDERS,
};
