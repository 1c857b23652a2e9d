/** What serves HTTPS on a port, beside the server of HTTP/1.1: by Deno's TLS or by that of the sockets themselves. */
import type { Address } from "../../base/address.ts";
import type { Publish } from "../../events/events.ts";
import type { Server } from "../../http1/server.ts";
import type { ClientLimit } from "../../net/client_limit.ts";
import type { ReceivedPort } from "../../net/handover.ts";
import type { Acceptee, Sockets } from "../../net/transport.ts";
import type { HttpPort, HttpsSettings, PortChange } from "../listen.ts";
import type { Http2Parts } from "./http2.ts";
import type { HandshakeCounts } from "./tls_acceptee.ts";

/** What HTTPS needs in addition to the settings of its listener. */
export interface HttpsServerSettings extends Http2Parts {
  /** The most clients at one time. */
  readonly connectionsMax: number;
  readonly publish: Publish;
}

/** What the port needs from the listener. */
export interface HttpsPortParts {
  readonly server: Server;
  readonly clientLimit: ClientLimit | undefined;
  readonly onAcceptFailed: (error: unknown, retryInMs: number) => void;
  readonly onShortage: () => void;
  /** What reads a PROXY protocol header at the beginning of each connection, if there is to be one. */
  readonly announced: { before(inner: Acceptee): Acceptee } | undefined;
  /** Where connections come from. */
  readonly sockets: Sockets;
  /** Permission bits for the file of a unix socket; without them umask(2) decides. */
  readonly socketMode?: number;
  /** The socket that another process has left for this address. */
  readonly received?: ReceivedPort | undefined;
}

/** HTTPS of one service in one thread. */
export interface Https {
  /** Connections that count in addition to those of the server. Handshakes have a limit of their own. */
  count(): number;
  /** Closes the connection that has been idle longest; false if none is idle. */
  giveWay(isOverLimit?: boolean): boolean;
  /** Frees a descriptor when there are too few: ends a slow handshake, or else an idle connection. */
  relieve(): boolean;
  /** How many handshakes there were, where they are counted. */
  readonly counts?: HandshakeCounts | undefined;
  /** Puts other limits and other certificates, which were found good, into force for connections from now on. */
  configure(change: Pick<PortChange, "limits" | "tls">): void;
  /** Listens and serves. Resolves with the reason, for a person, if it cannot; then everything is closed. */
  listen(address: Address, tls: HttpsSettings, parts: HttpsPortParts): Promise<HttpPort | string>;
}
