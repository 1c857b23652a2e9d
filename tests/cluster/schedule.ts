/**
 * A random schedule of faults against real proxies and real etcd, by seed: faults come and go, also several at one
 * time, while a client writes through each proxy. At the end all faults are over, and service must come back.
 */
import { Dice } from "../../src/base/testing/dice.ts";
import { LEASE_MS, ProxyCluster } from "./proxy_cluster.ts";
import type { Writer } from "./writer.ts";

/** How long faults happen, in milliseconds. */
const FAULTS_MS = 25_000;
/** Service must be back so long after the last fault has ended, in milliseconds. */
export const BACK_MS = 30_000;
const PROXIES = 3;

/** What one fault does, and how it ends. */
interface Effect {
  begin(cluster: ProxyCluster, dice: Dice): Promise<() => Promise<void> | void>;
}

/** A proxy that runs, or undefined if that one is stopped or dead by another fault. */
function pick(cluster: ProxyCluster, dice: Dice) {
  return cluster.members[dice.under(PROXIES)]!;
}

/** The faults, by their words in the table. */
export const SCHEDULED: Readonly<Record<string, Effect>> = {
  "an upstream dies (kill -9) and comes back": {
    async begin(cluster, dice) {
      const server = dice.once(3) ? cluster.second : cluster.first;
      await server.kill();
      return () => server.start();
    },
  },
  "a proxy cannot reach etcd": {
    begin(cluster, dice) {
      const member = pick(cluster, dice);
      member.cut();
      return Promise.resolve(() => member.heal());
    },
  },
  "a proxy cannot reach etcd one way": {
    begin(cluster, dice) {
      const member = pick(cluster, dice);
      member.cut(dice.once(2) ? "there" : "back");
      return Promise.resolve(() => member.heal());
    },
  },
  "a proxy sees an upstream down that others see up": {
    async begin(cluster, dice) {
      const server = dice.once(2) ? cluster.second : cluster.first;
      const name = `cut-${dice.under(PROXIES)}-${server.name}`;
      await cluster.folder.write(name, "");
      return () => Deno.remove(cluster.folder.at(name)).catch(() => {});
    },
  },
  "SIGSTOP of a proxy, then SIGCONT": {
    begin(cluster, dice) {
      const { proxy } = pick(cluster, dice);
      proxy.signal("SIGSTOP");
      return Promise.resolve(() => proxy.signal("SIGCONT"));
    },
  },
  "the clock of a proxy jumps an hour ahead, then back": {
    begin(cluster, dice) {
      const { proxy } = pick(cluster, dice);
      proxy.signal("SIGWINCH");
      return Promise.resolve(() => proxy.signal("SIGWINCH"));
    },
  },
  "kill -9 of a proxy, then a new one": {
    async begin(cluster, dice) {
      const number = dice.under(PROXIES);
      const { proxy } = cluster.members[number]!;
      proxy.signal("SIGKILL");
      await proxy.ended;
      return async () => void await cluster.restart(number);
    },
  },
  "a member of etcd dies (kill -9) and comes back": {
    async begin(cluster, dice) {
      const member = cluster.etcd.members[dice.under(3)]!;
      await member.kill();
      return () => member.start();
    },
  },
  "a member of etcd is stopped, then continued": {
    begin(cluster, dice) {
      const member = cluster.etcd.members[dice.under(3)]!;
      member.freeze();
      return Promise.resolve(() => member.thaw());
    },
  },
  "all of etcd is stopped, then continued": {
    begin(cluster) {
      for (const member of cluster.etcd.members) member.freeze();
      return Promise.resolve(() => {
        for (const member of cluster.etcd.members) member.thaw();
      });
    },
  },
};

/** What one schedule showed. */
export interface Outcome {
  readonly seed: number;
  /** The faults that began, in order. */
  readonly faults: readonly string[];
  readonly breaches: readonly string[];
  /** How long it took from the end of the last fault until clients of all proxies wrote again. */
  readonly backMs: number;
  readonly promotions: number;
  readonly acknowledged: number;
}

/** Runs the schedule of `seed`. */
export async function runSchedule(seed: number): Promise<Outcome> {
  const dice = new Dice(seed);
  await using cluster = await ProxyCluster.start(PROXIES);
  const writers = cluster.write();
  await cluster.folder.write("seconds", dice.pick(["0.1", "1", "3"]));
  const faults = await happen(cluster, dice);
  const backMs = await untilBack(writers);
  const breaches = await cluster.breaches();
  if (backMs > BACK_MS) breaches.push(`service was not back after ${BACK_MS} ms`);
  const triggers = await cluster.triggers();
  return {
    ...{ seed, faults, breaches, backMs },
    promotions: triggers.filter(({ what }) => what === "begin").length,
    acknowledged: writers.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0),
  };
}

/** Lets faults come and go; resolves when all have ended. */
async function happen(cluster: ProxyCluster, dice: Dice): Promise<string[]> {
  const faults: string[] = [];
  const underWay = new Map<string, Promise<void>>();
  const names = Object.keys(SCHEDULED);
  const endsAt = performance.now() + FAULTS_MS;
  while (performance.now() < endsAt) {
    const name = dice.pick(names);
    const lastsMs = 500 + dice.fraction() * 2 * LEASE_MS;
    if (!underWay.has(name)) {
      faults.push(name);
      const end = await SCHEDULED[name]!.begin(cluster, dice);
      const over = pause(lastsMs).then(end).finally(() => underWay.delete(name));
      underWay.set(name, over);
    }
    await pause(500 + dice.fraction() * 5_000);
  }
  await Promise.all(underWay.values());
  return faults;
}

/** How long it takes until a client of each proxy has written; more than `BACK_MS` if it does not. */
async function untilBack(writers: readonly Writer[]): Promise<number> {
  const since = performance.now();
  const isBack = () => writers.every(({ silentMs }) => performance.now() - silentMs > since);
  while (!isBack() && performance.now() - since <= BACK_MS) await pause(50);
  return performance.now() - since;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
