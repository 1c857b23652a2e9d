/** Who the clients of the splice engine are: their addresses, their limit, and their PROXY protocol headers. */
import type { Event } from "../../events/events.ts";
import type { Kernel, SockAddr } from "../../linux/kernel.ts";
import type { Loop } from "../../linux/loop.ts";
import { addressOfSockaddr } from "../../linux/sockaddr.ts";
import { MissingHeaders } from "../../net/accept_proxy.ts";
import { ClientLimit, type ClientTables } from "../../net/client_limit.ts";
import { type SharedCounters, threadOf } from "../../threads/memory.ts";
import type { RelaySettings } from "../engine.ts";
import { proxyHeader } from "../proxy_header.ts";
import type { SpliceSession } from "./session.ts";

/** The PROXY protocol header that the upstream of a session gets, if it gets one. */
export function headerFor(
  { client, addresses }: SpliceSession,
  sendProxy: RelaySettings["sendProxy"],
  kernel: Kernel,
): Uint8Array | undefined {
  if (sendProxy === "none") return undefined;
  if (addresses !== undefined) return proxyHeader(sendProxy, addresses.client, addresses.local);
  const [peer, local] = [kernel.peerAddress(client), kernel.localAddress(client)];
  return proxyHeader(sendProxy, addressOfSockaddr(peer), addressOfSockaddr(local));
}

/** Counts clients without a header. */
export function missingHeaders(loop: Loop, publish: (event: Event) => void): MissingHeaders {
  return new MissingHeaders(
    () => loop.now,
    (client, count) => publish({ type: "proxyHeader.missing", client, count }),
  );
}

/** The IP address of a client, or `unix`. */
export function hostOf(peer: SockAddr): string {
  const address = addressOfSockaddr(peer);
  return address.kind === "tcp" ? address.host : "unix";
}

/** Where clients are not limited. */
export const UNCOUNTED = -1;

/** The limit for each client; undefined if there is none. Refusals are published, limited in rate. */
export function clientLimitOf(
  tables: ClientTables | undefined,
  { counters, loop }: { readonly counters: SharedCounters; readonly loop: Loop },
  publish: (event: Event) => void,
): ClientLimit | undefined {
  if (tables === undefined) return undefined;
  return new ClientLimit(
    tables,
    threadOf(counters),
    () => loop.now,
    (client, max, count) => publish({ type: "client.limited", client, max, count }),
  );
}
