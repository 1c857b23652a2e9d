/**
 * Serves HTTP/2 on any `Conn` (RFC 9113). Requests are answered by the same handler as those of HTTP/1.1. Knows
 * nothing of listeners and TLS: whoever has found that a client speaks HTTP/2 gives its connection here.
 */
import type { Fault } from "../base/fault.ts";
import type { Http2Rule } from "../base/http2_rules.ts";
import { Slab } from "../base/slab.ts";
import type { BufferedConnOptions } from "../http1/buffered_conn.ts";
import { isIdle } from "../http1/closable.ts";
import type { WaitForPlace } from "../http1/http2_preface.ts";
import { SERVER_LIMITS, type ServerLimits } from "../http1/server_limits.ts";
import type { Task } from "../http1/task.ts";
import type { Conn } from "../net/conn.ts";
import type { Deadlines } from "../net/deadlines.ts";
import type { ConnectionSettings } from "./connection.ts";
import type { StreamExchange } from "./exchange.ts";
import { Http2ServerConnection } from "./server_connection.ts";

/** What a server needs, and who learns of its trouble. */
export interface Http2ServerOptions {
  readonly deadlines: Deadlines;
  /** Where it is missing, `SERVER_LIMITS` holds. */
  readonly limits?: Partial<ServerLimits>;
  /** Answers one exchange; what it returns ends when that is done. */
  readonly handler: (exchange: StreamExchange) => Promise<void> | Task;
  /** True for the path of a request that is answered although the limit is reached. */
  readonly isReserved: (path: string) => boolean;
  /** Called for each rule that a client has broken, and for which a request or a connection ends. Must not throw. */
  readonly onBroken: (rule: Http2Rule, words: string, peer: string) => void;
  /** Called for each request whose head was malformed, beside `onBroken`. Must not throw. */
  readonly onMalformed: (fault: Fault, peer: string) => void;
  /** Called for each request that failed. Must not throw. */
  readonly onFault: (fault: Fault, peer: string) => void;
  /** Called for all other errors; each has ended its exchange or its connection. Must not throw. */
  readonly onError: (error: unknown, peer: string) => void;
}

/** Most requests of one connection at one time: the least that RFC 9113 section 6.5.2 recommends. */
const STREAMS_MAX = 100;

/** The HTTP/2 connections of one listener. */
export class Http2Server {
  readonly limits: ServerLimits;
  readonly deadlines: Deadlines;
  readonly connOptions: BufferedConnOptions;
  readonly settings: ConnectionSettings;
  readonly handler: Http2ServerOptions["handler"];
  readonly isReserved: (path: string) => boolean;
  readonly onBroken: Http2ServerOptions["onBroken"];
  readonly onMalformed: Http2ServerOptions["onMalformed"];
  readonly onFault: Http2ServerOptions["onFault"];
  readonly onError: Http2ServerOptions["onError"];
  readonly #connections = new Slab<Member>();
  #draining = false;
  /** True once the time of the drain is up: no connection is served any more. */
  #isOver = false;
  /** Requests that were cut. */
  #cut = 0;
  #change: PromiseWithResolvers<void> | undefined;

  constructor(options: Http2ServerOptions) {
    const limits = this.limits = { ...SERVER_LIMITS, ...options.limits };
    const { deadlines, handler, isReserved, onBroken, onMalformed, onFault, onError } = options;
    this.deadlines = deadlines;
    this.handler = handler;
    this.isReserved = isReserved;
    this.onBroken = onBroken;
    this.onMalformed = onMalformed;
    this.onFault = onFault;
    this.onError = onError;
    const { writeMs, bodyMs, bodyRateMin, headBytesMax, fieldsMax } = limits;
    this.connOptions = {
      deadlines,
      writeMs,
      faults: { reset: "clientReset", slowWrite: "slowReader" },
    };
    this.settings = {
      deadlines,
      headLimits: { headBytesMax, fieldsMax },
      bodyRules: {
        side: "request",
        waitMs: bodyMs,
        rateMin: bodyRateMin,
        lateFault: "requestTimeout",
        cutFault: "clientReset",
      },
      streamsMax: STREAMS_MAX,
      writeMs,
    };
  }

  /** Replaces the limits, also those of open connections. */
  setLimits(limits: Partial<ServerLimits>): void {
    // Changed in place, because the connections hold these objects.
    Object.assign(this.limits, limits);
    const { writeMs, bodyMs, bodyRateMin, headBytesMax, fieldsMax } = this.limits;
    Object.assign(this.connOptions, { writeMs });
    Object.assign(this.settings, { writeMs });
    Object.assign(this.settings.headLimits, { headBytesMax, fieldsMax });
    Object.assign(this.settings.bodyRules, { waitMs: bodyMs, rateMin: bodyRateMin });
  }

  get connections(): number {
    return this.#connections.size;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /**
   * Serves one connection until it ends. Owns `conn` from here. `isWanted`, `waitForPlace`: see `OtherProtocol`. Never
   * rejects.
   */
  async serve(
    conn: Conn,
    peer: string,
    isWanted: () => boolean,
    waitForPlace?: WaitForPlace,
  ): Promise<void> {
    const member = new Member(new Http2ServerConnection(conn, peer, this, isWanted, waitForPlace));
    this.#connections.add(member);
    try {
      if (this.#isOver) member.connection.cut();
      else await member.connection.run();
    } catch (error) {
      member.connection.cut();
      this.onError(error, peer);
    } finally {
      this.#connections.delete(member);
      this.#change?.resolve();
      this.#change = undefined;
    }
  }

  /** Closes the connection that has been idle for longest, of those beyond the limit or the rest; false if there is none. */
  giveWay(isOverLimit = false): boolean {
    const { now } = this.deadlines;
    let oldest: Http2ServerConnection | undefined;
    for (const { connection } of this.#connections.all()) {
      if (connection.isOverLimit !== isOverLimit || !isIdle(connection, now)) continue;
      if (connection.idleSince < (oldest?.idleSince ?? Infinity)) oldest = connection;
    }
    return oldest?.giveWay() ?? false;
  }

  /**
   * Lets requests finish that are under way or about to come; aborting `now` cuts the rest, also those of connections
   * that come later. Resolves when all connections have ended, with how many requests were cut since the last call.
   */
  async drain(now: AbortSignal): Promise<number> {
    this.#draining = true;
    for (const { connection } of this.#connections.all()) connection.lastCall();
    if (now.aborted) this.#cutAll();
    else now.addEventListener("abort", () => this.#cutAll(), { once: true });
    while (this.#connections.size > 0) {
      await (this.#change ??= Promise.withResolvers<void>()).promise;
    }
    const cut = this.#cut;
    this.#cut = 0;
    return cut;
  }

  #cutAll(): void {
    this.#isOver = true;
    for (const { connection } of this.#connections.all()) {
      this.#cut += connection.running;
      connection.cut();
    }
  }
}

/** A connection has a place among the deadlines; this is its place in the server. */
class Member {
  place = -1;

  constructor(readonly connection: Http2ServerConnection) {}
}
