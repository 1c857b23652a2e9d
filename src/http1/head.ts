/**
 * Parses message heads (RFC 9112 sections 2 to 6), without any I/O. The result is a head, undefined
 * ("need more"), or a `Fault`; nothing is repaired. What is accepted and what is refused:
 * the tests beside this file, by section.
 */
import { Fault } from "../base/fault.ts";
import {
  Fields,
  latin1,
  malformed,
  type MessageSide,
  oversized,
  parseFields,
  TOKEN,
  VALUE,
} from "./fields.ts";
import { CHUNKED, type Framing, type FramingFields, readCoding, readLength } from "./framing.ts";

const CR = 13;
const LF = 10;
const SP = 32;
const HASH = 35;

const METHOD_BYTES_MAX = 32;

export interface HeadLimits {
  /** Size of a head in bytes, from its first byte to its closing empty line. */
  readonly headBytesMax: number;
  /** Field lines in a head. */
  readonly fieldsMax: number;
}

/** What `Connection` says (RFC 9110 section 7.6.1). */
interface ConnectionOptions {
  close: boolean;
  keepAlive: boolean;
  upgrade: boolean;
}

/** The head of a request. Valid until its exchange ends; `method`, `target`, `path`, `host` stay valid. */
export interface RequestHead {
  readonly method: string;
  /** The request target exactly as it was received. */
  readonly target: string;
  /** Path and query exactly as received, also of a target in absolute form; `*` for `OPTIONS *`. */
  readonly path: string;
  /** Authority asked for: that of an absolute target, else the Host field, else (HTTP/1.0 only) "". */
  readonly host: string;
  readonly minor: 0 | 1;
  readonly fields: Fields;
  /** How the body is framed: a length or CHUNKED. */
  readonly framing: Framing;
  /** True if the client can use the connection for another request. */
  readonly keepAlive: boolean;
  /** True if the client waits for `100 Continue` before it sends its body. */
  readonly expectsContinue: boolean;
  /**
   * True if it carries `Upgrade`, to anything but HTTP/2, and `Connection: upgrade` (RFC 9110 section
   * 7.8). A connection that became HTTP/2 between client and upstream would be out of our hands.
   */
  readonly wantsUpgrade: boolean;
  /** True if the client can use trailers (RFC 9110 section 10.1.4). */
  readonly acceptsTrailers: boolean;
  /** True if it came through other proxies, which `Via` names. */
  readonly hasVia: boolean;
  /** First byte after the head. */
  readonly end: number;
}

/** The head of a response. Valid until its exchange ends. */
export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly minor: 0 | 1;
  readonly fields: Fields;
  /** The framing fields; what they mean depends on the request, see `responseFraming`. */
  readonly said: FramingFields;
  /** True if the upstream will take another request, unless the body ends with the connection. */
  readonly keepAlive: boolean;
  readonly hasDate: boolean;
  /** First byte after the head. */
  readonly end: number;
}

/**
 * Reads one request head from `bytes`. One empty line before it is skipped (RFC 9112 section 2.2).
 * `offsets`: as in `parseFields`.
 */
export function parseRequestHead(
  bytes: Uint8Array,
  start: number,
  end: number,
  limits: HeadLimits,
  offsets?: number[],
): RequestHead | undefined | Fault {
  const reach = Math.min(end, start + limits.headBytesMax);
  const head = parseRequest(bytes, start, reach, limits, offsets);
  const full = head === undefined && reach - start === limits.headBytesMax;
  return full ? oversized("request", `over ${limits.headBytesMax} bytes`) : head;
}

function parseRequest(
  bytes: Uint8Array,
  start: number,
  end: number,
  limits: HeadLimits,
  offsets: number[] | undefined,
) {
  let at = start;
  if (bytes[at] === CR && at < end) {
    if (at + 1 >= end) return undefined;
    if (bytes[at + 1] !== LF) return malformed("request", "bare CR");
    at += 2;
  }
  const methodStart = at;
  while (at < end && TOKEN[bytes[at]!] === 1) at++;
  if (at - methodStart > METHOD_BYTES_MAX) return new Fault("notImplemented", "method too long");
  if (at >= end) return undefined;
  if (at === methodStart || bytes[at] !== SP) return malformed("request", "bad method");
  const method = methodName(bytes, methodStart, at++);
  const targetStart = at;
  // A fragment is not part of a target (RFC 9112 section 3.2), and bytes above 0x7e are not part of a URI.
  while (at < end && bytes[at]! > SP && bytes[at]! < 127 && bytes[at] !== HASH) at++;
  if (at >= end) return undefined;
  if (at === targetStart || bytes[at] !== SP) return malformed("request", "bad request target");
  const targetEnd = at++;
  const minor = parseVersion(bytes, at, end, "request");
  if (typeof minor !== "number") return minor;
  at += 8;
  if (at < end && bytes[at] !== CR) return malformed("request", "bad version");
  if (at + 1 >= end) return undefined;
  if (bytes[at + 1] !== LF) return malformed("request", "bare CR");
  const fields = parseFields(bytes, at + 2, end, limits.fieldsMax, "request", offsets);
  if (!(fields instanceof Fields)) return fields;
  return requestHead(method, latin1(bytes, targetStart, targetEnd), minor, fields);
}

