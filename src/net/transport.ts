/** Where plain connections come from: Deno's sockets, which run anywhere, or the kernel's own on Linux. */
import type { Address } from "../base/address.ts";
import type { Clock } from "../base/clock.ts";
import type { Conn, Dial } from "./conn.ts";
import type { Resolver } from "./resolve.ts";

/** How to reach an upstream without TLS. */
export interface PlainDialOptions {
  readonly hostname: string;
  readonly port: number;
  readonly clock: Clock;
  /** For the name and the connection together, in milliseconds. */
  readonly connectMs: number;
  /** Finds the addresses of names; the process's own where it is missing. */
  readonly resolver?: Resolver;
}

export interface AcceptOptions {
  readonly clock: Clock;
  /** Permission bits for the file of a unix socket; without them umask(2) rules. */
  readonly socketMode?: number;
  /** Told when something is short and nobody can be accepted, once for each shortage; it is tried again. Must not throw. */
  readonly onAcceptFailed?: (error: unknown, retryInMs: number) => void;
  /** Called each time that something is short: who has something to spare gives it back. Must not throw. */
  readonly onShortage?: () => void;
}

/** Takes in the clients of a listener; the HTTP server is one. */
export interface Acceptee {
  /** True while another client may be let in. */
  readonly hasRoom: boolean;
  /** Resolves when there is room. */
  room(): Promise<void>;
  /** Serves one connection until it ends; `peer` is the client's IP address, or `unix`. */
  serve(conn: Conn, peer: string): Promise<void>;
}

/** A port whose clients are served. */
export interface ListeningPort {
  /** Where it listens; the system's choice where the port was 0. */
  readonly address: Address;
  /** Resolves when nobody is accepted any more; rejects for a bug in the accept loop. */
  readonly finished: Promise<void>;
  /**
   * Takes in those who wait in the queue, and then nobody: for them the connection is open already. Harmless
   * when repeated, and after `close`.
   */
  end(): void;
  /** Accepts nobody any more, and resets those who wait. Harmless when repeated. */
  close(): void;
}

export interface Sockets {
  /** A way to open connections to one upstream. It rejects with a Fault; nothing has been sent then. */
  dialer(options: PlainDialOptions): Dial;
  /**
   * Listens and accepts for `acceptee`; connections beyond its limit stay in the kernel's queue. Resolves
   * with the reason, for a person, where it cannot.
   */
  listen(
    address: Address,
    acceptee: Acceptee,
    options: AcceptOptions,
  ): Promise<ListeningPort | string>;
  /** To be called last, when every connection is closed. */
  close(): Promise<void>;
}
