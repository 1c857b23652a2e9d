/**
 * Link-local addresses, which need an interface: `fe80::1%eth0` (RFC 4007). The kernel expects the number of the
 * interface, which changes when the interface is created again, so it is looked up each time.
 */
import type { SockAddr } from "./kernel.ts";
import { Libc } from "./libc.ts";
import { ipSockaddr } from "./sockaddr.ts";

/** Replaces the name of an interface by its number; undefined if there is no such interface. */
export function numberScope(ip: string, indexOf = interfaceIndex): string | undefined {
  const at = ip.indexOf("%");
  const name = at === -1 ? "" : ip.slice(at + 1);
  if (at === -1 || /^\d+$/.test(name)) return ip;
  const index = indexOf(name);
  return index === 0 ? undefined : `${ip.slice(0, at)}%${index}`;
}

/** Numbers found before, for the time when no descriptor is left to look one up. */
const known = new Map<string, number>();
const KNOWN_MAX = 100;

function interfaceIndex(name: string): number {
  try {
    using libc = new Libc();
    const index = libc.interfaceIndex(name);
    if (known.size < KNOWN_MAX) known.set(name, index);
    return index;
  } catch {
    return known.get(name) ?? 0;
  }
}

/** The socket address of an IP address with or without an interface; undefined if that does not exist. */
export function scopedSockaddr(ip: string, port: number): SockAddr | undefined {
  const numbered = numberScope(ip);
  return numbered === undefined ? undefined : ipSockaddr(numbered, port);
}
