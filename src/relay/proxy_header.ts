/**
 * The PROXY protocol header, which informs an upstream of the real client: version 1 (text) and
 * version 2 (binary). Pure; both engines send what this prints before the client's first byte.
 * Source: "The PROXY protocol, versions 1 & 2", Willy Tarreau, haproxy.org, doc/proxy-protocol.txt;
 * the section numbers below are of that text.
 */
import type { Address } from "../base/address.ts";
import { formatIp, ipv4Of, ipv6Of, parseIp } from "../base/ip.ts";

/** Section 2.2: the twelve bytes that no other protocol begins with. */
const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
/** Version 2, command PROXY: the connection was made on behalf of somebody else. */
const VERSION_2_PROXY = 0x21;
const TCP4 = 0x11;
const TCP6 = 0x21;
const UNIX_STREAM = 0x31;
/** Bytes of each of the two addresses of family AF_UNIX. */
const UNIX_BYTES = 108;

/** Prints the header for a client that connected to `local`, one of our own addresses. */
export function proxyHeader(version: "v1" | "v2", client: Address, local: Address): Uint8Array {
  const pair = samePair(client, local);
  return version === "v1" ? printV1(pair) : printV2(pair, local);
}

interface Pair {
  readonly bytes: 4 | 16;
  readonly source: readonly number[];
  readonly sourcePort: number;
  readonly target: readonly number[];
  readonly targetPort: number;
}

/** Both ends as addresses of one family, or undefined when they are not internet addresses. */
function samePair(client: Address, local: Address): Pair | undefined {
  if (client.kind !== "tcp" || local.kind !== "tcp") return undefined;
  const source = ipBytes(client.host);
  const target = ipBytes(local.host);
  if (source === undefined || target === undefined) return undefined;
  const ports = { sourcePort: client.port, targetPort: local.port };
  // A dual-stack listener shows clients of IPv4 as ::ffff:1.2.3.4 (RFC 4291 2.5.5.2).
  const [source4, target4] = [ipv4Of(source), ipv4Of(target)];
  return source4 !== undefined && target4 !== undefined
    ? { bytes: 4, source: source4, target: target4, ...ports }
    : { bytes: 16, source: ipv6Of(source), target: ipv6Of(target), ...ports };
}

/** Section 2.1: one line; UNKNOWN when the addresses have no text form. */
function printV1(pair: Pair | undefined): Uint8Array {
  const line = pair === undefined ? "UNKNOWN" : [
    pair.bytes === 4 ? "TCP4" : "TCP6",
    formatIp(pair.source),
    formatIp(pair.target),
    pair.sourcePort,
    pair.targetPort,
  ].join(" ");
  return new TextEncoder().encode(`PROXY ${line}\r\n`);
}

/** Section 2.2: sixteen fixed bytes, then the addresses. */
function printV2(pair: Pair | undefined, local: Address): Uint8Array {
  if (pair === undefined) return printV2Unix(local.kind === "unix" ? local.path : "");
  const length = 2 * pair.bytes + 4;
  const ports = [
    pair.sourcePort >> 8,
    pair.sourcePort & 255,
    pair.targetPort >> 8,
    pair.targetPort & 255,
  ];
  const family = pair.bytes === 4 ? TCP4 : TCP6;
  return new Uint8Array([
    ...SIGNATURE,
    VERSION_2_PROXY,
    family,
    0,
    length,
    ...pair.source,
    ...pair.target,
    ...ports,
  ]);
}

/** A client of a unix socket has no address; ours is the path that it connected to. */
function printV2Unix(path: string): Uint8Array {
  const header = new Uint8Array(16 + 2 * UNIX_BYTES);
  header.set([...SIGNATURE, VERSION_2_PROXY, UNIX_STREAM, 0, 2 * UNIX_BYTES]);
  header.set(new TextEncoder().encode(path).subarray(0, UNIX_BYTES), 16 + UNIX_BYTES);
  return header;
}

/** The bytes of an address; undefined for a name. A scope means nothing to another machine. */
function ipBytes(host: string): readonly number[] | undefined {
  return parseIp(host.replace(/%.*$/, ""));
}
