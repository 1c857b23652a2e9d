/**
 * Reads the PROXY protocol header, by which a balancer says who its client is, versions 1 (text) and 2 (binary).
 * Strict: what the text leaves open or does not allow is refused. Pure, but for `readProxyHeader`.
 * Source: "The PROXY protocol, versions 1 & 2", Willy Tarreau, haproxy.org, doc/proxy-protocol.txt; the section
 * numbers below are of that text.
 */
import type { Address } from "../base/address.ts";
import type { Clock } from "../base/clock.ts";
import { formatIp, parseIp } from "../base/ip.ts";
import type { Conn } from "./conn.ts";

/** Which versions of the header are accepted. */
export type ProxyVersions = "v1" | "v2" | "any";

/** The addresses of a connection that a balancer passes on. */
export interface ProxiedAddresses {
  readonly client: Address;
  /** Where the client has connected to. */
  readonly local: Address;
}

/** The result of parsing the beginning of a connection. */
export type ParsedProxyHeader =
  /** At least so many more bytes belong to the header. */
  | { readonly is: "incomplete"; readonly missing: number }
  /** `addresses` is missing for a connection of the balancer's own (LOCAL), or if it does not know (UNSPEC). */
  | { readonly is: "complete"; readonly addresses: ProxiedAddresses | undefined }
  | { readonly is: "malformed" };

/** How long a client has to send its header, in milliseconds. */
export const PROXY_HEADER_MS = 5_000;
/** The longest header that is taken; one of version 2 may have extensions of up to 64 KiB, which nobody sends. */
export const PROXY_HEADER_BYTES_MAX = 4_096;

/** Section 2.2: the twelve bytes that no other protocol begins with. */
const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
const V1_BEGIN = Array.from("PROXY ", (char) => char.charCodeAt(0));
/** Section 2.1: the shortest line is `PROXY UNKNOWN`, and 107 bytes are enough for any. */
const V1_BYTES_MIN = 15;
const V1_BYTES_MAX = 107;
const V2_FIXED_BYTES = 16;
const CR = 13;
const LF = 10;

const MALFORMED: ParsedProxyHeader = { is: "malformed" };
const NO_ADDRESSES: ParsedProxyHeader = { is: "complete", addresses: undefined };

/** Parses the first `length` of these bytes, which must not be more than were asked for before. */
export function parseProxyHeader(
  bytes: Uint8Array,
  length: number,
  versions: ProxyVersions,
): ParsedProxyHeader {
  if (length === 0) return { is: "incomplete", missing: SIGNATURE.length };
  if (versions !== "v1" && begins(bytes, length, SIGNATURE)) return parseV2(bytes, length);
  if (versions !== "v2" && begins(bytes, length, V1_BEGIN)) return parseV1(bytes, length);
  return MALFORMED;
}

/** True if the first `length` bytes are the beginning of `with_`, or begin with all of it. */
function begins(bytes: Uint8Array, length: number, with_: readonly number[]): boolean {
  return with_.every((byte, at) => at >= length || bytes[at] === byte);
}

function parseV1(bytes: Uint8Array, length: number): ParsedProxyHeader {
  for (let at = 0; at < length; at++) {
    if (bytes[at] !== LF) continue;
    if (at !== length - 1 || bytes[at - 1] !== CR) return MALFORMED;
    return parseLine(String.fromCharCode(...bytes.subarray(0, at - 1)));
  }
  if (length >= V1_BYTES_MAX) return MALFORMED;
  const least = bytes[length - 1] === CR ? 1 : 2;
  return { is: "incomplete", missing: Math.max(V1_BYTES_MIN - length, least) };
}

