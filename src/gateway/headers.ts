/**
 * Which field lines cross the gateway, and which are ours. Pure; works on raw heads, so lines that cross
 * do so byte for byte, in their order, with their duplicates.
 *
 * These are never passed on: the fields of one hop (RFC 9110 section 7.6.1), the fields that `Connection`
 * names, and the framing, which `http1/` writes for each side itself. The chain of `X-Forwarded-For` and
 * `Forwarded` is continued, but what we know ourselves (`X-Forwarded-Proto`, `-Host`) replaces what a client
 * claims. A client on a unix socket has no address and is taken for a proxy on this machine, so its values are
 * kept.
 */
import type { Fields } from "../http1/fields.ts";
import { type RequestHead, type ResponseHead, upgradeOffer } from "../http1/head.ts";
import type { HeadWriter } from "../http1/head_writer.ts";

/** Field names to be found in a head without making a string. */
export class NameSet {
  readonly #byLength: string[][] = [];
  readonly #prefix: string;

  /** `prefix`, in lower case: names that begin so are in it as well; "" is none. */
  constructor(names: Iterable<string>, prefix = "") {
    for (const name of names) (this.#byLength[name.length] ??= []).push(name.toLowerCase());
    this.#prefix = prefix;
  }

  has(fields: Fields, index: number): boolean {
    if (this.#prefix !== "" && fields.name(index).toLowerCase().startsWith(this.#prefix)) {
      return true;
    }
    const names = this.#byLength[fields.nameLength(index)];
    if (names === undefined) return false;
    for (const name of names) if (fields.is(index, name)) return true;
    return false;
  }
}

/** Fields of one hop, and fields that `http1/` writes. */
const ONE_HOP = [
  "connection",
  "content-length",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
];
const NOT_TO_CLIENT = new NameSet([...ONE_HOP, "proxy-authenticate"]);
const NOT_TO_UPSTREAM = [
  ...ONE_HOP,
  "proxy-authorization",
  "http2-settings",
  "host",
  "forwarded",
  "via",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
];

/**
 * Fields that are dropped from trailers in addition to those dropped from heads: in a trailer they come too
 * late for a recipient that decides by them (RFC 9110 section 6.5.1).
 */
const NOT_IN_TRAILERS = [
  ...NOT_TO_UPSTREAM,
  "authorization",
  "content-encoding",
  "content-range",
  "content-type",
  "cookie",
  "expect",
  "max-forwards",
  "range",
  "trailer",
];
/**
 * Lines that the operator cannot add, because `http1/` writes them, or would have to keep what they promise,
 * or because there is an option for them. The configuration refuses them; this covers any other caller.
 */
const NOT_ADDED: ReadonlySet<string> = new Set([
  ...ONE_HOP,
  "expect",
  "host",
  "http2-settings",
  "trailer",
]);

/** Our name in `Via`, for messages received as HTTP/1.0 and HTTP/1.1. */
export type ViaNames = readonly [received10: string, received11: string];

/** `pseudonym`: what we call ourselves (RFC 9110 section 7.6.3). */
export function viaNames(pseudonym: string): ViaNames {
  return [`1.0 ${pseudonym}`, `1.1 ${pseudonym}`];
}

/** True if this request has passed through this service before, so that it runs in a loop. */
export function hasBeenHere({ hasVia, fields }: RequestHead, pseudonym: string): boolean {
  if (!hasVia) return false;
  for (let i = fields.find("via"); i >= 0; i = fields.find("via", i + 1)) {
    // Each member is a protocol, a name and perhaps a comment.
    const members = fields.value(i).split(",");
    if (members.some((member) => member.trim().split(/[ \t]+/)[1] === pseudonym)) return true;
  }
  return false;
}

/** How requests are rewritten for one upstream. */
export interface RequestRules {
  /** The `Host` to send; undefined passes on the client's, or `ownHost` if the client sent none. */
  readonly host: string | undefined;
  readonly ownHost: string;
  /** Lines to add. They replace the client's lines of the same names. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Lines of the client's head that do not pass. */
  readonly dropped: NameSet;
  /** Lines of the client's trailers that do not pass. */
  readonly trailersDropped: NameSet;
  readonly via: ViaNames;
}

/** `host` and `headers` are the operator's; `ownHost` is that of the upstream's URL. */
export function requestRules(
  ownHost: string,
  options: {
    readonly host?: string | undefined;
    readonly preserveHost: boolean;
    readonly headers: readonly (readonly [name: string, value: string])[];
    readonly pseudonym: string;
  },
): RequestRules {
  const { host, preserveHost, pseudonym } = options;
  const headers = options.headers.filter(([name]) => !NOT_ADDED.has(name.toLowerCase()));
  const names = headers.map(([name]) => name);
  return {
    ownHost,
    host: host ?? (preserveHost ? undefined : ownHost),
    headers,
    dropped: new NameSet([...NOT_TO_UPSTREAM, ...names]),
    trailersDropped: new NameSet([...NOT_IN_TRAILERS, ...names], "x-forwarded-"),
    via: viaNames(pseudonym),
  };
}

/** How a request reached this proxy. */
export interface Sender {
  /** The client's address, or `unix`. */
  readonly peer: string;
  readonly scheme: "http" | "https";
}

/** Writes the field lines of a request to an upstream. */
export function writeRequestFields(
  out: HeadWriter,
  head: RequestHead,
  from: Sender,
  rules: RequestRules,
): void {
  const { fields } = head;
  out.line("Host", rules.host ?? (head.host || rules.ownHost));
  copyFields(out, fields, rules.dropped);
  if (head.wantsUpgrade) copyUpgrade(out, fields);
  else if (head.acceptsTrailers) {
    out.line("TE", "trailers");
    out.line("Connection", "TE");
  }
  for (const [name, value] of rules.headers) out.line(name, value);
  writeSender(out, head, from);
  const own = rules.via[head.minor];
  out.line("Via", head.hasVia ? continued(fields, "via", own) : own);
}

/** Writes the `X-Forwarded-*` and `Forwarded` lines (RFC 7239). */
function writeSender(out: HeadWriter, head: RequestHead, { peer, scheme }: Sender): void {
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
  out.line("X-Forwarded-For", continued(fields, "x-forwarded-for", ip));
  if (head.host !== "") out.line("X-Forwarded-Host", head.host);
  out.line("X-Forwarded-Proto", scheme);
  out.line("Forwarded", forwarded(fields, forwardedElement(node, head.host, scheme)));
}

/** Writes the field lines of an interim or final response to the client. */
export function writeResponseFields(
  out: HeadWriter,
  head: ResponseHead,
  origin: Origin,
  via: ViaNames,
): void {
  const { fields } = head;
  const location = head.status >= 300 || head.status === 201 ? fields.find("location") : -1;
  if (location < 0) copyFields(out, fields, NOT_TO_CLIENT);
  else {
    const value = fields.value(location);
    const local = localLocation(value, origin);
    copyFields(out, fields, NOT_TO_CLIENT, local === value ? -1 : location, local);
  }
  if (head.status === 101) copyAll(out, fields, "upgrade");
  out.line("Via", via[head.minor]);
}

/** Copies the lines that pass. Line number `changed` keeps its place and name, and gets another value. */
function copyFields(
  out: HeadWriter,
  fields: Fields,
  dropped: NameSet,
  changed = -1,
  value = "",
): void {
  const named = namedByConnection(fields);
  const count = fields.count;
  for (let i = 0; i < count; i++) {
    if (dropped.has(fields, i) || named?.has(fields, i)) continue;
    if (i === changed) out.line(fields.name(i), value);
    else out.copy(fields, i);
  }
}

function copyUpgrade(out: HeadWriter, fields: Fields): void {
  for (let i = fields.find("upgrade"); i >= 0; i = fields.find("upgrade", i + 1)) {
    const offer = upgradeOffer(fields, i);
    if (offer !== "") out.line("Upgrade", offer);
  }
}

function copyAll(out: HeadWriter, fields: Fields, name: string): void {
  for (let i = fields.find(name); i >= 0; i = fields.find(name, i + 1)) out.copy(fields, i);
}

/** The fields that `Connection` names, beyond those that never pass anyway. */
function namedByConnection(fields: Fields): NameSet | undefined {
  const first = fields.find("connection");
  if (first < 0) return undefined;
  const isUsual = fields.valueIs(first, "keep-alive") || fields.valueIs(first, "close");
  if (isUsual && fields.find("connection", first + 1) < 0) return undefined;
  return new NameSet(fields.list("connection"));
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

/** The address of an upstream as URLs have it, to recognise it in a `Location`. */
export interface Origin {
  /** Scheme and authority as a URL has them: in lower case, without a default port. */
  readonly origin: string;
  /** Without the slash at its end: "" for the root. */
  readonly basePath: string;
}

/**
 * Rewrites a `Location` that points to the upstream itself so that it points to this proxy. The result is a
 * path, since only a proxy in front of us may know whether clients use http or https.
 */
export function localLocation(value: string, { origin, basePath }: Origin): string {
  const rest = afterOrigin(value, origin);
  if (rest === undefined) return value;
  const path = rest.startsWith("/") ? rest : `/${rest}`;
  const local = isWithin(path, basePath) ? path.slice(basePath.length) : path;
  const rooted = local.startsWith("/") ? local : `/${local}`;
  // Two slashes at the beginning would name another host.
  return /^\/[/\\]/.test(rooted) ? `/.${rooted}` : rooted;
}

/** The part behind the upstream's origin. A path is returned as it is; undefined for any other origin. */
function afterOrigin(value: string, origin: string): string | undefined {
  if (/^\/(?![/\\])/.test(value)) return value;
  const match = /^https?:\/\/[^/?#\\]*/i.exec(value);
  if (match === null || URL.parse(match[0])?.origin !== origin) return undefined;
  return value.slice(match[0].length);
}

function isWithin(path: string, basePath: string): boolean {
  return path.startsWith(basePath) && /^([/?#]|$)/.test(path.slice(basePath.length));
}

/** The target for an upstream: its base path, then the path exactly as the client sent it. */
export function joinedTarget(basePath: string, path: string): string {
  return path === "*" ? path : basePath + path;
}
