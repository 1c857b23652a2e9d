/**
 * Chooses the sockets of an HTTP service: those of Linux, in the threads that all services share, or those of Deno,
 * on the main thread. Both have the same contract; they differ in speed and in where they run. The choice and its
 * reason are published once. Part of the composition root.
 */
import { type HttpConfig, yamlKeyOf } from "../config/options.ts";
import type { Publish } from "../events/events.ts";
import { denoSockets } from "../net/deno/transport.ts";
import type { Sockets } from "../net/transport.ts";
import type { ThreadGroup } from "../threads/thread_group.ts";
import { type Threads, tlsReasonOf, unsupportedReason } from "./threads.ts";

/**
 * Returns the threads whose sockets are those of Linux, or the sockets of Deno; an error line if `--relay splice`
 * demands those of Linux and they cannot be used.
 */
export async function chooseSockets(
  config: HttpConfig,
  { publish, threads }: { readonly publish: Publish; readonly threads: Threads },
  tlsReasonKnown?: string,
): Promise<Sockets | ThreadGroup | string> {
  const portable = (reason: string) => {
    const refused = beyondDeno(config, reason);
    if (refused !== undefined) return refused;
    publish({ type: "sockets.chosen", sockets: "deno", reason });
    return denoSockets;
  };
  if (config.relay === "stream") return portable("it was asked for");
  const { group } = threads;
  const reason = unsupportedReason() ?? tlsReasonKnown ?? await tlsReasonOf(config) ??
    (group === undefined ? "there are no threads for them" : undefined);
  if (reason !== undefined && config.relay === "splice") {
    return `Cannot use the relay engine splice: ${reason} (from ${config.origins.relay})`;
  }
  if (reason !== undefined || group === undefined) {
    return portable(`those of Linux cannot be used: ${reason}`);
  }
  const why = config.relay === "splice" ? "it was asked for" : "it is the fastest on this system";
  publish({ type: "sockets.chosen", sockets: "linux", reason: why });
  return group;
}

/** Why an HTTP service cannot use the sockets of Linux; undefined if it can. */
export async function socketsUnsupportedReason(config: HttpConfig): Promise<string | undefined> {
  return unsupportedReason() ?? await tlsReasonOf(config);
}

/** The error line for an option of TLS that the sockets of a service cannot do; undefined if there is none. */
export async function tlsOptionError(config: HttpConfig): Promise<string | undefined> {
  if (config.relay === "stream") return beyondDeno(config, "it was asked for");
  const reason = await socketsUnsupportedReason(config);
  return reason === undefined ? undefined : beyondDeno(config, reason);
}

/** The same for Deno's sockets, which are used for the reason `why`. */
function beyondDeno(config: HttpConfig, why: string): string | undefined {
  const key = (["clientCa", "upstreamCert"] as const).find((key) => config[key] !== undefined);
  const isMany = key === undefined && (config.tlsCert?.length ?? 0) > 1;
  if (key === undefined && !isMany) return undefined;
  const [what, from] = key === undefined
    ? ["several certificates", config.origins.tlsCert]
    : [yamlKeyOf(key), config.origins[key]];
  return `Cannot use ${what}: the sockets of Deno cannot do that, and they are used: ${why} (from ${from})`;
}
