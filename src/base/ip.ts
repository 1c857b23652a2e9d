/**
 * IP addresses as text and as bytes: the only parser and the only printer of them. Pure.
 *
 * Bytes are in network order, 4 for IPv4 and 16 for IPv6 (RFC 4291). A scope (`%eth0`, RFC 4007) is no part
 * of an address here: the caller removes it first.
 */

/** The bytes of an address in text form; undefined for anything else. */
export function parseIp(text: string): number[] | undefined {
  return parseIpv4(text) ?? parseIpv6(text);
}

/** Dotted for 4 bytes; for 16 the short form of RFC 5952, with mapped addresses in hexadecimal as well. */
export function formatIp(bytes: ArrayLike<number>): string {
  if (bytes.length === 4) return Array.from(bytes).join(".");
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

/**
 * The 4 bytes of an address of IPv4, also of one that is mapped into IPv6 (`::ffff:1.2.3.4`), as a listener
 * for both families shows its clients (RFC 4291 section 2.5.5.2); undefined for any other.
 */
export function ipv4Of(bytes: ArrayLike<number>): number[] | undefined {
  if (bytes.length === 4) return Array.from(bytes);
  for (let at = 0; at < 12; at++) if (bytes[at] !== (at < 10 ? 0 : 255)) return undefined;
  return Array.from(bytes).slice(12);
}

/** The 16 bytes of an address, that of IPv4 mapped into IPv6. */
export function ipv6Of(bytes: readonly number[]): readonly number[] {
  return bytes.length === 16 ? bytes : [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...bytes];
}

/**
 * True if `host` has the form of an address, with or without a scope, so that it needs no look-up. It need not
 * be a valid one: the system decides that.
 */
export function isIp(host: string): boolean {
  return host.includes(":") || /^\d+(\.\d+){3}$/.test(host);
}

/** A number without leading zeros: some programs would read those as octal (RFC 6943 section 3.1.1). */
const IPV4 = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;

function parseIpv4(text: string): number[] | undefined {
  const parts = IPV4.exec(text)?.slice(1).map(Number);
  return parts?.every((part) => part <= 255) ? parts : undefined;
}

function parseIpv6(text: string): number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2 || !text.includes(":")) return undefined;
  const [head, tail] = halves.map((half, at) => groupsOf(half, at === halves.length - 1));
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  const missing = 16 - head.length - (tail?.length ?? 0);
  if (halves.length === 2 ? missing < 2 : missing !== 0) return undefined;
  return [...head, ...Array<number>(missing).fill(0), ...tail ?? []];
}

/**
 * The bytes of groups such as `a:b:1.2.3.4`; undefined if one is not a group. Only the last group of an address may
 * have the form of IPv4; `isLast`: it is among these.
 */
function groupsOf(text: string, isLast: boolean): number[] | undefined {
  if (text === "") return [];
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [place, group] of groups.entries()) {
    const v4 = isLast && place === groups.length - 1 ? parseIpv4(group) : undefined;
    if (v4 !== undefined) bytes.push(...v4);
    else if (/^[0-9a-f]{1,4}$/i.test(group)) {
      const value = parseInt(group, 16);
      bytes.push(value >> 8, value & 255);
    } else return undefined;
  }
  return bytes;
}
