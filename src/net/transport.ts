/**
 * The contract of both kinds of sockets: Deno's (`deno/`), which run on every system, and the kernel's
 * (`linux/`), which are faster and need Linux.
 */
import type { Address } from "../base/address.ts";
import type { Clock } from "../base/clock.ts";
import type { CertifiedKey } from "../linux/tls_context.ts";
import type { TlsServerSettings } from "../linux/tls_server.ts";
import type { Conn, Dial } from "./conn.ts";
import type { PassedListener, ReceivedPort } from "./handover.ts";
import type { Resolver } from "./resolve.ts";

export type { CertifiedKey, TlsServerSettings };

/** How to reach an upstream, with or without TLS. */
export interface PlainDialOptions {
  readonly hostname: string;
  readonly port: number;
  readonly clock: Clock;
  /** Time for looking the name up and connecting, together, in milliseconds. */
  readonly connectMs: number;
  /** Finds the addresses of names; the process's own where it is missing. */
  readonly resolver?: Resolver;
}

/** How upstreams are spoken to over TLS; one object for all upstreams of a service, which share what it leads to. */
export interface DialTls {
  /** The name to send and to verify (RFC 6066 section 3), if it is not that of the upstream. */
  readonly serverName?: string;
  /** Certificates of authorities to trust in addition to those of the system, or of Deno, in PEM. */
  readonly caCerts?: readonly string[] | undefined;
  /** Those to trust in place of the system's, where it has none. */
  readonly systemCerts?: readonly string[] | undefined;
  /** What is shown to upstreams that ask for a certificate. Deno's sockets cannot. */
  readonly certificate?: CertifiedKey | undefined;
}

/** How to reach an upstream. */
export interface DialOptions extends PlainDialOptions {
  /** Use TLS; `connectMs` includes the handshake then, and `hostname` is verified. */
  readonly tls?: DialTls;
}

/** A TLS handshake of a client that is under way. */
export interface TlsHandshake {
  /** Resolves with the protocol that was chosen (ALPN), which may be empty; rejects with an Error that says why not. */
  readonly protocol: Promise<string>;
  /** True once the client has sent something. */
  readonly hasBegun: boolean;
  /** True if it has resumed an earlier session; known when it is over. */
  readonly isResumed: boolean;
  /** Ends it, if it is still under way, and closes the connection. */
  end(): void;
}

/** Makes TLS of the connections that a listener has accepted. */
export interface TlsTerminator {
  /** Begins the handshake on a connection of the same sockets. */
  begin(conn: Conn): TlsHandshake;
  /** Uses these from the next handshake on. Throws an Error if they cannot be used; the old ones stay then. */
  use(settings: TlsServerSettings): void;
  /** Frees its resources; connections that are open stay. */
  close(): void;
}

/** How a listener accepts clients, and what is called when it cannot. */
export interface AcceptOptions {
  readonly clock: Clock;
  /** Permission bits for the file of a unix socket; without them umask(2) decides. */
  readonly socketMode?: number;
  /** Called once for each shortage that keeps clients from being accepted; accepting is tried again. Must not throw. */
  readonly onAcceptFailed?: (error: unknown, retryInMs: number) => void;
  /** Called on every failed try of a shortage, so that idle connections can be closed. Must not throw. */
  readonly onShortage?: () => void;
  /** The socket that another process has left for this address, which is used in the place of a new one. */
  readonly received?: ReceivedPort | undefined;
  /** Gets a line, for a person, if that socket cannot be used. Must not throw. */
  readonly warn?: (line: string) => void;
}

/** Serves the clients of a listener; the HTTP server is one. */
export interface Acceptee {
  /** True while another client may be accepted. */
  readonly hasRoom: boolean;
  /** Resolves when another client may be accepted. */
  room(): Promise<void>;
  /** Serves one connection until it ends; `peer` is the client's IP address, or `unix`. */
  serve(conn: Conn, peer: string): Promise<void>;
}

/** A listener that is open, and its accept loop. */
export interface ListeningPort {
  /** Where it listens; the system's choice where the port was 0. */
  readonly address: Address;
  /** Resolves when the accept loop has ended; rejects if it had a bug. */
  readonly finished: Promise<void>;
  /**
   * Accepts the clients that wait in the kernel's queue, for whom the connection is open already, and closes
   * the listener then. May be repeated, also after `close`.
   */
  end(): void;
  /** Closes the listener at once; the kernel resets the clients in its queue. May be repeated. */
  close(): void;
  /** Its socket while it is open, where that can be handed over to another process. */
  passed?(): Pick<PassedListener, "descriptor" | "isLent"> | undefined;
  /** Closes it in this process only: another one has the socket, its file and the clients in the queue. */
  leave?(): void;
}

/** One kind of sockets, for one thread. */
export interface Sockets {
  /** Makes the function that opens connections to one upstream. It rejects with a Fault; nothing was sent then. */
  dialer(options: DialOptions): Dial;
  /** Makes what terminates TLS on accepted connections, where these sockets can. Throws an Error for bad settings. */
  terminator?(settings: TlsServerSettings): TlsTerminator;
  /**
   * Listens and accepts for `acceptee`. Connections beyond its limit stay in the kernel's queue. If it cannot
   * listen, resolves with the reason, for a person.
   */
  listen(
    address: Address,
    acceptee: Acceptee,
    options: AcceptOptions,
  ): Promise<ListeningPort | string>;
  /** Frees the sockets' resources. Call it last, when every connection is closed. */
  close(): Promise<void>;
}
