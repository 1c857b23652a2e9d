/**
 * Deno's sockets as `Conn`, and functions for any `Deno.Conn`: socket options, addresses, and a close that may
 * be repeated.
 *
 * Deno cannot send a RST: a connection that is cut ends with a FIN, and only the framing of the protocol shows
 * the peer that something is missing.
 */
import type { Address } from "../../base/address.ts";
import type { Conn } from "../conn.ts";

class DenoConn implements Conn {
  readonly #conn: Deno.Conn;
  readonly #cut: (() => void) | undefined;
  #writes = 0;
  #closed = false;

  constructor(conn: Deno.Conn, cut: (() => void) | undefined) {
    this.#conn = conn;
    this.#cut = cut;
  }

  read(buffer: Uint8Array): Promise<number | null> {
    return this.#conn.read(buffer);
  }

  write(bytes: Uint8Array): Promise<number> {
    return this.#cut === undefined ? this.#conn.write(bytes) : this.#countedWrite(bytes);
  }

  async #countedWrite(bytes: Uint8Array): Promise<number> {
    this.#writes++;
    try {
      return await this.#conn.write(bytes);
    } finally {
      this.#writes--;
    }
  }

  closeWrite(): Promise<void> {
    return this.#conn.closeWrite();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#conn.close();
  }

  reset(): void {
    if (this.#closed) return;
    // The peer may have gone, and then nothing waits for it.
    if (this.#cut === undefined || this.#writes === 0) return this.close();
    this.#closed = true;
    this.#cut();
  }
}

/**
 * Wraps a connection that is open, with or without TLS. The result owns it. `cut` closes it at once although its
 * peer does not read what is being written, for which `close` of a `Deno.TlsConn` waits.
 */
export function denoConn(conn: Deno.Conn, cut?: () => void): Conn {
  return new DenoConn(conn, cut);
}

/**
 * Sends small messages at once (TCP_NODELAY, tcp(7)), with `keepAlive` also finds out, in hours, about a peer
 * that silently vanished (SO_KEEPALIVE, socket(7)). Does nothing on a unix socket. Returns `conn`.
 */
export function tune<C extends Deno.Conn>(conn: C, keepAlive = false): C {
  if (!("setNoDelay" in conn)) return conn;
  const tcp = conn as unknown as Deno.TcpConn;
  try {
    tcp.setNoDelay(true);
    if (keepAlive) tcp.setKeepAlive(true);
  } catch {
    // A connection that has ended meanwhile has no options; its first read reports the end.
  }
  return conn;
}

/** Closes a connection that may be closed already. */
export function closeConn(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch (error) {
    // Deno throws this for a connection that is closed already.
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

/** One end of a connection, or where a listener listens, as the rest of the program knows addresses. */
export function addressOfDeno(end: Deno.Addr): Address {
  if ("hostname" in end) return { kind: "tcp", host: end.hostname, port: end.port };
  return { kind: "unix", path: "path" in end ? end.path ?? "" : "" };
}

/** The client's IP address, or `unix`. */
export function peerOf({ remoteAddr }: Deno.Conn): string {
  return remoteAddr.transport === "tcp" ? remoteAddr.hostname : "unix";
}
