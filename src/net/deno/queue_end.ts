/**
 * Closes a listener of Deno's without losing clients. Clients in the kernel's accept queue see an open
 * connection, so they are accepted before the listener is closed, which would reset them. Deno does not say how
 * many are waiting, and its event loop may run many times before it polls a socket. So this connects to the
 * listener itself: when its own connection is accepted, so is every client that came before. The clients
 * accepted meanwhile are served only after that: those that open a connection for each request would otherwise
 * never let the queue become empty.
 */
import { settlesWithin } from "../../base/deadline.ts";
import type { Clock } from "../../base/clock.ts";
import { Fault } from "../../base/fault.ts";
import { dial } from "./dial.ts";

/** It ends after this number of rounds without a client: a client may connect again right after its response. */
const QUIET_ROUNDS = 4;
/** The pause between two rounds, in milliseconds. */
const PAUSE_MS = 5;
/** The longest that all of it may take: clients may never stop coming. */
const EMPTY_MS = 500;
/** The same for a unix socket, whose clients have no address by which ours could be recognised. */
const UNIX_MS = 25;

/** The end of one listener, from its beginning until the listener is closed. */
export class QueueEnd {
  readonly #clock: Clock;
  readonly #address: Deno.Addr;
  readonly #close: () => void;
  readonly #begun = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();
  /** Aborted when the listener is closed. */
  readonly #cancelled = new AbortController();
  #isBegun = false;
  #isClosed = false;
  /** Ports of the clients that were accepted since the end began. */
  readonly #ports = new Set<number>();
  /** Ports of our own connections. */
  readonly #own = new Set<number>();
  #arrival: (() => void) | undefined;
  #emptying: Promise<void> | undefined;

  /** `address` is the listener's; `close` closes it, and may be called more than once. */
  constructor(clock: Clock, address: Deno.Addr, close: () => void) {
    this.#clock = clock;
    this.#address = address;
    this.#close = () => {
      this.#isClosed = true;
      this.#cancelled.abort();
      close();
      this.#closed.resolve();
      this.#arrival?.();
    };
  }

  /** Resolves when the end has begun: from then on clients are accepted even beyond the limit. */
  get begun(): Promise<void> {
    return this.#begun.promise;
  }

  /** Resolves when the listener is closed and no work of its end is left. */
  async over(): Promise<void> {
    await this.#closed.promise;
    await this.#emptying;
  }

  /**
   * Must be called for each client that was accepted. Calls `serve` at once, or when the listener is closed if
   * its end has begun; our own connections are closed instead. Owns `conn` until then.
   */
  admit(conn: Deno.Conn, serve: () => void): void {
    if (!this.#isBegun) return serve();
    const client = conn.remoteAddr;
    if (client.transport === "tcp") this.#ports.add(client.port);
    this.#arrival?.();
    this.#closed.promise.then(() => this.#isOwn(client) ? conn.close() : serve());
  }

  #isOwn(client: Deno.Addr): boolean {
    return client.transport === "tcp" && this.#own.has(client.port);
  }

  /** Closes the listener as soon as its queue is empty; with `atOnce` immediately. */
  begin(atOnce: boolean): void {
    const isFirst = !this.#isBegun;
    this.#isBegun = true;
    if (atOnce) this.#close();
    else if (isFirst) this.#emptying = this.#empty();
    this.#begun.resolve();
  }

  async #empty(): Promise<void> {
    const isTcp = this.#address.transport === "tcp";
    const rounds = isTcp ? this.#waitForQueueEnd() : this.#closed.promise;
    const over = Promise.race([rounds, this.#closed.promise]);
    await settlesWithin(over, isTcp ? EMPTY_MS : UNIX_MS, this.#clock);
    this.#close();
    await rounds;
  }

  async #waitForQueueEnd(): Promise<void> {
    for (let quiet = 0; quiet < QUIET_ROUNDS && !this.#isClosed; quiet++) {
      const before = this.#ports.size;
      // Otherwise the queue is full or descriptors are exhausted, and the listener is closed at once.
      if (!await this.#oneRound()) return;
      if (this.#ports.size > before + 1) quiet = -1;
      // No pause after the last round: clients that come in between would be lost.
      if (quiet < QUIET_ROUNDS - 1) {
        await settlesWithin(this.#closed.promise, PAUSE_MS, this.#clock);
      }
    }
  }

  /** Resolves with true when all clients in the queue were accepted, with false if we could not connect. */
  async #oneRound(): Promise<boolean> {
    const { hostname, port } = this.#address as Deno.NetAddr;
    const own = await dial({ kind: "tcp", host: reachable(hostname), port }, {
      clock: this.#clock,
      timeoutMs: EMPTY_MS,
      signal: this.#cancelled.signal,
    });
    if (own === undefined || own instanceof Fault) return false;
    const mine = (own.localAddr as Deno.NetAddr).port;
    this.#own.add(mine);
    while (!this.#ports.has(mine) && !this.#isClosed) {
      await new Promise<void>((taken) => this.#arrival = taken);
    }
    own.close();
    return true;
  }
}

/** An address of this machine under which a listener on `hostname` is reached. */
function reachable(hostname: string): string {
  if (hostname === "0.0.0.0") return "127.0.0.1";
  return hostname === "::" ? "::1" : hostname;
}
