/**
 * A random schedule of faults against real proxies, real etcd and real servers, by seed: faults come and go, also
 * several at one time, while a client writes through each proxy. At the end all faults are over, and service must come
 * back.
 */
import { ETCD } from "../harness/etcd.ts";
import type { Folder } from "../harness/folder.ts";
import { NEEDS_FOR_HOSTS } from "../harness/hosts.ts";
import { POSTGRES_BIN } from "../harness/postgres.ts";
import { Dice } from "../../src/base/testing/dice.ts";
import { type Evidence, keepEvidence } from "./evidence.ts";
import { type End, type Fault, FAULTS } from "./faults.ts";
import { PostgresServers } from "./postgres_servers.ts";
import { LEASE_MS, ProxyCluster } from "./proxy_cluster.ts";
import { Recorders } from "./recorders.ts";
import { pause, PROXIES, Scene } from "./scene.ts";
import type { Servers } from "./servers.ts";
import type { Writer } from "./writer.ts";

/** What schedules need, for `testWithPrograms`; those with recorders need no PostgreSQL. */
export const SCHEDULE_NEEDS: readonly string[] = [
  ...ETCD === undefined ? ["etcd"] : [],
  ...POSTGRES_BIN === undefined ? ["postgresql"] : [],
  ...["flock", ...NEEDS_FOR_HOSTS],
];

/** How long faults happen, in milliseconds. */
const FAULTS_MS = 25_000;
/** Service must be back so long after the last fault has ended, in milliseconds. */
export const BACK_MS = 30_000;

/** A fault that has not ended so long after its end began is a breach, in milliseconds. */
const END_MS = 60_000;

/** What a schedule runs with. */
export interface ScheduleOptions {
  /** The data of PostgreSQL servers; without it the servers are recorders. */
  readonly template?: Folder;
  /** How long faults happen, in milliseconds; 25 s by default. */
  readonly faultsMs?: number;
  /** The faults that may happen, by their names; all that suit the servers by default. */
  readonly faults?: readonly string[];
  /** How long service may take to be back, in milliseconds; `BACK_MS` by default. */
  readonly backMs?: number;
}

/** One fault that happened. Times are milliseconds since 1970. */
export interface Happened {
  readonly name: string;
  readonly at: number;
  /** Undefined as long as it lasts. */
  until: number | undefined;
  /** Its moment did not come, so that it counts as nothing in the table. */
  readonly isMissed: boolean;
}

/** What one schedule showed. */
export interface Outcome {
  readonly seed: number;
  /** The faults that began, in order. */
  readonly faults: readonly Happened[];
  readonly breaches: readonly string[];
  /** How long it took from the end of the last fault until clients of all proxies wrote again. */
  readonly backMs: number;
  readonly promotions: number;
  readonly acknowledged: number;
  /** Where everything is kept that explains the breaches; undefined if there is none. */
  readonly evidence: string | undefined;
}

/** The faults that suit the servers. */
export function faultsFor(kind: "postgres" | "recorders"): Readonly<Record<string, Fault>> {
  const those = Object.entries(FAULTS).filter(([, { only }]) => (only ?? kind) === kind);
  return Object.fromEntries(those);
}

/** Runs the schedule of `seed`. */
export async function runSchedule(seed: number, options: ScheduleOptions = {}): Promise<Outcome> {
  const { template, faultsMs = FAULTS_MS, backMs: boundMs = BACK_MS } = options;
  const dice = new Dice(seed);
  let postgres: PostgresServers | undefined;
  const serve = async (folder: Folder): Promise<Servers> => {
    if (template === undefined) return await Recorders.start(folder);
    const promotes = dice.once(2) ? "proxy" : "trigger";
    return postgres = await PostgresServers.start(folder, template, { promotes });
  };
  await using cluster = await ProxyCluster.start(PROXIES, {}, {
    serve,
    splits: template !== undefined,
    remembers: dice.once(2),
  });
  const writers = cluster.write();
  await cluster.folder.write("seconds", dice.pick(["0.1", "1", "3"]));
  if (dice.once(2)) await cluster.folder.write("late", "");
  const scene = new Scene(cluster, dice, postgres);
  const kind = template === undefined ? "recorders" : "postgres";
  const names = options.faults ?? Object.keys(faultsFor(kind));
  const faults: Happened[] = [];
  const breaches = await happen(scene, { names, faults, faultsMs });
  const backMs = await untilBack(writers, boundMs);
  if (backMs > boundMs) breaches.push(`service was not back after ${boundMs} ms`);
  breaches.push(...await untilSettled(scene));
  const found = cluster.breaches().catch((error) => [`the history cannot be read: ${error}`]);
  breaches.push(...await found);
  const evidence: Evidence = { seed, faults, breaches, writers, cluster, postgres };
  const triggers = await cluster.triggers();
  return {
    ...{ seed, faults, breaches, backMs },
    promotions: triggers.filter(({ what }) => what === "begin").length,
    acknowledged: writers.reduce((sum, { writes }) => sum + writes.length, 0),
    evidence: breaches.length === 0 ? undefined : await keepEvidence(evidence),
  };
}

/** Lets faults come and go; resolves when all have ended, with what went wrong in that. */
async function happen(
  scene: Scene,
  { names, faults, faultsMs }: {
    readonly names: readonly string[];
    readonly faults: Happened[];
    readonly faultsMs: number;
  },
): Promise<string[]> {
  const { dice } = scene;
  const breaches: string[] = [];
  const underWay = new Map<string, Promise<void>>();
  const endsAt = performance.now() + faultsMs;
  while (performance.now() < endsAt) {
    const name = dice.pick(names);
    const lastsMs = 500 + dice.fraction() * 2 * LEASE_MS;
    if (!underWay.has(name)) {
      scene.isMissed = false;
      const at = Date.now();
      const end = await beginOf(name, scene).catch((error) => {
        breaches.push(`the fault "${name}" could not begin: ${error}`);
        return undefined;
      });
      if (end !== undefined) {
        const happened: Happened = { name, at, until: undefined, isMissed: scene.isMissed };
        faults.push(happened);
        const over = pause(lastsMs).then(() => inTime(end)).catch((error) => {
          breaches.push(`the fault "${name}" did not end: ${error}`);
        }).finally(() => {
          underWay.delete(name);
          happened.until = Date.now();
        });
        underWay.set(name, over);
      }
    }
    await pause(500 + dice.fraction() * 5_000);
  }
  await Promise.all(underWay.values());
  return breaches;
}

async function beginOf(name: string, scene: Scene): Promise<End | undefined> {
  return await FAULTS[name]!.begin(scene);
}

async function inTime(end: End): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it took more than ${END_MS} ms`)), END_MS);
  });
  try {
    await Promise.race([end(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** How long it takes until a client of each proxy has written; more than `boundMs` if it does not. */
async function untilBack(writers: readonly Writer[], boundMs: number): Promise<number> {
  const since = performance.now();
  const isBack = () => writers.every(({ silentMs }) => performance.now() - silentMs > since);
  while (!isBack() && performance.now() - since <= boundMs) await pause(50);
  return performance.now() - since;
}

/** Waits until the decision is done, whose server then has all that was acknowledged. */
async function untilSettled(scene: Scene): Promise<string[]> {
  const isDone = async () => (await scene.decision())?.phase === "done" ? true : undefined;
  const settled = await scene.until(BACK_MS, isDone);
  return settled === undefined ? ["the last decision was never done"] : [];
}
