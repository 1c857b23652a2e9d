/** HTTP/2 for clients: the server of `http2/` with the handler, the limits and the reports of a gateway. */
import type { Fault } from "../../base/fault.ts";
import type { Http2Rule } from "../../base/http2_rules.ts";
import { Http2Server } from "../../http2/server.ts";
import type { WaitForPlace } from "../../http1/http2_preface.ts";
import type { Server } from "../../http1/server.ts";
import type { Conn } from "../../net/conn.ts";
import type { Deadlines } from "../../net/deadlines.ts";
import type { Serve } from "../downstream.ts";
import type { ClientLimits } from "../listen.ts";

/** What HTTP/2 needs from the listener. */
export interface Http2Parts {
  readonly deadlines: Deadlines;
  readonly limits: ClientLimits;
  /** Answers one request. */
  readonly serve: Serve;
  /** True for the path of a request that is answered although the limit is reached. */
  readonly isReserved: (path: string) => boolean;
  /** Called for each rule that a client has broken. */
  readonly onBroken: (rule: Http2Rule, words: string, peer: string) => void;
  /** Called for each request whose head was malformed, beside `onBroken`. */
  readonly onMalformed: (fault: Fault, peer: string) => void;
  /** Called for each request that was refused. */
  readonly onFault: (fault: Fault, peer: string) => void;
  /** Called for all other errors; each has ended its exchange. */
  readonly onError: (error: unknown, peer: string) => void;
}

/** Serves a connection that has chosen HTTP/2 in its handshake, and that counts among the `others` of `server`. */
export async function serveOther(
  server: Pick<Server, "otherEntered" | "otherLeft" | "waitForPlace" | "isWanted">,
  http2: Pick<Http2, "serve">,
  conn: Conn,
  peer: string,
): Promise<void> {
  const place = server.otherEntered();
  const wait: WaitForPlace = (onGone) => server.waitForPlace(place, onGone);
  try {
    await http2.serve(conn, peer, server.isWanted, place.isOverLimit ? wait : undefined);
  } finally {
    server.otherLeft(place);
  }
}

/** The HTTP/2 connections of one listener. */
export class Http2 {
  readonly #server: Http2Server;

  /** `scheme`: what clients have used to connect. */
  constructor({ serve, ...options }: Http2Parts, scheme: "http" | "https" = "https") {
    this.#server = new Http2Server({
      ...options,
      handler: (exchange) => serve(exchange, scheme),
    });
  }

  /** Other limits are in force from now on. */
  setLimits(limits: ClientLimits): void {
    this.#server.setLimits(limits);
  }

  get connections(): number {
    return this.#server.connections;
  }

  /** For a server in which its connections have their places, so that they are counted there only. */
  get inPlaces(): {
    readonly count: () => number;
    readonly giveWay: (isOverLimit?: boolean) => boolean;
  } {
    return { count: () => 0, giveWay: (isOverLimit) => this.giveWay(isOverLimit) };
  }

  /** Serves one connection until it ends. Owns `conn` from here. `isWanted`, `waitForPlace`: see `OtherProtocol`. */
  serve(
    conn: Conn,
    peer: string,
    isWanted: () => boolean,
    waitForPlace?: WaitForPlace,
  ): Promise<void> {
    return this.#server.serve(conn, peer, isWanted, waitForPlace);
  }

  /** Closes the connection that has been idle for longest, of those beyond the limit or the rest; false if there is none. */
  giveWay(isOverLimit = false): boolean {
    return this.#server.giveWay(isOverLimit);
  }

  /** Ends all connections after their requests, or at once when `now` is aborted. Resolves with how many were cut. */
  drain(now: AbortSignal): Promise<number> {
    return this.#server.drain(now);
  }
}
