/** Connections that begin with the preface of HTTP/2, on a server of HTTP/1.1 (RFC 9113 section 3.3). */
import { Fault } from "../base/fault.ts";
import type { Conn } from "../net/conn.ts";
import type { BufferedConn } from "./buffered_conn.ts";

/** Serves the connections of another protocol. */
export interface OtherProtocol {
  /** Resolves when the connection has ended; `conn` gives first what was read. `isOverLimit`: it is beyond the limit. */
  serve(conn: Conn, peer: string, isOverLimit: boolean): Promise<void>;
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
  connection: {
    readonly peer: string;
    readonly isOverLimit: boolean;
    isHandedOver: boolean;
  },
  { options: { http2 } }: { readonly options: { readonly http2?: OtherProtocol } },
): Promise<boolean> {
  if (http2 === undefined || !(head instanceof Fault)) return false;
  const { input, received } = io;
  const { bytes, start, length } = input;
  if (length !== received || length < BEGINNING.length) return false;
  if (BEGINNING.some((byte, at) => bytes[start + at] !== byte)) return false;
  connection.isHandedOver = true;
  await http2.serve(io, connection.peer, connection.isOverLimit);
  return true;
}
