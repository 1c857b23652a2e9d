/**
 * Picks where an HTTP service's connections come from. Both kinds of sockets do the same; they differ in
 * speed and in where they run. What was picked, and why, is published once. Part of the composition root.
 */
import type { Clock } from "../base/clock.ts";
import type { HttpConfig } from "../config/options.ts";
import type { Publish } from "../events/events.ts";
import { denoSockets } from "../net/deno/transport.ts";
import type { Sockets } from "../net/transport.ts";
import { linuxSockets } from "../net/linux/transport.ts";
import { kernelUnsupportedReason } from "../linux/unsupported_reason.ts";

/** Resolves with the reason, for the operator, where `splice` is insisted on and cannot run. */
export function chooseSockets(
  config: HttpConfig,
  { clock, publish }: { readonly clock: Clock; readonly publish: Publish },
): Sockets | string {
  const portable = (reason: string) => {
    publish({ type: "sockets.chosen", sockets: "deno", reason });
    return denoSockets;
  };
  if (config.relay === "stream") return portable("it was asked for");
  const unsupportedReason = socketsObstacle(config);
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

/** What keeps an HTTP service from the kernel's own sockets, for the operator; undefined if nothing does. */
export function socketsObstacle(config: HttpConfig): string | undefined {
  // Both kinds side by side would work too, but ours keep Deno's waiting, some milliseconds at a time.
  return speaksTls(config) ? "TLS needs the sockets of Deno" : kernelUnsupportedReason();
}

function speaksTls({ primary, backup, tlsCert }: HttpConfig): boolean {
  const upstreams = [primary, ...backup ?? []];
  return tlsCert !== undefined ||
    upstreams.some((target) => target.kind === "url" && target.url.protocol === "https:");
}
