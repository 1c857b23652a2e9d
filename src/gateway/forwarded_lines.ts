/**
 * The lines that tell an upstream where a request came from: `Host`, `X-Forwarded-*`, `Forwarded` (RFC 7239) and
 * `Via`. For the requests of one client connection they are nearly always the same, so they are printed once and
 * copied then, for as long as the host stays the same and the client sends no such lines itself.
 */
import type { Networks } from "../base/cidr.ts";
import { parseIp } from "../base/ip.ts";
import type { Fields } from "../http1/fields.ts";
import type { RequestHead } from "../http1/head.ts";
import { HeadWriter } from "../http1/head_writer.ts";

/** After this many hosts on one connection, as from a proxy, nothing is kept any more: it would not be used again. */
const PRINTS_MAX = 8;

/** How a request reached this proxy. */
export interface RequestSource {
  /** The client's address, or `unix`. */
  readonly peer: string;
  readonly scheme: "http" | "https";
  /** The id that is sent to the upstream, if requests get one. */
  readonly requestId?: string | undefined;
  /** Keeps what is printed for the requests that follow. Peer and scheme must be the same for them. */
  readonly connection?: { memo: unknown; readonly protocol?: string };
}

/** The part of an upstream's rules on which these lines depend. Equal rules are the same object. */
export interface ForwardedRules {
  readonly host: string | undefined;
  readonly ownHost: string;
  readonly via: {
    readonly values: readonly [received10: string, received11: string, received20: string];
  };
  /** Proxies whose own such lines are believed. */
  readonly trusted: Networks;
}

/** The value of `Host` for an upstream. */
export function hostFor(head: RequestHead, rules: ForwardedRules): string {
  return rules.host ?? (head.host || rules.ownHost);
}

/** Lines that were printed for one client connection, host, version and upstream. */
export class ForwardedLines {
  /** `Host`. */
  readonly host: Uint8Array;
  /** All others. */
  readonly forwarded: Uint8Array;
  readonly #rules: ForwardedRules;
  readonly #minor: 0 | 1;
  /** The host that the client asked for. */
  readonly #asked: Uint8Array;

  constructor(
    head: RequestHead,
    from: RequestSource,
    rules: ForwardedRules,
    /** How often lines were printed for this connection, these included. */
    readonly prints: number,
  ) {
    this.host = printedLine("Host", hostFor(head, rules));
    const out = new HeadWriter();
    writeForwardedLines(out, head, from, rules);
    this.forwarded = out.view().slice();
    out.release();
    this.#rules = rules;
    this.#minor = head.minor;
    this.#asked = head.fields.bytes.slice(head.hostStart, head.hostEnd);
  }

