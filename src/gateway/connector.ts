/** Makes new connections to upstreams. Pending connects can be cancelled, and slow ones are reported. */
import type { Clock } from "../base/clock.ts";
import { endAfter } from "../base/deadline.ts";
import { Fault } from "../base/fault.ts";
import { type Member, Slab } from "../base/slab.ts";
import type { UpstreamConn } from "../http1/upstream_conn.ts";
import type { ServerUpstream } from "./upstream.ts";

/** A connect without an answer for this time, in milliseconds, is reported, although it may still succeed. */
const SLOW_CONNECT_MS = 500;
/** How long a new connection that replaces a stale one is watched before it is used, in milliseconds. */
const SETTLE_MS = 50;
/** Idle limit of that connection while it is watched, in milliseconds; using it lifts the limit. */
const SETTLE_MS_MAX = 5_000;

interface PendingConnect extends Member {
  readonly abort: AbortController;
  readonly upstream: string;
}

/** How to make one connection. */
export interface ConnectOptions {
  /** Aborted when the client leaves: the connect is then cancelled. */
  readonly signal: AbortSignal;
  /** Called once, with a reason for a person, if the connect is slow. */
  readonly onSlow: (reason: string) => void;
  /** True if the connection must still be open after `SETTLE_MS` before it may be used. */
  readonly settles: boolean;
}

/** The pending connects of one thread, to all upstreams of a service. */
export class Connector {
  readonly #clock: Clock;
  readonly #all = new Slab<PendingConnect>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Cancels all pending connects to the upstream of this name; each rejects with a Fault. */
  cancelPending(upstream: string): void {
    for (const each of this.#all.all()) if (each.upstream === upstream) each.abort.abort();
  }

  /** Makes a new connection. Rejects with a Fault; then nothing has been sent. */
  async connect(
    { pool, upstream: { name } }: ServerUpstream,
    { signal, onSlow, settles }: ConnectOptions,
  ): Promise<UpstreamConn> {
    const abort = new AbortController();
    const forget = endAfter(signal, Infinity, this.#clock, () => abort.abort());
    const connecting = { place: -1, abort, upstream: name };
    this.#all.add(connecting);
    let cancel: () => void = () => {};
    // Time spent before this was spent on the name service, so it is no evidence about the upstream.
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
   * True if a new connection is still open after `SETTLE_MS`. A server that was killed accepts connections
   * until its port is closed, which happens last. What is sent on such a connection is lost, and the exchange
   * can be sent only once more.
   */
  #settle(connection: UpstreamConn, signal: AbortSignal): Promise<boolean> {
    connection.startIdle(SETTLE_MS_MAX);
    return new Promise((resolve) => {
      endAfter(signal, SETTLE_MS, this.#clock, () => resolve(connection.wake()));
    });
  }
}
