/**
 * Socket addresses as the kernel wants them (ip(7), ipv6(7), unix(7)) and back. Pure bytes. Both CPUs we
 * run on are little-endian; ports and addresses are big-endian everywhere.
 */
import type { Address } from "../base/address.ts";
import type { SockAddr } from "./kernel.ts";

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;

export type Endpoint =
  | { readonly kind: "ip"; readonly ip: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** Encodes an IP literal and port; undefined when `ip` is no literal. `%n` gives the scope by number. */
export function ipSockaddr(ip: string, port: number): SockAddr | undefined {
  const v4 = parseIpv4(ip);
  if (v4 !== undefined) {
    const bytes = new Uint8Array(16);
    bytes[0] = AF_INET;
    new DataView(bytes.buffer).setUint16(2, port);
    bytes.set(v4, 4);
    return bytes;
  }
  const [literal = "", scope] = ip.split("%");
  const v6 = parseIpv6(literal);
  const scopeId = scope === undefined ? 0 : Number(scope);
  if (v6 === undefined || !Number.isInteger(scopeId)) return undefined;
  const bytes = new Uint8Array(28);
  const view = new DataView(bytes.buffer);
  bytes[0] = AF_INET6;
  view.setUint16(2, port);
  bytes.set(v6, 8);
  view.setUint32(24, scopeId, true);
  return bytes;
}

/** Encodes the path of a unix socket, at most 107 bytes. */
export function unixSockaddr(path: string): SockAddr {
  const text = new TextEncoder().encode(path);
  const bytes = new Uint8Array(2 + text.length + 1);
  bytes[0] = AF_UNIX;
  bytes.set(text, 2);
  return bytes;
}

/** The socket address of `address` if it takes no look-up to know it. */
export function literalSockaddr(address: Address): SockAddr | undefined {
  return address.kind === "unix"
    ? unixSockaddr(address.path)
    : ipSockaddr(address.host, address.port);
}

export function isUnix(address: SockAddr): boolean {
  return address[0] === AF_UNIX;
}

export function isIpv6(address: SockAddr): boolean {
  return address[0] === AF_INET6;
}

/** Reads what getsockname and getpeername gave; an address that is empty or unknown is a nameless unix one. */
export function endpointOf(address: SockAddr): Endpoint {
  const view = new DataView(address.buffer, address.byteOffset, address.byteLength);
  if (address[0] === AF_INET && address.length >= 8) {
    return { kind: "ip", ip: address.subarray(4, 8).join("."), port: view.getUint16(2) };
  }
  if (address[0] === AF_INET6 && address.length >= 24) {
    const scope = address.length >= 28 ? view.getUint32(24, true) : 0;
    const ip = formatIpv6(address.subarray(8, 24)) + (scope === 0 ? "" : `%${scope}`);
    return { kind: "ip", ip, port: view.getUint16(2) };
  }
  const end = address.indexOf(0, 2);
  const text = address.subarray(2, end === -1 ? undefined : end);
  return { kind: "unix", path: new TextDecoder().decode(text) };
}

function parseIpv4(text: string): number[] | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
  return parts?.every((part) => part <= 255) ? parts : undefined;
}

function parseIpv6(text: string): number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2 || !text.includes(":")) return undefined;
  const [head, tail] = halves.map(groupsOf);
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  const missing = 16 - head.length - (tail?.length ?? 0);
  if (halves.length === 2 ? missing < 2 : missing !== 0) return undefined;
  return [...head, ...Array<number>(missing).fill(0), ...tail ?? []];
}

/** The bytes of `a:b:1.2.3.4`, or undefined if that is not what it is. */
function groupsOf(text: string): number[] | undefined {
  if (text === "") return [];
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [place, group] of groups.entries()) {
    const v4 = place === groups.length - 1 ? parseIpv4(group) : undefined;
    if (v4 !== undefined) bytes.push(...v4);
    else if (/^[0-9a-f]{1,4}$/i.test(group)) {
      const value = parseInt(group, 16);
      bytes.push(value >> 8, value & 255);
    } else return undefined;
  }
  return bytes;
}

/** RFC 5952: lower case, the longest run of two or more zero groups as `::`; IPv4-mapped as plain IPv4. */
function formatIpv6(bytes: Uint8Array): string {
  const mapped = bytes.subarray(0, 10).every((byte) => byte === 0) &&
    bytes[10] === 255 && bytes[11] === 255;
  if (mapped) return bytes.subarray(12, 16).join(".");
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  let best = { at: 0, length: 1 };
  for (let at = 0; at < 8; at++) {
    let end = at;
    while (end < 8 && groups[end] === 0) end++;
    if (end - at > best.length) best = { at, length: end - at };
  }
  const hex = groups.map((group) => group.toString(16));
  if (best.length < 2) return hex.join(":");
  return `${hex.slice(0, best.at).join(":")}::${hex.slice(best.at + best.length).join(":")}`;
}