  /** True if this request needs the same lines. */
  fits(head: RequestHead, rules: ForwardedRules): boolean {
    const asked = this.#asked;
    const { hostStart, fields: { bytes } } = head;
    if (rules !== this.#rules || head.minor !== this.#minor) return false;
    if (head.hostEnd - hostStart !== asked.length) return false;
    for (let i = 0; i < asked.length; i++) if (bytes[hostStart + i] !== asked[i]) return false;
    return true;
  }
}

/**
 * The lines of this request, printed now or for an earlier request. Undefined if they depend on other lines of it,
 * or if keeping them may not be worth it: for the first request of a connection, and after too many changes of
 * the host.
 */
export function forwardedLines(
  head: RequestHead,
  from: RequestSource,
  rules: ForwardedRules,
): ForwardedLines | undefined {
  const { connection } = from;
  if (connection === undefined || head.isForwarded || from.peer === "unix") return undefined;
  const { memo } = connection;
  if (memo instanceof ForwardedLines) {
    if (memo.fits(head, rules)) return memo;
    connection.memo = memo.prints;
    return undefined;
  }
  const prints = typeof memo === "number" ? memo + 1 : 0;
  if (prints > PRINTS_MAX) return undefined;
  const lines = prints === 0 ? undefined : new ForwardedLines(head, from, rules, prints);
  connection.memo = lines ?? prints;
  return lines;
}

/** One line as bytes. Throws a TypeError on a name or value that is not allowed in a head. */
export function printedLine(name: string, value: string): Uint8Array {
  const out = new HeadWriter();
  out.line(name, value);
  const line = out.view().slice();
  out.release();
  return line;
}

/** Writes the `X-Forwarded-*`, `Forwarded` (RFC 7239) and `Via` lines. */
export function writeForwardedLines(
  out: HeadWriter,
  head: RequestHead,
  from: RequestSource,
  rules: ForwardedRules,
): void {
  writeForwarded(out, head, from, rules.trusted);
  const { values } = rules.via;
  const own = from.connection?.protocol === "HTTP/2.0" ? values[2] : values[head.minor];
  out.line("Via", head.hasVia ? continued(head.fields, "via", own) : own);
}

function writeForwarded(
  out: HeadWriter,
  head: RequestHead,
  { peer, scheme }: RequestSource,
  trusted: Networks,
): void {
  const { fields } = head;
  if (peer === "unix") {
    copyAll(out, fields, "x-forwarded-for");
    const host = fields.get("x-forwarded-host") ?? head.host;
    if (host !== "") out.line("X-Forwarded-Host", host);
    out.line("X-Forwarded-Proto", fields.get("x-forwarded-proto") ?? scheme);
    return out.line("Forwarded", forwarded(fields, forwardedElement("unknown", head.host, scheme)));
  }
  // On a socket for both families, an IPv4 client comes as an IPv6 address.
  const ip = peer.startsWith("::ffff:") ? peer.slice("::ffff:".length) : peer;
  const node = ip.includes(":") ? `"[${ip}]"` : ip;
  const element = forwardedElement(node, head.host, scheme);
  const isTrusted = head.isForwarded && trusted.has(peer);
  out.line("X-Forwarded-For", isTrusted ? continued(fields, "x-forwarded-for", ip) : ip);
  const host = (isTrusted ? fields.get("x-forwarded-host") : undefined) ?? head.host;
  if (host !== "") out.line("X-Forwarded-Host", host);
  const proto = isTrusted ? fields.get("x-forwarded-proto") : undefined;
  out.line("X-Forwarded-Proto", proto ?? scheme);
  out.line("Forwarded", isTrusted ? forwarded(fields, element) : element);
}

/**
 * The client that a request comes from: its peer, or the last address of `X-Forwarded-For` that is not a trusted
 * proxy, if the peer is one. What is no address ends the search.
 */
export function clientOf(fields: Fields, peer: string, trusted: Networks): string {
  if (peer !== "unix" && !trusted.has(peer)) return peer;
  const hops = fields.list("x-forwarded-for");
  let client = peer;
  for (let at = hops.length - 1; at >= 0; at--) {
    const hop = hops[at]!;
    if (parseIp(hop) === undefined) return client;
    client = hop;
    if (!trusted.has(hop)) return client;
  }
  return client;
}

/** Copies all lines of this name. */
export function copyAll(out: HeadWriter, fields: Fields, name: string): void {
  for (let i = fields.find(name); i >= 0; i = fields.find(name, i + 1)) out.copy(fields, i);
}

/** The value of a list field: all members that the request has, followed by ours. */
function continued(fields: Fields, name: string, own: string): string {
  let index = fields.find(name);
  if (index < 0) return own;
  let list = "";
  for (; index >= 0; index = fields.find(name, index + 1)) list += `${fields.value(index)}, `;
  return list + own;
}

/**
 * The elements of `Forwarded` that the request has, followed by ours. A line in which a quoted string is not
 * closed, or stands where none may, is left out: our element would become part of that string.
 */
function forwarded(fields: Fields, own: string): string {
  let index = fields.find("forwarded");
  if (index < 0) return own;
  let list = "";
  for (; index >= 0; index = fields.find("forwarded", index + 1)) {
    const value = fields.value(index);
    if (value !== "" && isDelimited(value)) list += `${value}, `;
  }
  return list + own;
}

/** True if each quoted string follows a `=`, is closed, and ends its value (RFC 7239 section 4). */
function isDelimited(value: string): boolean {
  const length = value.length;
  for (let at = value.indexOf('"'); at >= 0; at = value.indexOf('"', at)) {
    if (value[at - 1] !== "=") return false;
    for (at++; at < length && value[at] !== '"'; at++) if (value[at] === "\\") at++;
    if (at >= length) return false;
    const next = value[++at];
    if (next !== undefined && !" \t,;".includes(next)) return false;
  }
  return true;
}

/** Our element of `Forwarded` (RFC 7239 section 4). Values that are not tokens are quoted. */
function forwardedElement(node: string, host: string, scheme: string): string {
  const quoted = /^[\w.-]+$/.test(host) ? host : `"${host}"`;
  return host === "" ? `for=${node};proto=${scheme}` : `for=${node};host=${quoted};proto=${scheme}`;
}