function parseLine(line: string): ParsedProxyHeader {
  // What follows UNKNOWN must be ignored.
  if (/^PROXY UNKNOWN( [\x21-\x7e ]*)?$/.test(line)) return NO_ADDRESSES;
  const parts = /^PROXY TCP([46]) (\S+) (\S+) (\d+) (\d+)$/.exec(line);
  if (parts === null) return MALFORMED;
  const [, family, source = "", target = "", sourcePort = "", targetPort = ""] = parts;
  const size = family === "4" ? 4 : 16;
  const client = tcpAddress(source, sourcePort, size);
  const local = tcpAddress(target, targetPort, size);
  if (client === undefined || local === undefined) return MALFORMED;
  return { is: "complete", addresses: { client, local } };
}

function tcpAddress(host: string, port: string, size: 4 | 16): Address | undefined {
  const ip = parseIp(host);
  if (ip?.length !== size || !/^(0|[1-9]\d{0,4})$/.test(port) || Number(port) > 65_535) {
    return undefined;
  }
  return { kind: "tcp", host: formatIp(ip), port: Number(port) };
}

function parseV2(bytes: Uint8Array, length: number): ParsedProxyHeader {
  if (length < V2_FIXED_BYTES) return { is: "incomplete", missing: V2_FIXED_BYTES - length };
  const command = bytes[12]!;
  const family = bytes[13]! >> 4;
  const transport = bytes[13]! & 15;
  const rest = bytes[14]! * 256 + bytes[15]!;
  // Version 2; LOCAL or PROXY; families and transports that the text assigns.
  if ((command !== 0x20 && command !== 0x21) || family > 3 || transport > 2) return MALFORMED;
  const end = V2_FIXED_BYTES + rest;
  if (end > PROXY_HEADER_BYTES_MAX) return MALFORMED;
  if (length < end) return { is: "incomplete", missing: end - length };
  // Whatever a LOCAL says of addresses must be ignored, and all that follows an unspecified family.
  if (command === 0x20 || family === 0 || transport === 0) return NO_ADDRESSES;
  const size = FAMILY_BYTES[family]!;
  if (transport !== 1 || rest < size || !areExtensions(bytes, V2_FIXED_BYTES + size, end)) {
    return MALFORMED;
  }
  // A client of a unix socket has no address that would mean anything here.
  if (family === 3) return NO_ADDRESSES;
  const each = family === 1 ? 4 : 16;
  const at = V2_FIXED_BYTES;
  const port = (place: number) => bytes[place]! * 256 + bytes[place + 1]!;
  const address = (place: number, portAt: number): Address => ({
    kind: "tcp",
    host: formatIp(bytes.subarray(place, place + each)),
    port: port(portAt),
  });
  const ports = at + 2 * each;
  return {
    is: "complete",
    addresses: { client: address(at, ports), local: address(at + each, ports + 2) },
  };
}

/** Bytes of the addresses of each family: none, IPv4, IPv6 and unix. */
const FAMILY_BYTES = [0, 12, 36, 216];

/** True if only whole extensions, each with its length (section 2.2.7), follow the addresses. */
function areExtensions(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at + 3 <= end) at += 3 + bytes[at + 1]! * 256 + bytes[at + 2]!;
  return at === end;
}

/**
 * Reads the header from a connection, and no byte more. Resolves with undefined if there is none, or not in time;
 * the connection is closed then. Never rejects.
 */
export async function readProxyHeader(
  conn: Conn,
  versions: ProxyVersions,
  clock: Clock,
): Promise<{ readonly addresses: ProxiedAddresses | undefined } | undefined> {
  const cancel = clock.after(PROXY_HEADER_MS, () => conn.close());
  const bytes = new Uint8Array(PROXY_HEADER_BYTES_MAX);
  try {
    for (let length = 0;;) {
      const parsed = parseProxyHeader(bytes, length, versions);
      if (parsed.is === "complete") return parsed;
      if (parsed.is === "malformed") break;
      const count = await conn.read(bytes.subarray(length, length + parsed.missing));
      if (count === null) break;
      length += count;
    }
  } catch {
    // It broke, or its time was up.
  } finally {
    cancel();
  }
  conn.reset();
  return undefined;
}
