/** Listens on an address with sockets of the kernel, with the fallbacks that an operator expects. */
import { EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, ECONNREFUSED } from "../../linux/errno.ts";
import type { Kernel, ListenOptions, SockAddr } from "../../linux/kernel.ts";
import { ProcessLibc } from "../../linux/process_libc.ts";
import { endpointOf, ipSockaddr } from "../../linux/sockaddr.ts";

/**
 * Returns the descriptor of a listening socket, or a negated error number. `::` falls back to IPv4 where the
 * system has no IPv6, and the socket file of a process that crashed is replaced.
 */
export function listenAt(kernel: Kernel, address: SockAddr, options: ListenOptions): number {
  const listener = kernel.listen(address, options);
  const endpoint = endpointOf(address);
  if (endpoint.kind === "unix") {
    if (listener !== -EADDRINUSE || !isStale(kernel, address)) return listener;
    const kept = kernel.unlinkSocket(endpoint.path);
    return kept < 0 ? kept : kernel.listen(address, options);
  }
  // A system without IPv6 has no "::"; its interfaces have addresses of IPv4.
  const lacksIpv6 = listener === -EAFNOSUPPORT || listener === -EADDRNOTAVAIL;
  if (!lacksIpv6 || endpoint.ip !== "::") return listener;
  return kernel.listen(ipSockaddr("0.0.0.0", endpoint.port)!, options);
}

/** True if nothing listens on the socket file: its owner ended without removing it. */
function isStale(kernel: Kernel, address: SockAddr): boolean {
  const fd = connectOnce(kernel, address);
  if (fd >= 0) kernel.close(fd);
  return fd === -ECONNREFUSED;
}

/** The number of the process that listens on a unix socket; undefined if there is none, or it cannot be asked. */
export function holderOf(kernel: Kernel, address: SockAddr): number | undefined {
  const fd = connectOnce(kernel, address);
  if (fd < 0) return undefined;
  using process = new ProcessLibc();
  const pid = process.peerCredentials(fd)?.pid;
  kernel.close(fd);
  return pid;
}

/** A connect to a unix socket answers at once, so it needs no dialer. Returns a descriptor or an error number. */
function connectOnce(kernel: Kernel, address: SockAddr): number {
  return kernel.connect(address, { userTimeoutMs: 0 });
}