/** The rules that concern the request as a whole. */
function requestHead(
  method: string,
  target: string,
  minor: 0 | 1,
  fields: Fields,
): RequestHead | Fault {
  const meaning = readMeaning(fields, "request", minor);
  if (meaning instanceof Fault) return meaning;
  const { said, connection } = meaning;
  if (meaning.host === undefined && minor === 1) return malformed("request", "no Host");
  const place = parseTarget(method, target, meaning.host ?? "");
  if (place instanceof Fault) return place;
  return {
    method,
    target,
    path: place.path,
    host: place.host,
    minor,
    fields,
    framing: said.chunked ? CHUNKED : Math.max(0, said.length),
    keepAlive: minor === 1 ? !connection.close : connection.keepAlive && !connection.close,
    expectsContinue: meaning.expectsContinue && minor === 1,
    wantsUpgrade: minor === 1 && connection.upgrade && meaning.upgrade,
    acceptsTrailers: minor === 1 && meaning.trailers,
    hasVia: meaning.via,
    end: fields.end,
  };
}

/**
 * Reads one response head from `bytes`. Its lines may end in LF alone; for that, and for `offsets`, see
 * `parseFields`.
 */
export function parseResponseHead(
  bytes: Uint8Array,
  start: number,
  end: number,
  limits: HeadLimits,
  offsets?: number[],
): ResponseHead | undefined | Fault {
  const reach = Math.min(end, start + limits.headBytesMax);
  const head = parseResponse(bytes, start, reach, limits, offsets);
  const full = head === undefined && reach - start === limits.headBytesMax;
  return full ? oversized("response", `head over ${limits.headBytesMax} bytes`) : head;
}

function parseResponse(
  bytes: Uint8Array,
  start: number,
  end: number,
  limits: HeadLimits,
  offsets: number[] | undefined,
) {
  const minor = parseVersion(bytes, start, end, "response");
  if (typeof minor !== "number") return minor;
  let at = start + 8;
  if (at < end && bytes[at] !== SP) return malformed("response", "bad status line");
  at++;
  let status = 0;
  for (let digits = 0; digits < 3; digits++, at++) {
    if (at >= end) return undefined;
    const digit = bytes[at]! - 48;
    if (digit < 0 || digit > 9) return malformed("response", "bad status");
    status = status * 10 + digit;
  }
  if (status < 100) return malformed("response", "bad status");
  if (at >= end) return undefined;
  // The space before an empty reason is often forgotten, and nothing depends on it.
  if (bytes[at] === SP) at++;
  else if (bytes[at] !== CR && bytes[at] !== LF) return malformed("response", "bad status");
  const reasonStart = at;
  while (at < end && VALUE[bytes[at]!] === 1) at++;
  const reasonEnd = at;
  if (at >= end) return undefined;
  if (bytes[at] === CR) {
    if (++at >= end) return undefined;
    if (bytes[at] !== LF) return malformed("response", "bare CR");
  } else if (bytes[at] !== LF) return malformed("response", "bad reason phrase");
  const fields = parseFields(bytes, at + 1, end, limits.fieldsMax, "response", offsets, true);
  if (!(fields instanceof Fields)) return fields;
  const meaning = readMeaning(fields, "response", minor);
  if (meaning instanceof Fault) return meaning;
  const { said, connection } = meaning;
  return {
    status,
    reason: latin1(bytes, reasonStart, reasonEnd),
    minor,
    fields,
    said,
    keepAlive: minor === 1 ? !connection.close : connection.keepAlive && !connection.close,
    hasDate: meaning.date,
    end: fields.end,
  };
}

const VERSION_PREFIX = [72, 84, 84, 80, 47]; // "HTTP/", in capitals only (RFC 9112 section 2.3)

/** Reads `HTTP/1.0` or `HTTP/1.1` at `start`; the minor number, or why not. */
function parseVersion(
  bytes: Uint8Array,
  start: number,
  end: number,
  side: MessageSide,
): 0 | 1 | undefined | Fault {
  for (let i = 0; i < VERSION_PREFIX.length; i++) {
    if (start + i >= end) return undefined;
    if (bytes[start + i] !== VERSION_PREFIX[i]) return malformed(side, "bad version");
  }
  if (start + 8 > end) return undefined;
  const major = bytes[start + 5]! - 48;
  const minor = bytes[start + 7]! - 48;
  const isVersion = major >= 0 && major <= 9 && bytes[start + 6] === 46 && minor >= 0 && minor <= 9;
  if (!isVersion) return malformed(side, "bad version");
  if (major !== 1 || minor > 1) {
    const detail = `HTTP/${major}.${minor}`;
    return side === "request" ? new Fault("versionUnsupported", detail) : malformed(side, detail);
  }
  return minor === 1 ? 1 : 0;
}

/** The common methods without making a string for each request. */
function methodName(bytes: Uint8Array, start: number, end: number): string {
  if (end - start === 3 && bytes[start] === 71 && bytes[start + 1] === 69) {
    if (bytes[start + 2] === 84) return "GET";
  }
  return latin1(bytes, start, end);
}

