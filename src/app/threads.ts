/** The threads that all services of the process share, as many as `--workers` says. Part of the composition root. */
import { realClock } from "../base/clock.ts";
import { collectAlone, collectGarbage } from "../base/garbage.ts";
import type { Config, HttpConfig, ServiceConfig } from "../config/options.ts";
import type { Publish } from "../events/events.ts";
import { usableCores } from "../linux/cores.ts";
import { ProcessLibc } from "../linux/process_libc.ts";
import { HTTP } from "./http_messages.ts";
import { ThreadGroup } from "../threads/thread_group.ts";
import { threadsUnsupportedReason } from "../threads/unsupported_reason.ts";

const SCRIPT = new URL("./thread_main.ts", import.meta.url);

/** Descriptors that a thread takes, beside those of its sessions. */
export const THREAD_DESCRIPTORS = 12;

/** The threads, or the reason why there are none. */
export interface Threads extends AsyncDisposable {
  readonly group: ThreadGroup | undefined;
  readonly unsupportedReason: string | undefined;
  /** The kinds of shards that they can be given. */
  readonly kinds: readonly string[];
  /** How many `--workers` asks for. */
  readonly asked: number;
  /** Descriptors that they need for themselves. */
  readonly descriptors: number;
}

/** For services that the main thread serves. */
export const NO_THREADS: Threads = {
  group: undefined,
  unsupportedReason: undefined,
  kinds: [],
  asked: 1,
  descriptors: 0,
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

/** How many threads an operator has asked for. */
export function workersOf({ process: { workers } }: Config): number {
  return workers === "auto" ? usableCores() : workers;
}

/** The reason, for a person, why the services cannot be served by threads here; undefined if they can. */
export function unsupportedReason(): string | undefined {
  return threadsUnsupportedReason(SCRIPT);
}

/** Starts as many threads as asked for, if a service needs them and they can run here. */
export async function startThreads(
  services: readonly ServiceConfig[],
  asked: number,
  publish: Publish,
): Promise<Threads> {
  const needed = await Promise.all(services.map(kindOf));
  const kinds = [...new Set(needed.filter((kind) => kind !== undefined))];
  const reason = kinds.length === 0 ? undefined : unsupportedReason();
  const group = kinds.length === 0 || reason !== undefined
    ? undefined
    : new ThreadGroup({ clock: realClock, publish, threads: asked, kinds, script: SCRIPT });
  if (group !== undefined) collectAlone();
  const stayAsItIs = group === undefined ? () => {} : giveBackLater();
  return {
    group,
    unsupportedReason: reason,
    kinds,
    asked,
    descriptors: group === undefined ? 0 : asked * THREAD_DESCRIPTORS,
    async [Symbol.asyncDispose]() {
      stayAsItIs();
      await group?.[Symbol.asyncDispose]();
    },
  };
}

/** When everything has started, in milliseconds after the start. */
const STARTED_MS = 3_000;

/** Later, gives memory back that only the start needed. Returns a function that cancels that. */
function giveBackLater(): () => void {
  return realClock.after(STARTED_MS, () => {
    collectGarbage();
    using libc = new ProcessLibc();
    libc.giveBackMemory();
  });
}

/** False for a service that these threads cannot serve, because there was none of its kind when they started. */
export async function mayRunIn(
  { group, kinds }: Threads,
  config: ServiceConfig,
): Promise<boolean> {
  const kind = await kindOf(config);
  return group === undefined || kind === undefined || kinds.includes(kind);
}

/** The kind of the service's shards; undefined if the main thread serves it. */
async function kindOf(config: ServiceConfig): Promise<string | undefined> {
  if (config.relay === "stream") return undefined;
  if (config.mode === "tcp") return "tcp";
  return await tlsReasonOf(config) === undefined ? HTTP : undefined;
}

/**
 * Why the threads cannot speak the TLS that a service needs; undefined if it needs none or they can. The code for TLS
 * is loaded only for a service that needs it.
 */
export async function tlsReasonOf(config: HttpConfig): Promise<string | undefined> {
  return speaksTls(config) ? await opensslReason() : undefined;
}

/** Why the system's OpenSSL cannot be used; undefined if it can. */
export async function opensslReason(): Promise<string | undefined> {
  return (await import("../linux/tls_unsupported_reason.ts")).tlsUnsupportedReason();
}

/** True if a client or an upstream is spoken to over TLS. */
export function speaksTls({ primary, backup, tlsCert }: HttpConfig): boolean {
  const upstreams = [primary, ...backup ?? []];
  return tlsCert !== undefined ||
    upstreams.some((target) => target.kind === "url" && target.url.protocol === "https:");
}
