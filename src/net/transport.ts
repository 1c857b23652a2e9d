/**
 * The contract of both kinds of sockets: Deno's (`deno/`), which run on every system, and the kernel's
 * (`linux/`), which are faster and need Linux.
 */
import type { Address } from "../base/address.ts";
import type { Clock } from "../base/clock.ts";
import type { Conn, Dial } from "./conn.ts";
import type { Resolver } from "./resolve.ts";

/** How to reach an upstream without TLS. */
export interface PlainDialOptions {
  readonly hostname: string;
  readonly port: number;
  readonly clock: Clock;
  /** Time for looking the name up and connecting, together, in milliseconds. */
  readonly connectMs: number;
  /** Finds the addresses of names; the process's own where it is missing. */
  readonly resolver?: Resolver;
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
}

/** One kind of sockets, for one thread. */
export interface Sockets {
  /** Makes the function that opens connections to one upstream. It rejects with a Fault; nothing was sent then. */
  dialer(options: PlainDialOptions): Dial;
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