interface Meaning {
  readonly said: FramingFields;
  readonly connection: ConnectionOptions;
  host: string | undefined;
  upgrade: boolean;
  trailers: boolean;
  via: boolean;
  date: boolean;
  expectsContinue: boolean;
}

/** One walk over the fields for those that decide framing, persistence and place. */
function readMeaning(fields: Fields, side: MessageSide, minor: 0 | 1): Meaning | Fault {
  const meaning: Meaning = {
    said: { length: -1, chunked: false },
    connection: { close: false, keepAlive: false, upgrade: false },
    host: undefined,
    upgrade: false,
    trailers: false,
    via: false,
    date: false,
    expectsContinue: false,
  };
  const count = fields.count;
  for (let i = 0; i < count; i++) {
    const fault = readField(fields, i, side, minor, meaning);
    if (fault !== undefined) return fault;
  }
  // RFC 9112 section 6.1: both at once is how requests are smuggled.
  if (meaning.said.chunked && meaning.said.length >= 0) {
    return malformed(side, "Content-Length beside Transfer-Encoding");
  }
  return meaning;
}

function readField(
  fields: Fields,
  i: number,
  side: MessageSide,
  minor: 0 | 1,
  meaning: Meaning,
): Fault | undefined {
  switch (fields.nameLength(i)) {
    case 2:
      if (fields.is(i, "te") && takesTrailers(fields, i)) meaning.trailers = true;
      return;
    case 3:
      if (fields.is(i, "via")) meaning.via = true;
      return;
    case 4:
      if (side === "response") {
        if (fields.is(i, "date")) meaning.date = true;
        return;
      }
      if (!fields.is(i, "host")) return;
      if (meaning.host !== undefined) return malformed(side, "more than one Host");
      meaning.host = fields.value(i);
      return HOST.test(meaning.host) ? undefined : malformed(side, "bad Host");
    case 6:
      if (side === "response" || !fields.is(i, "expect")) return;
      // RFC 9110 section 10.1.1: from HTTP/1.0 it means nothing.
      if (minor === 0) return;
      if (!fields.valueIs(i, "100-continue")) return new Fault("expectationUnknown");
      meaning.expectsContinue = true;
      return;
    case 7:
      if (fields.is(i, "upgrade") && upgradeOffer(fields, i) !== "") meaning.upgrade = true;
      return;
    case 10:
      if (fields.is(i, "connection")) readConnection(fields, i, meaning.connection);
      return;
    case 14:
      return fields.is(i, "content-length") ? readLength(fields, i, side, meaning.said) : undefined;
    case 17:
      if (!fields.is(i, "transfer-encoding")) return;
      return readCoding(fields, i, side, minor, meaning.said);
  }
}

function takesTrailers(fields: Fields, i: number): boolean {
  return fields.valueIs(i, "trailers") || /(^|,)[ \t]*trailers[ \t]*(,|$)/i.test(fields.value(i));
}

/**
 * The protocols that line `i`, an `Upgrade`, offers, without HTTP/2 (`h2c`, which RFC 9113 has taken
 * back); "" if nothing is left.
 */
export function upgradeOffer(fields: Fields, i: number): string {
  const value = fields.value(i);
  if (!/(^|,)[ \t]*h2c?[ \t]*(,|$)/i.test(value)) return value;
  return value.split(",").map((name) => name.trim())
    .filter((name) => name !== "" && !/^h2c?$/i.test(name)).join(", ");
}

function readConnection(fields: Fields, i: number, options: ConnectionOptions): void {
  if (fields.valueIs(i, "keep-alive")) options.keepAlive = true;
  else if (fields.valueIs(i, "close")) options.close = true;
  else {
    for (const option of fields.value(i).toLowerCase().split(",")) {
      const name = option.trim();
      if (name === "keep-alive") options.keepAlive = true;
      if (name === "close") options.close = true;
      if (name === "upgrade") options.upgrade = true;
    }
  }
}

/** `uri-host [ ":" port ]` of RFC 9110 section 7.2, not empty; no user part, no list. */
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~%!$&'()*+;=]+)(?::\d{0,5})?$/;
const ABSOLUTE = /^https?:\/\/([^/?]*)(.*)$/i;

/** The four forms of a target, RFC 9112 section 3.2. */
function parseTarget(
  method: string,
  target: string,
  host: string,
): { readonly path: string; readonly host: string } | Fault {
  if (method === "CONNECT") return new Fault("notImplemented", "CONNECT");
  if (target.charCodeAt(0) === 47) return { path: target, host };
  if (target === "*" && method === "OPTIONS") return { path: target, host };
  const parts = ABSOLUTE.exec(target);
  if (parts === null || !HOST.test(parts[1]!)) return malformed("request", "bad request target");
  // RFC 9112 section 3.2.2: the authority of an absolute target replaces what Host says.
  const rest = parts[2]!;
  return { path: rest.startsWith("/") ? rest : `/${rest}`, host: parts[1]! };
}
