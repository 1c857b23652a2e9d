/**
 * Encodes and decodes socket addresses of the kernel (ip(7), ipv6(7), unix(7)). Pure. Both supported processors
 * are little-endian; ports and addresses are always big-endian.
 */
import type { Address } from "../base/address.ts";
import { formatIp, ipv4Of, parseIp } from "../base/ip.ts";
import type { SockAddr } from "./kernel.ts";

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;

/** A decoded socket address. `path` is empty for a socket without a name. */
export type Endpoint =
  | { readonly kind: "ip"; readonly ip: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** Encodes an IP address and a port; undefined if `ip` is not an address. `%n` gives the scope by number. */
export function ipSockaddr(ip: string, port: number): SockAddr | undefined {
  const [literal = "", scope] = ip.split("%");
  const parsed = parseIp(literal);
  const scopeId = scope === undefined ? 0 : Number(scope);
  if (parsed === undefined || !Number.isInteger(scopeId)) return undefined;
  const isV4 = parsed.length === 4;
  if (isV4 && scope !== undefined) return undefined;
  const bytes = new Uint8Array(isV4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  bytes[0] = isV4 ? AF_INET : AF_INET6;
  view.setUint16(2, port);
  bytes.set(parsed, isV4 ? 4 : 8);
  if (isV4) return bytes;
  view.setUint32(24, scopeId, true);
  return bytes;
}

/** Encodes the path of a unix socket, of at most 107 bytes. */
export function unixSockaddr(path: string): SockAddr {
  const text = new TextEncoder().encode(path);
  const bytes = new Uint8Array(2 + text.length + 1);
  bytes[0] = AF_UNIX;
  bytes.set(text, 2);
  return bytes;
}

/** The socket address of `address`; undefined if its host is a name. */
export function literalSockaddr(address: Address): SockAddr | undefined {
  return address.kind === "unix"
    ? unixSockaddr(address.path)
    : ipSockaddr(address.host, address.port);
}

/** True for the address of a unix socket. */
export function isUnix(address: SockAddr): boolean {
  return address[0] === AF_UNIX;
}

/** True for an address of IPv6, mapped ones included. */
export function isIpv6(address: SockAddr): boolean {
  return address[0] === AF_INET6;
}

/** Decodes a result of getsockname(2) or getpeername(2). An empty or unknown address counts as an unnamed unix socket. */
export function endpointOf(address: SockAddr): Endpoint {
  const view = new DataView(address.buffer, address.byteOffset, address.byteLength);
  if (address[0] === AF_INET && address.length >= 8) {
    return { kind: "ip", ip: formatIp(address.subarray(4, 8)), port: view.getUint16(2) };
  }
  if (address[0] === AF_INET6 && address.length >= 24) {
    const scope = address.length >= 28 ? view.getUint32(24, true) : 0;
    const bytes = address.subarray(8, 24);
    // A dual-stack listener shows IPv4 clients with mapped addresses.
    const ip = formatIp(ipv4Of(bytes) ?? bytes) + (scope === 0 ? "" : `%${scope}`);
    return { kind: "ip", ip, port: view.getUint16(2) };
  }
  const end = address.indexOf(0, 2);
  const text = address.subarray(2, end === -1 ? undefined : end);
  return { kind: "unix", path: new TextDecoder().decode(text) };
}

/** True if both are addresses of one host, whatever their ports, and of one family. */
export function isSameHost(a: SockAddr, b: SockAddr): boolean {
  if (a.length !== b.length || a.length === 0 || a[0] !== b[0] || isUnix(a)) return false;
  // The family and the port come first.
  for (let i = 4; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** A socket address as the rest of the program knows addresses. */
export function addressOfSockaddr(address: SockAddr): Address {
  const endpoint = endpointOf(address);
  return endpoint.kind === "unix"
    ? endpoint
    : { kind: "tcp", host: endpoint.ip, port: endpoint.port };
}
