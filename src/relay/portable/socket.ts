/** Sockets of the portable engine: tuned, closed, and named in our own words. */
import type { Address } from "../../base/address.ts";

/** Sends small messages at once and finds out, in hours, about a peer that silently vanished. */
export function tune(conn: Deno.Conn): void {
  if (!("setNoDelay" in conn)) return;
  const tcp = conn as Deno.TcpConn;
  try {
    tcp.setNoDelay(true);
    tcp.setKeepAlive(true);
  } catch {
    // Some systems refuse options on a socket whose peer is gone; the first read will tell.
  }
}

/** Closes a socket that may be closed already. */
export function closeConn(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error; // closed before
  }
}

/** A socket's end in our own words. */
export function addressOf(end: Deno.Addr): Address {
  if ("hostname" in end) return { kind: "tcp", host: end.hostname, port: end.port };
  return { kind: "unix", path: "path" in end ? end.path ?? "" : "" };
}

/**
 * True for a socket that is connected to itself: one that dialed a closed port of this machine and got
 * that very port as its own (a simultaneous open with itself, RFC 9293 3.5).
 */
export function reachesItself({ localAddr, remoteAddr }: Deno.Conn): boolean {
  if (!("hostname" in localAddr) || !("hostname" in remoteAddr)) return false;
  return localAddr.port === remoteAddr.port && localAddr.hostname === remoteAddr.hostname;
}
