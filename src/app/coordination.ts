/**
 * Joins the services to the cluster of `--coordinator`. The room `cluster/` is loaded here, and only if there
 * is such an option. Part of the composition root.
 */
import { type Clock, realClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import { inFileTime } from "../base/file_time.ts";
import type { Publish } from "../events/events.ts";
import type { ClusterCoordinator } from "../cluster/coordinator.ts";
import type { CoordinatedService } from "../cluster/coordinated_service.ts";
import type { ClientTls, EndpointNames } from "../cluster/etcd_client.ts";
import type { EtcdUser } from "../cluster/login.ts";
import { type Resolver, resolver } from "../net/resolve.ts";
import { quote } from "../config/kinds.ts";
import type { ProcessConfig } from "../config/options.ts";
import { yamlKeyOf } from "../config/rows.ts";
import { pairObjections, whyNoAuthorities } from "./pem.ts";
import { whyUnreadable } from "../config/unreadable.ts";

/** How long one member of etcd may take for one answer, as a share of the lease. */
const CALL_SHARE = 0.15;
/** Longest file of a password or of certificates, in bytes. */
const FILE_BYTES_MAX = 1 << 20;

/** Look-ups by `fetch` at one time, for one name that is not answered … */
const LOOK_UPS_MAX = 2;
/** … each of which may occupy a thread for so long: the usual time of resolv.conf(5), in milliseconds. */
const LOOK_UP_MS = 10_000;

/** The names of all endpoints, for all services of the process. */
export class ProcessNames implements EndpointNames {
  readonly #resolver: Resolver;
  readonly #clock: Clock;
  /** By name: when `fetch` began to look it up while it was not answered. */
  readonly #lookUps = new Map<string, readonly number[]>();

  constructor(ofProcess: Resolver, clock: Clock) {
    this.#resolver = ofProcess;
    this.#clock = clock;
  }

  async addressesOf(host: string): Promise<readonly string[]> {
    const found = await this.#resolver.resolve(host);
    return found instanceof Fault ? [] : found;
  }

  tried(host: string, ip: string, isConnected: boolean): void {
    if (isConnected) this.#resolver.connected(host, ip);
    else {
      this.#resolver.failed(host, ip);
      this.#resolver.doubt(host);
    }
  }

  mayLookUp(host: string): boolean {
    if (this.#resolver.isAnswered(host)) return true;
    const now = this.#clock.now();
    const running = (this.#lookUps.get(host) ?? []).filter((at) => at > now - LOOK_UP_MS);
    if (running.length >= LOOK_UPS_MAX) return false;
    this.#lookUps.set(host, [...running, now]);
    return true;
  }
}

const NAMES = new ProcessNames(resolver, realClock);

const FILE_KEYS = [
  "coordinatorPasswordFile",
  "coordinatorCa",
  "coordinatorCert",
  "coordinatorKey",
] as const;

/** Makes the coordinator of one service. */
export interface Coordinate {
  (
    service: CoordinatedService,
    name: string,
    publish: Publish,
  ): ClusterCoordinator & AsyncDisposable;
  /** The time of a lease, in milliseconds. */
  readonly leaseMs: number;
}

/** One error line for each file of the coordinator that cannot be used. */
export async function checkCoordinatorFiles(
  config: ProcessConfig,
  clock: Clock = realClock,
): Promise<string[]> {
  const lines: string[] = [];
  const error = (key: typeof FILE_KEYS[number], why: string) => {
    const file = quote(config[key]!);
    lines.push(`Cannot use ${file} as ${yamlKeyOf(key)}: ${why} (from ${config.origins[key]})`);
  };
  const texts: { [key in typeof FILE_KEYS[number]]?: string } = {};
  for (const key of FILE_KEYS) {
    if (config[key] === undefined) continue;
    try {
      texts[key] = await readText(config[key], clock);
    } catch (cause) {
      error(key, cause instanceof Unusable ? cause.message : whyUnreadable(cause));
    }
  }
  const { coordinatorCa: ca, coordinatorCert: cert, coordinatorKey: key } = texts;
  const why = ca === undefined ? undefined : whyNoAuthorities(ca);
  if (why !== undefined) error("coordinatorCa", why);
  if (cert === undefined || key === undefined) return lines;
  for (const { part, why } of pairObjections({ cert, key }, config.coordinatorCert!)) {
    error(part === "cert" ? "coordinatorCert" : "coordinatorKey", why);
  }
  return lines;
}

/**
 * What joins the services of this process to their cluster; undefined without `--coordinator`. `run` is unique
 * for each run of the process.
 */
export async function coordinationOf(
  config: ProcessConfig,
  version: string,
  run: string,
  clock: Clock = realClock,
): Promise<Coordinate | undefined> {
  const { coordinator, coordinatorLease, withoutCoordinator } = config;
  if (coordinator === undefined) return undefined;
  const [{ EtcdClient }, { Login }, { ClusterCoordinator }, { prefixOf }] = await Promise.all([
    import("../cluster/etcd_client.ts"),
    import("../cluster/login.ts"),
    import("../cluster/coordinator.ts"),
    import("../cluster/keys.ts"),
  ]);
  const isTls = config.coordinatorCa !== undefined || config.coordinatorCert !== undefined;
  const endpoints = coordinator.members.map((each) => `${isTls ? "https" : "http"}://${each}`);
  const user = userOf(config, clock);
  const login = user === undefined ? {} : { login: new Login(user, clock) };
  const host = await hostName(clock);
  let lives = 0;
  const coordinate = (service: CoordinatedService, name: string, publish: Publish) => {
    const etcd = new EtcdClient({
      ...{ endpoints, prefix: prefixOf(coordinator.cluster, name) },
      ...login,
      ...isTls ? { tls: () => tlsOf(config, clock) } : {},
      names: NAMES,
      callMs: Math.round(coordinatorLease * CALL_SHARE),
    }, clock);
    // A service that is restarted is another member.
    const instance = `${host}-${run}${lives++ === 0 ? "" : `.${lives}`}`;
    const ttlS = Math.ceil(coordinatorLease / 1_000);
    const settings = { instance, version, ttlS, without: withoutCoordinator };
    return new ClusterCoordinator(settings, etcd, service, { clock, publish });
  };
  return Object.assign(coordinate, { leaseMs: coordinatorLease });
}

function userOf(
  { coordinatorUser, coordinatorPasswordFile }: ProcessConfig,
  clock: Clock,
): EtcdUser | undefined {
  if (coordinatorUser === undefined || coordinatorPasswordFile === undefined) return undefined;
  const password = async () => (await readText(coordinatorPasswordFile, clock)).trim();
  return { name: coordinatorUser, password };
}

async function tlsOf(
  { coordinatorCa, coordinatorCert, coordinatorKey }: ProcessConfig,
  clock: Clock,
): Promise<ClientTls> {
  const [ca, cert, key] = await Promise.all(
    [coordinatorCa, coordinatorCert, coordinatorKey].map((file) =>
      file === undefined ? undefined : readText(file, clock)
    ),
  );
  return {
    ...ca === undefined ? {} : { ca },
    ...cert === undefined ? {} : { cert },
    ...key === undefined ? {} : { key },
  };
}

class Unusable extends Error {}

async function readText(file: string, clock: Clock): Promise<string> {
  const { isFile, isDirectory, size } = await inFileTime(Deno.stat(file), clock);
  // Reading from a pipe or a device may never end.
  if (!isFile) throw new Unusable(isDirectory ? "it is a directory" : "it is no regular file");
  if (size > FILE_BYTES_MAX) throw new Unusable(`it is longer than ${FILE_BYTES_MAX} bytes`);
  const text = await inFileTime(Deno.readTextFile(file), clock);
  if (text.trim() === "") throw new Unusable("it is empty");
  return text;
}

/** The name of this machine, for people; `proxy` where it is not known. */
async function hostName(clock: Clock): Promise<string> {
  try {
    const text = await inFileTime(Deno.readTextFile("/etc/hostname"), clock);
    return /^[\w.-]{1,64}/.exec(text.trim())?.[0] ?? "proxy";
  } catch {
    return "proxy";
  }
}
