/** Connections that begin with the preface of HTTP/2, on a server of HTTP/1.1 (RFC 9113 section 3.3). */
import { Fault } from "../base/fault.ts";
import type { Conn } from "../net/conn.ts";
import type { BufferedConn } from "./buffered_conn.ts";

/** Waits for a place for a connection beyond the limit: see `Server.waitForPlace`. */
export type WaitForPlace = (onGone: (leave: () => void) => void) => Promise<boolean>;

/** Serves the connections of another protocol. */
export interface OtherProtocol {
  /**
   * Resolves when the connection has ended; `conn` gives first what was read. One beyond the limit waits by
   * `waitForPlace` when it has a request; the others have none. While `isWanted` is true, places are few, and a
   * connection should end with its last request.
   */
  serve(
    conn: Conn,
    peer: string,
    isWanted: () => boolean,
    waitForPlace?: WaitForPlace,
  ): Promise<void>;
}

/** A connection that may be beyond the limit. */
export interface Placed {
  /** True while it has no place. */
  isOverLimit: boolean;
}

/** What the first line of the preface looks like to a parser of HTTP/1.1: a request whose version is not known. */
const BEGINNING = new TextEncoder().encode("PRI * HTTP/2.0");

/**
 * Serves the whole connection if it begins with the preface, which makes `head` a Fault, and HTTP/2 may be spoken;
 * false if not.
 */
export async function servesHttp2(
  head: unknown,
  io: BufferedConn,
  connection: Placed & { readonly peer: string; isHandedOver: boolean },
  server: {
    readonly options: { readonly http2?: OtherProtocol };
    readonly isWanted: () => boolean;
    waitForPlace(connection: Placed, ...how: Parameters<WaitForPlace>): ReturnType<WaitForPlace>;
  },
): Promise<boolean> {
  const { http2 } = server.options;
  if (http2 === undefined || !(head instanceof Fault)) return false;
  const { input, received } = io;
  const { bytes, start, length } = input;
  if (length !== received || length < BEGINNING.length) return false;
  if (BEGINNING.some((byte, at) => bytes[start + at] !== byte)) return false;
  connection.isHandedOver = true;
  await http2.serve(
    io.handOver(),
    connection.peer,
    server.isWanted,
    connection.isOverLimit ? (onGone) => server.waitForPlace(connection, onGone) : undefined,
  );
  return true;
}
