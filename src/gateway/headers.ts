/**
 * Which field lines cross the gateway, and which are ours. Pure; works on raw heads, so lines that cross
 * do so byte for byte, in their order, with their duplicates.
 *
 * These are never passed on: the fields of one hop (RFC 9110 section 7.6.1), the fields that `Connection`
 * names, and the framing, which `http1/` writes for each side itself. What a client says in `X-Forwarded-*` and
 * `Forwarded` is replaced by what we know ourselves, unless it is a trusted proxy: then it is kept and continued.
 * A client on a unix socket has no address and is taken for a trusted proxy on this machine.
 */
import { Networks } from "../base/cidr.ts";
import type { Fields } from "../http1/fields.ts";
import type { RequestHead, ResponseHead } from "../http1/head.ts";
import { upgradeOffer } from "../http1/semantics.ts";
import {
  copyAll,
  forwardedLines,
  hostFor,
  printedLine,
  type RequestSource,
  writeForwardedLines,
} from "./forwarded_lines.ts";
import type { HeadWriter } from "../http1/head_writer.ts";

/** A set of field names that can be looked up in a head without making a string. */
export class NameSet {
  readonly #byLength: string[][] = [];
  readonly #prefix: string;

  /** `prefix`, in lower case: names that begin so are in it as well; "" is none. */
  constructor(names: Iterable<string>, prefix = "") {
    for (const name of names) (this.#byLength[name.length] ??= []).push(name.toLowerCase());
    this.#prefix = prefix;
  }

  /** True if the name of line `index` is in the set, in any case. */
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
/** The same where the proxy adds its own request id to the response. */
const NOT_BESIDE_ID = new NameSet([...ONE_HOP, "proxy-authenticate", "x-request-id"]);
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
 * Lines that the operator cannot add, because `http1/` writes them, because `http1/` would have to do what they
 * announce, or because there is an option for them. The configuration refuses them; this covers any other caller.
 */
const NOT_ADDED: ReadonlySet<string> = new Set([
  ...ONE_HOP,
  "expect",
  "host",
  "http2-settings",
  "trailer",
]);

/** What `Via` says of us for messages received as HTTP/1.0, HTTP/1.1 and HTTP/2, as a value and as a whole line. */
export interface Via {
  readonly values: readonly [received10: string, received11: string, received20: string];
  readonly lines: readonly [received10: Uint8Array, received11: Uint8Array];
}

/** `pseudonym`: what we call ourselves (RFC 9110 section 7.6.3). */
function viaOf(pseudonym: string): Via {
  const values = [`1.0 ${pseudonym}`, `1.1 ${pseudonym}`, `2.0 ${pseudonym}`] as const;
  return { values, lines: [printedLine("Via", values[0]), printedLine("Via", values[1])] };
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
  readonly via: Via;
  readonly trusted: Networks;
}

const NO_NETWORKS = new Networks([]);

/** `host` and `headers` are the operator's; `ownHost` is that of the upstream's URL. */
export function requestRules(
  ownHost: string,
  options: {
    readonly host?: string | undefined;
    readonly preserveHost: boolean;
    readonly headers: readonly (readonly [name: string, value: string])[];
    readonly pseudonym: string;
    /** Proxies whose `X-Forwarded-*` and `Forwarded` are kept; nobody by default. */
    readonly trusted?: Networks;
    /** True if requests get an `X-Request-Id`; false by default. */
    readonly requestId?: boolean;
  },
): RequestRules {
  const { host, preserveHost, pseudonym } = options;
  const headers = options.headers.filter(([name]) => !NOT_ADDED.has(name.toLowerCase()));
  const names = headers.map(([name]) => name);
  return {
    ownHost,
    host: host ?? (preserveHost ? undefined : ownHost),
    headers,
    trusted: options.trusted ?? NO_NETWORKS,
    dropped: new NameSet([
      ...NOT_TO_UPSTREAM,
      ...names,
      ...options.requestId === true ? ["x-request-id"] : [],
    ]),
    trailersDropped: new NameSet([...NOT_IN_TRAILERS, ...names], "x-forwarded-"),
    via: viaOf(pseudonym),
  };
}

/** Writes the field lines of a request to an upstream. */
export function writeRequestFields(
  out: HeadWriter,
  head: RequestHead,
  from: RequestSource,
  rules: RequestRules,
): void {
  const { fields } = head;
  const lines = forwardedLines(head, from, rules);
  if (lines === undefined) out.line("Host", hostFor(head, rules));
  else out.raw(lines.host);
  copyFields(out, head, rules.dropped);
  if (head.wantsUpgrade) copyUpgrade(out, fields);
  else if (head.acceptsTrailers) {
    out.line("TE", "trailers");
    out.line("Connection", "TE");
  }
  for (const [name, value] of rules.headers) out.line(name, value);
  if (from.requestId !== undefined) out.line("X-Request-Id", from.requestId);
  if (lines === undefined) writeForwardedLines(out, head, from, rules);
  else out.raw(lines.forwarded);
}

/** Writes the field lines of an interim or final response to the client. */
export function writeResponseFields(
  out: HeadWriter,
  head: ResponseHead,
  origin: Origin,
  via: Via,
  requestId?: string,
): void {
  const { fields } = head;
  const dropped = requestId === undefined ? NOT_TO_CLIENT : NOT_BESIDE_ID;
  const location = head.status >= 300 || head.status === 201 ? fields.find("location") : -1;
  if (location < 0) copyFields(out, head, dropped);
  else {
    const value = fields.value(location);
    const local = localLocation(value, origin);
    copyFields(out, head, dropped, local === value ? -1 : location, local);
  }
  if (head.status === 101) copyAll(out, fields, "upgrade");
  if (requestId !== undefined) out.line("X-Request-Id", requestId);
  out.raw(via.lines[head.minor]);
}

/** Copies the lines that pass. Line number `changed` keeps its place and name, and gets another value. */
function copyFields(
  out: HeadWriter,
  { fields, semantics }: RequestHead | ResponseHead,
  dropped: NameSet,
  changed = -1,
  value = "",
): void {
  const named = semantics.namesFields ? namedByConnection(fields) : undefined;
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

/** The fields that `Connection` names. */
function namedByConnection(fields: Fields): NameSet {
  return new NameSet(fields.list("connection"));
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
