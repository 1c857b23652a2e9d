/** New connections to upstreams: those being made can be called off, and slow ones are told of. */
import type { Clock } from "../base/clock.ts";
import { endAfter } from "../base/deadline.ts";
import { Fault } from "../base/fault.ts";
import { type Member, Slab } from "../base/slab.ts";
import type { UpstreamConn } from "../http1/upstream_conn.ts";
import type { ServerUpstream } from "./upstream.ts";

/** A connect without an answer for so long is reported, though it may still succeed. */
const SLOW_CONNECT_MS = 500;
/** How long a new connection that takes the place of a stale one is watched before it is used. */
const SETTLE_MS = 50;
/** By then it is closed in any case; its use takes this back. */
const SETTLE_MS_MAX = 5_000;

interface Connecting extends Member {
  readonly abort: AbortController;
  readonly upstream: string;
}

/** What whoever waits for a connection has to say and wants to hear. */
export interface ConnectOptions {
  /** Aborted when the client leaves meanwhile. */
  readonly signal: AbortSignal;
  /** Told, with the reason, of a connect that takes long. */
  readonly onSlow: (reason: string) => void;
  /** True if it must still stand after a moment. */
  readonly settles: boolean;
}

export class Connects {
  readonly #clock: Clock;
  readonly #all = new Slab<Connecting>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls off attempts to connect to an upstream that are under way. */
  callOff(upstream: string): void {
    for (const each of this.#all.all()) if (each.upstream === upstream) each.abort.abort();
  }

  /** A new connection. Rejects with a Fault; nothing has been sent then. */
  async make(
    { pool, upstream: { name } }: ServerUpstream,
    { signal, onSlow, settles }: ConnectOptions,
  ): Promise<UpstreamConn> {
    const abort = new AbortController();
    const forget = endAfter(signal, Infinity, this.#clock, () => abort.abort());
    const connecting = { place: -1, abort, upstream: name };
    this.#all.add(connecting);
    let cancel: () => void = () => {};
    // The time before this is that of the name service, and says nothing about the upstream.
    const onConnecting = () => {
      cancel = this.#clock.after(
        SLOW_CONNECT_MS,
        () => onSlow(`no answer to connect for ${SLOW_CONNECT_MS} ms`),
      );
    };
    try {
      const connection = await pool.connect(abort.signal, onConnecting);
      if (settles && !await this.#settle(connection, signal)) throw new Fault("closedUnused");
      return connection;
    } finally {
      cancel();
      forget();
      this.#all.delete(connecting);
    }
  }

  /**
   * True if a new connection still stands after a moment. A server that was killed takes connections until
   * its port is closed, last of all; what is sent then is lost, and there is only one more time to send it.
   */
  #settle(connection: UpstreamConn, signal: AbortSignal): Promise<boolean> {
    connection.rest(SETTLE_MS_MAX);
    return new Promise((resolve) => {
      endAfter(signal, SETTLE_MS, this.#clock, () => resolve(connection.wake()));
    });
  }
}
