/** Recognises a socket that is connected to itself. */
import type { Kernel } from "./kernel.ts";

/**
 * True if both ends of `fd`, a socket that has just connected, have the same address. The kernel chooses the
 * local port of a socket; if the peer is a port of this machine on which nothing listens, it may choose the same
 * one, and the socket connects to itself (simultaneous open, RFC 9293 section 3.5). The port is closed then.
 */
export function isSelfConnect(kernel: Kernel, fd: number): boolean {
  const [local, peer] = [kernel.localAddress(fd), kernel.peerAddress(fd)];
  // An unnamed unix socket has a shorter address than any IP socket.
  return local.length >= 16 && local.length === peer.length &&
    local.every((byte, place) => byte === peer[place]);
}
