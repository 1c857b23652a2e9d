/**
 * Sockets as the portable engine makes, tunes and closes them. A failed connect is a value; nothing is
 * retried here.
 */
import type { Address } from "../base/address.ts";
import { connectFault, type Fault } from "../base/fault.ts";

/**
 * Connects, or says what went wrong. Aborting `signal` ends the attempt at once, as `connectFailed`.
 * Deno 2.9 loses the socket of a connect that succeeds in the same turn as the abort (2 of 1 000 when
 * provoked); only a failover or a time-out aborts, so it is not worth a connect that cannot be ended.
 */
export async function dial(address: Address, signal: AbortSignal): Promise<Deno.Conn | Fault> {
  try {
    // A unix socket answers or refuses at once (connect(2)), and Deno takes no signal there.
    if (address.kind === "unix") {
      return await Deno.connect({ transport: "unix", path: address.path });
    }
    return await Deno.connect({ hostname: address.host, port: address.port, signal });
  } catch (error) {
    return connectFault(error, false);
  }
}

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
