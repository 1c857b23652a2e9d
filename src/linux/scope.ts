/**
 * Link-local addresses, which mean nothing without an interface: `fe80::1%eth0` (RFC 4007). The kernel
 * wants the interface by its number, which changes when the interface is made anew, so it is asked for
 * each time.
 */
import type { SockAddr } from "./kernel.ts";
import { Libc } from "./libc.ts";
import { ipSockaddr } from "./sockaddr.ts";

/** The address with its interface by number; as it is when it names none, undefined if there is none such. */
export function numberScope(ip: string, indexOf = interfaceIndex): string | undefined {
  const at = ip.indexOf("%");
  const name = at === -1 ? "" : ip.slice(at + 1);
  if (at === -1 || /^\d+$/.test(name)) return ip;
  const index = indexOf(name);
  return index === 0 ? undefined : `${ip.slice(0, at)}%${index}`;
}

/** Numbers that were found, for when the system cannot be asked. */
const known = new Map<string, number>();
const KNOWN_MAX = 100;

function interfaceIndex(name: string): number {
  try {
    using libc = new Libc();
    const index = libc.interfaceIndex(name);
    if (known.size < KNOWN_MAX) known.set(name, index);
    return index;
  } catch {
    return known.get(name) ?? 0; // no descriptor is left to ask with
  }
}

/** The socket address of an IP literal, with any interface by its number; undefined where it has none. */
export function scopedSockaddr(ip: string, port: number): SockAddr | undefined {
  const numbered = numberScope(ip);
  return numbered === undefined ? undefined : ipSockaddr(numbered, port);
}
