/**
 * Which field lines cross the gateway, and which are ours. Pure; works on raw heads, so lines that cross
 * do so byte for byte, in their order, with their duplicates.
 *
 * Never passed on are the fields of one hop (RFC 9110 section 7.6.1), whatever `Connection` names, and the
 * framing, which `http1/` writes anew for each side. The chain of `X-Forwarded-For` and `Forwarded` is
 * continued, but what we know ourselves (`X-Forwarded-Proto`, `-Host`) replaces what a client claims.
 */
import type { Fields } from "../http1/fields.ts";
import type { RequestHead, ResponseHead } from "../http1/head.ts";
import type { HeadWriter } from "../http1/head_writer.ts";

/** Field names to be found in a head without making a string. */
export class NameSet {
  readonly #byLength: string[][] = [];

  constructor(names: Iterable<string>) {
    for (const name of names) (this.#byLength[name.length] ??= []).push(name.toLowerCase());
  }

  has(fields: Fields, index: number): boolean {
    const names = this.#byLength[fields.nameLength(index)];
    if (names === undefined) return false;
    for (const name of names) if (fields.is(index, name)) return true;
    return false;
  }
}

/** Of one hop, or written by `http1/`. */
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

/** How requests are made up for one upstream. */
export interface RequestRules {
  /** The `Host` to send; undefined passes on the client's, `ownHost` where it has none. */
  readonly host: string | undefined;
  readonly ownHost: string;
  /** Lines to add, in place of the client's of the same names. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly dropped: NameSet;
}

/** `host` and `headers` are the operator's; `ownHost` is that of the upstream's URL. */
export function requestRules(
  ownHost: string,
  options: {
    readonly host?: string | undefined;
    readonly preserveHost: boolean;
    readonly headers: readonly (readonly [name: string, value: string])[];
  },
): RequestRules {
  const { host, preserveHost, headers } = options;
  return {
    ownHost,
    host: host ?? (preserveHost ? undefined : ownHost),
    headers,
    dropped: new NameSet([...NOT_TO_UPSTREAM, ...headers.map(([name]) => name)]),
  };
}

/** Where a request came in. */
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
  if (head.wantsUpgrade) copyAll(out, fields, "upgrade");
  for (const [name, value] of rules.headers) out.line(name, value);
  const { scheme } = from;
  // On a socket for both families, an IPv4 client comes as an IPv6 address.
  const peer = from.peer.startsWith("::ffff:") ? from.peer.slice("::ffff:".length) : from.peer;
  const isAddress = peer !== "unix";
  if (isAddress) out.line("X-Forwarded-For", continued(fields, "x-forwarded-for", peer));
  if (head.host !== "") out.line("X-Forwarded-Host", head.host);
  out.line("X-Forwarded-Proto", scheme);
  out.line("Forwarded", continued(fields, "forwarded", forwardedElement(peer, head.host, scheme)));
  out.line("Via", continued(fields, "via", head.minor === 1 ? "1.1 failover" : "1.0 failover"));
}

/** Writes the field lines of an interim or final response to the client. */
export function writeResponseFields(
  out: HeadWriter,
  head: ResponseHead,
  origin: Origin,
): void {
  const { fields } = head;
  const location = head.status >= 300 || head.status === 201 ? fields.find("location") : -1;
  copyFields(out, fields, NOT_TO_CLIENT, location);
  if (location >= 0) out.line("Location", localLocation(fields.value(location), origin));
  if (head.status === 101) copyAll(out, fields, "upgrade");
  out.line("Via", head.minor === 1 ? "1.1 failover" : "1.0 failover");
}

function copyFields(out: HeadWriter, fields: Fields, dropped: NameSet, except = -1): void {
  const named = namedByConnection(fields);
  const count = fields.count;
  for (let i = 0; i < count; i++) {
    if (i === except || dropped.has(fields, i) || named?.has(fields, i)) continue;
    out.copy(fields, i);
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

/** All members of a list field so far, and ours behind them. */
function continued(fields: Fields, name: string, own: string): string {
  let index = fields.find(name);
  if (index < 0) return own;
  let list = "";
  for (; index >= 0; index = fields.find(name, index + 1)) list += `${fields.value(index)}, `;
  return list + own;
}

/** RFC 7239 section 4; whatever is not a token is quoted. */
function forwardedElement(peer: string, host: string, scheme: string): string {
  const node = peer === "unix" ? "unknown" : peer.includes(":") ? `"[${peer}]"` : peer;
  const quoted = /^[\w.-]+$/.test(host) ? host : `"${host}"`;
  return host === "" ? `for=${node};proto=${scheme}` : `for=${node};host=${quoted};proto=${scheme}`;
}

/** Where an upstream stands, to recognise it in a `Location`. */
export interface Origin {
  /** Scheme and authority as a URL has them: in lower case, without a default port. */
  readonly origin: string;
  /** Without the slash at its end: "" for the root. */
  readonly basePath: string;
}

/**
 * A `Location` that leads to the upstream itself leads to us afterwards: as a path, since whether
 * clients see us as http or https may be known only to whatever stands before us.
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

/** What follows the upstream's own origin; a path is its own already. Undefined for anywhere else. */
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
