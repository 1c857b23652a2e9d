/** A connection that met itself. */
import type { Kernel } from "./kernel.ts";

/**
 * True if both ends of `fd`, a socket that just connected, are the same address. The kernel picks the port of
 * our end; on this machine it may pick the very one that is connected to and that nobody listens on, and
 * both ends agree (RFC 9293 section 3.5, simultaneous open). That is a closed port, not an upstream.
 */
export function isSelfConnect(kernel: Kernel, fd: number): boolean {
  const [local, peer] = [kernel.localAddress(fd), kernel.peerAddress(fd)];
  // Unnamed ends of unix sockets are shorter than any address of the internet.
  return local.length >= 16 && local.length === peer.length &&
    local.every((byte, place) => byte === peer[place]);
}
