/**
 * Chooses the sockets of an HTTP service: those of Linux or those of Deno. Both have the same contract; they
 * differ in speed and in where they run. The choice and its reason are published once. Part of the
 * composition root.
 */
import type { Clock } from "../base/clock.ts";
import type { HttpConfig } from "../config/options.ts";
import type { Publish } from "../events/events.ts";
import { denoSockets } from "../net/deno/transport.ts";
import type { Sockets } from "../net/transport.ts";
import { linuxSockets } from "../net/linux/transport.ts";
import { kernelUnsupportedReason } from "../linux/unsupported_reason.ts";

/** Returns the sockets, or an error line if `--relay splice` demands those of Linux and they cannot be used. */
export function chooseSockets(
  config: HttpConfig,
  { clock, publish }: { readonly clock: Clock; readonly publish: Publish },
): Sockets | string {
  const portable = (reason: string) => {
    publish({ type: "sockets.chosen", sockets: "deno", reason });
    return denoSockets;
  };
  if (config.relay === "stream") return portable("it was asked for");
  const unsupportedReason = socketsUnsupportedReason(config);
  if (unsupportedReason !== undefined && config.relay === "splice") {
    return `Cannot use the relay engine splice: ${unsupportedReason} (from ${config.origins.relay})`;
  }
  if (unsupportedReason !== undefined) {
    return portable(`those of Linux cannot be used: ${unsupportedReason}`);
  }
  const reason = config.relay === "splice"
    ? "it was asked for"
    : "it is the fastest on this system";
  publish({ type: "sockets.chosen", sockets: "linux", reason });
  return linuxSockets(clock);
}

/** Why an HTTP service cannot use the sockets of Linux; undefined if it can. */
export function socketsUnsupportedReason(config: HttpConfig): string | undefined {
  // Using both kinds at once is possible, but ours delay Deno's by some milliseconds.
  return speaksTls(config) ? "TLS needs the sockets of Deno" : kernelUnsupportedReason();
}

function speaksTls({ primary, backup, tlsCert }: HttpConfig): boolean {
  const upstreams = [primary, ...backup ?? []];
  return tlsCert !== undefined ||
    upstreams.some((target) => target.kind === "url" && target.url.protocol === "https:");
}
