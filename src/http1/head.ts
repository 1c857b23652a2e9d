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
import { CHUNKED, type Framing } from "./framing.ts";
import { isHost } from "./host.ts";
import { readSemantics, type Semantics } from "./semantics.ts";

const CR = 13;
const LF = 10;
const SP = 32;
const HASH = 35;
const STAR = 42;
const SLASH = 47;
const QUERY = 63;

const METHOD_BYTES_MAX = 32;

/** Beyond these limits a head is refused. */
export interface HeadLimits {
  /** Size of a head in bytes, from its first byte to its closing empty line. */
  readonly headBytesMax: number;
  /** Field lines in a head. */
  readonly fieldsMax: number;
}

/**
 * The head of a request. Valid until its exchange ends: it points into the bytes that were read, and makes a
 * string of a part only when it is asked for.
 */
export class RequestHead {
  readonly method: string;
  readonly minor: 0 | 1;
  readonly fields: Fields;
  /** The meaning of its fields. */
  readonly semantics: Semantics;
  /** How the body is framed: a length or CHUNKED. */
  readonly framing: Framing;
  /** True if the client can use the connection for another request. */
  readonly keepAlive: boolean;
  /** True if the client waits for `100 Continue` before it sends its body. */
  readonly expectsContinue: boolean;
  /**
   * True if it carries `Upgrade`, to anything but HTTP/2, and `Connection: upgrade` (RFC 9110 section
   * 7.8). After a switch to HTTP/2 between client and upstream we could not check anything any more.
   */
  readonly wantsUpgrade: boolean;
  /** True if the client can use trailers (RFC 9110 section 10.1.4). */
  readonly acceptsTrailers: boolean;
  /** True if it came through other proxies, which `Via` names. */
  readonly hasVia: boolean;
  /** True if it came through other proxies that name themselves or their clients in any way. */
  readonly isForwarded: boolean;
  /** First byte after the head. */
  readonly end: number;
  /** Where the target, the path up to the target's end, and the host stand in the bytes. */
  readonly targetStart: number;
  readonly pathEnd: number;
  readonly hostStart: number;
  readonly hostEnd: number;
  /** -1 if the path does not stand in the bytes: its slash is left out there. */
  readonly pathStart: number;
  readonly #queryStart: number;
  #target: string | undefined;
  #path: string | undefined;
  #host: string | undefined;

  /** `authority`: that of a target in absolute form. */
  constructor(
    method: string,
    targetStart: number,
    targetEnd: number,
    minor: 0 | 1,
    fields: Fields,
    semantics: Semantics,
    authority: Authority | undefined,
  ) {
    this.method = method;
    this.minor = minor;
    this.fields = fields;
    this.semantics = semantics;
    this.framing = semantics.chunked ? CHUNKED : Math.max(0, semantics.length);
    this.keepAlive = minor === 1 ? !semantics.close : semantics.keepAlive && !semantics.close;
    this.expectsContinue = semantics.expectsContinue && minor === 1;
    this.wantsUpgrade = minor === 1 && semantics.connectionUpgrade && semantics.upgrade;
    this.acceptsTrailers = minor === 1 && semantics.trailers;
    this.hasVia = semantics.via;
    this.isForwarded = semantics.via || semantics.forwarded;
    this.end = fields.end;
    const { host } = semantics;
    this.targetStart = targetStart;
    this.pathEnd = targetEnd;
    this.hostStart = authority?.start ?? (host < 0 ? 0 : fields.valueStart(host));
    this.hostEnd = authority?.end ?? (host < 0 ? 0 : fields.valueEnd(host));
    this.#queryStart = authority?.end ?? targetStart;
    this.pathStart = authority?.lacksSlash === true ? -1 : this.#queryStart;
  }

  /** The request target exactly as it was received. */
  get target(): string {
    return this.#target ??= latin1(this.fields.bytes, this.targetStart, this.pathEnd);
  }

  /** Path and query exactly as received, also of a target in absolute form; `*` for `OPTIONS *`. */
  get path(): string {
    if (this.#path !== undefined) return this.#path;
    const text = latin1(this.fields.bytes, this.#queryStart, this.pathEnd);
    return this.#path = this.pathStart < 0 ? `/${text}` : text;
  }

  /** Authority asked for: that of an absolute target, else the Host field, else (HTTP/1.0 only) "". */
  get host(): string {
    return this.#host ??= latin1(this.fields.bytes, this.hostStart, this.hostEnd);
  }

  /** The code of the second character of the path, without making the path a string; NaN if there is none. */
  get secondOfPath(): number {
    if (this.pathStart < 0) return this.path.charCodeAt(1);
    return this.pathEnd - this.pathStart > 1 ? this.fields.bytes[this.pathStart + 1]! : NaN;
  }
}

/** The head of a response. Valid until its exchange ends. */
export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly minor: 0 | 1;
  readonly fields: Fields;
  /** The meaning of its fields; that of the framing depends on the request, see `responseFraming`. */
  readonly semantics: Semantics;
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
  return requestHead(method, targetStart, targetEnd, minor, fields);
}

/** The rules that concern the request as a whole. */
function requestHead(
  method: string,
  targetStart: number,
  targetEnd: number,
  minor: 0 | 1,
  fields: Fields,
): RequestHead | Fault {
  const semantics = readSemantics(fields, "request", minor);
  if (semantics instanceof Fault) return semantics;
  if (semantics.host < 0 && minor === 1) return malformed("request", "no Host");
  const authority = readTarget(method, fields.bytes, targetStart, targetEnd);
  if (authority instanceof Fault) return authority;
  return new RequestHead(method, targetStart, targetEnd, minor, fields, semantics, authority);
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
  const semantics = readSemantics(fields, "response", minor);
  if (semantics instanceof Fault) return semantics;
  return {
    status,
    reason: reasonText(bytes, reasonStart, reasonEnd),
    minor,
    fields,
    semantics,
    keepAlive: minor === 1 ? !semantics.close : semantics.keepAlive && !semantics.close,
    hasDate: semantics.date,
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

/** The usual reason without making a string for each response. */
function reasonText(bytes: Uint8Array, start: number, end: number): string {
  const isOk = end - start === 2 && bytes[start] === 79 && bytes[start + 1] === 75;
  return isOk ? "OK" : latin1(bytes, start, end);
}

/** The authority of a target in absolute form, behind which its path begins. */
interface Authority {
  readonly start: number;
  readonly end: number;
  /** True if the path lacks its slash: `http://host`, `http://host?query`. */
  readonly lacksSlash: boolean;
}

const SCHEME = /^https?:\/\//i;

/** The four forms of a target, RFC 9112 section 3.2. Undefined for those without an authority. */
function readTarget(
  method: string,
  bytes: Uint8Array,
  targetStart: number,
  targetEnd: number,
): Authority | Fault | undefined {
  if (method === "CONNECT") return new Fault("notImplemented", "CONNECT");
  const first = bytes[targetStart]!;
  if (first === SLASH) return undefined;
  if (first === STAR && targetEnd - targetStart === 1 && method === "OPTIONS") return undefined;
  const scheme = SCHEME.exec(latin1(bytes, targetStart, targetEnd));
  if (scheme === null) return malformed("request", "bad request target");
  // RFC 9112 section 3.2.2: the authority of an absolute target replaces what Host says.
  const start = targetStart + scheme[0].length;
  let end = start;
  while (end < targetEnd && bytes[end] !== SLASH && bytes[end] !== QUERY) end++;
  if (!isHost(bytes, start, end)) return malformed("request", "bad request target");
  return { start, end, lacksSlash: end === targetEnd || bytes[end] !== SLASH };
}
