/**
 * Connections whose TLS handshake or last write has not finished. `close` of such a `Deno.TlsConn` waits for that, so
 * that a silent peer would keep the descriptor without limit. Where the kernel can be called, the socket itself
 * is shut down first: what waits fails at once, and Deno closes the descriptor.
 *
 * Deno does not reveal the descriptors of these connections. They are found among all of this process by their
 * two addresses.
 */
import { formatIp, ipv4Of, parseIp } from "../../base/ip.ts";
import { Libc } from "../../linux/libc.ts";
import { endpointOf } from "../../linux/sockaddr.ts";
import { openDescriptors } from "../../linux/open_descriptors.ts";
import { kernelUnsupportedReason } from "../../linux/unsupported_reason.ts";
import type { SockAddr } from "../../linux/kernel.ts";

/** Whether the kernel can be called; examined when it is first asked for. */
let isSupported: boolean | undefined;

/** The part of a connection that is used. */
export type TlsSocket = Pick<Deno.Conn, "localAddr" | "remoteAddr" | "close">;

/**
 * Ends and examines such connections. Without the kernel, `end` only calls `close`, and `isSilent` is true.
 */
export class UnfinishedTls implements Disposable {
  /** Loaded when it is first needed, which takes some milliseconds. */
  #libc: Libc | undefined;
  /** Descriptors of connections that are open; -1 if there is none. */
  readonly #found = new WeakMap<TlsSocket, number>();

  /**
   * Closes a connection, although its handshake or a write has not finished. `alike`: connections that may be asked about
   * soon, whose descriptors are looked for at the same time.
   */
  end(conn: TlsSocket, alike: Iterable<TlsSocket> = []): void {
    const fd = this.#find(conn, alike);
    if (fd >= 0) this.#libc!.shutdown(fd);
    this.#found.delete(conn);
    conn.close();
  }

  /**
   * True if the peer has not sent the first message of its handshake, or not all of it, or if that is
   * unknown.
   */
  isSilent(conn: TlsSocket, alike: Iterable<TlsSocket> = []): boolean {
    const fd = this.#find(conn, alike);
    if (fd < 0) return true;
    const libc = this.#libc!;
    // Deno answers a whole first message. One that it has not read yet is still in the socket.
    return libc.unacked(fd) <= 0 && libc.acked(fd) <= 1 && libc.peek(fd) <= 0;
  }

  /** Unloads what was loaded; it is loaded again when it is needed. */
  [Symbol.dispose](): void {
    this.#libc?.[Symbol.dispose]();
    this.#libc = undefined;
  }

  /** The descriptor of an open connection; -1 if it is unknown. */
  #find(conn: TlsSocket, alike: Iterable<TlsSocket>): number {
    isSupported ??= kernelUnsupportedReason() === undefined;
    if (!isSupported) return -1;
    this.#libc ??= new Libc();
    if (!this.#found.has(conn)) this.#search([conn, ...alike]);
    return this.#found.get(conn)!;
  }

  #search(conns: readonly TlsSocket[]): void {
    const libc = this.#libc!;
    const byPort = new Map<number, TlsSocket[]>();
    for (const conn of conns) {
      if (this.#found.has(conn)) continue;
      this.#found.set(conn, -1);
      const { port } = conn.remoteAddr as Deno.NetAddr;
      const others = byPort.get(port);
      if (others === undefined) byPort.set(port, [conn]);
      else others.push(conn);
    }
    let peer: SockAddr = new Uint8Array(0);
    const isOpen = (fd: number) => (peer = libc.peerAddress(fd)).length > 0 || libc.isOpen(fd);
    for (const fd of openDescriptors(isOpen)) {
      if (peer.length < 4) continue;
      const candidates = byPort.get((peer[2]! << 8) | peer[3]!);
      const conn = candidates?.find(({ remoteAddr, localAddr }) =>
        isAt(peer, remoteAddr) && isAt(libc.localAddress(fd), localAddr)
      );
      if (conn !== undefined) this.#found.set(conn, fd);
    }
  }
}

function isAt(address: SockAddr, end: Deno.Addr): boolean {
  const has = endpointOf(address);
  // The addresses of a connection that `startTls` made do not name their transport.
  if (has.kind !== "ip" || !("hostname" in end) || has.port !== end.port) return false;
  return has.ip.split("%")[0] === canonical(end.hostname);
}

/** An IP address as `endpointOf` writes it, without a scope. */
function canonical(hostname: string): string | undefined {
  const bytes = parseIp(hostname.split("%")[0]!);
  return bytes === undefined ? undefined : formatIp(ipv4Of(bytes) ?? bytes);
}
