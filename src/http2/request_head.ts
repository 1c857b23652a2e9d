/**
 * Makes the head of a request out of the fields of a block. Its rules of HTTP/2 (RFC 9113 sections 8.1 to 8.3)
 * are checked here; then it is printed as an HTTP/1.1 head and parsed as one, so that all rules of `http1/`
 * apply to it, and everybody after that reads one kind of head.
 */
import { Fault } from "../base/fault.ts";
import { type Fields, latin1, parseFields, spells, TOKEN, VALUE } from "../http1/fields.ts";
import { refusedTrailer } from "../http1/framing.ts";
import { type HeadLimits, parseRequestHead, type RequestHead } from "../http1/head.ts";
import { HeadWriter } from "../http1/head_writer.ts";
import type { FieldSink } from "./hpack_decoder.ts";

/** The head breaks RFC 9113: its stream must be reset (section 8.1.1). */
export const MALFORMED = "malformed";

/** What each field counts in addition to its bytes (RFC 9113 section 6.5.2). */
const FIELD_BYTES = 32;
/** What is printed beside the fields: the request line, and the lines of an extended CONNECT. */
const PRINTED_BYTES = 512;
/** Length of the key in a handshake of RFC 6455, in bytes. */
const KEY_BYTES = 16;
const COLON = 58;
const DASH = 45;
const SP = 32;
const TAB = 9;
const SLASH = 47;

const SEPARATOR = new TextEncoder().encode(": ");
const LINE_END = new TextEncoder().encode("\r\n");
const COOKIE = new TextEncoder().encode("cookie: ");
const COOKIE_SEPARATOR = new TextEncoder().encode("; ");

/** Collects the fields of one request. */
export class RequestFields implements FieldSink {
  /** Holds the head while its exchange lasts; then it must be released. */
  readonly out = new HeadWriter();
  readonly #limits: HeadLimits;
  #bytes = 0;
  #count = 0;
  #crumbs = 0;
  /** Why the head is malformed, for a person and in ASCII; undefined if it is not, as far as is known. */
  problem: string | undefined;
  #isTooLarge = false;
  #hasLine = false;
  /** Why the request line cannot be printed. */
  #fault: Fault | typeof MALFORMED | undefined;
  #method: string | undefined;
  #scheme: string | undefined;
  #path: string | undefined;
  #authority: string | undefined;
  #host: string | undefined;
  /** `Sec-WebSocket-Key` of an extended CONNECT (RFC 8441): HTTP/2 has none, the upstream wants one. */
  webSocketKey: string | undefined;
  #protocol: string | undefined;
  /** The crumbs of cookies, which are joined again (RFC 9113 section 8.2.3). */
  #cookies: HeadWriter | undefined;

  constructor(limits: HeadLimits) {
    this.#limits = limits;
  }

  field(
    names: Uint8Array,
    nameStart: number,
    nameEnd: number,
    values: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): void {
    if (this.problem !== undefined || this.#isTooLarge) return;
    this.#bytes += nameEnd - nameStart + valueEnd - valueStart + FIELD_BYTES;
    const { headBytesMax, fieldsMax } = this.#limits;
    // Crumbs of cookies become one field, and browsers have many of them for one site, but each of them is work.
    const isTooMany = isCookie(names, nameStart, nameEnd)
      ? ++this.#crumbs > CRUMBS_MAX
      : ++this.#count > fieldsMax + PSEUDO_MAX;
    if (isTooMany || this.#bytes > headBytesMax) {
      this.#isTooLarge = true;
      return;
    }
    if (!isValue(values, valueStart, valueEnd)) this.problem = "bad characters in a value";
    else if (names[nameStart] === COLON) {
      this.#pseudo(latin1(names, nameStart, nameEnd), latin1(values, valueStart, valueEnd));
    } else if (!isName(names, nameStart, nameEnd)) this.problem = "bad characters in a name";
    else this.#regular(names, nameStart, nameEnd, values, valueStart, valueEnd);
  }

  /** The parsed head; a Fault if the request is to be answered with it. */
  head(offsets?: number[]): RequestHead | Fault | typeof MALFORMED {
    if (this.problem !== undefined) return MALFORMED;
    if (this.#isTooLarge) return new Fault("headTooLarge");
    const problem = this.#beginLines();
    if (problem !== undefined) return problem;
    const { out } = this;
    if (this.#cookies !== undefined) {
      out.raw(COOKIE);
      out.raw(this.#cookies.view());
      out.raw(LINE_END);
      this.#cookies.release();
    }
    out.endHead();
    const { headBytesMax, fieldsMax } = this.#limits;
    const limits = { headBytesMax: headBytesMax + PRINTED_BYTES, fieldsMax: fieldsMax + 4 };
    return parseRequestHead(out.bytes, 0, out.length, limits, offsets) ?? MALFORMED;
  }

  #pseudo(name: string, value: string): void {
    // They come before all other fields, and each of them once.
    if (this.#hasLine) this.problem = "a pseudo-header behind a field";
    else if (name === ":method" && this.#method === undefined) this.#method = value;
    else if (name === ":scheme" && this.#scheme === undefined) this.#scheme = value;
    else if (name === ":path" && this.#path === undefined) this.#path = value;
    else if (name === ":authority" && this.#authority === undefined) this.#authority = value;
    else if (name === ":protocol" && this.#protocol === undefined) this.#protocol = value;
    else this.problem = "a pseudo-header that is unknown, or there twice";
  }

  #regular(
    names: Uint8Array,
    nameStart: number,
    nameEnd: number,
    values: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): void {
    const { out } = this;
    // The line of the request stands before them, and its parts are known now.
    if (!this.#hasLine && this.#beginLines() !== undefined) return;
    switch (nameEnd - nameStart) {
      case 2:
        if (!spells(names, nameStart, nameEnd, "te")) break;
        if (!spells(values, valueStart, valueEnd, "trailers")) {
          this.problem = "a te beside trailers";
        }
        break;
      case 4:
        if (!spells(names, nameStart, nameEnd, "host")) break;
        return this.#hostField(latin1(values, valueStart, valueEnd));
      case 6:
        if (!isCookie(names, nameStart, nameEnd)) break;
        if (this.#cookies === undefined) this.#cookies = new HeadWriter();
        else this.#cookies.raw(COOKIE_SEPARATOR);
        return this.#cookies.part(values, valueStart, valueEnd);
      case 17:
        // The key of an extended CONNECT is ours, RFC 8441 section 5.
        if (
          this.webSocketKey !== undefined && spells(names, nameStart, nameEnd, "sec-websocket-key")
        ) return;
      // falls through
      default:
        if (isConnectionField(names, nameStart, nameEnd)) {
          this.problem = "a field that only HTTP/1.1 has, like connection";
        }
    }
    out.part(names, nameStart, nameEnd);
    out.raw(SEPARATOR);
    out.part(values, valueStart, valueEnd);
    out.raw(LINE_END);
  }

  /** `Host` is the same as `:authority`, or stands in its place (RFC 9113 section 8.3.1). */
  #hostField(host: string): void {
    const isFirst = this.#host === undefined;
    if (!isFirst || (this.#authority !== undefined && !sameHost(this.#authority, host))) {
      this.problem = "a host that is not :authority, or two of them";
    } else if (this.#authority === undefined) this.out.line("host", host);
    this.#host = host;
  }

  /** Prints the request line, once. Returns why that is not possible. */
  #beginLines(): Fault | typeof MALFORMED | undefined {
    if (this.#hasLine) return this.problem === undefined ? this.#fault : MALFORMED;
    this.#hasLine = true;
    this.#fault = this.#printLine();
    if (this.#fault === MALFORMED) {
      this.problem = ":method, :scheme, :path or :protocol is missing or wrong";
    }
    return this.#fault;
  }

  #printLine(): Fault | typeof MALFORMED | undefined {
    const method = this.#method;
    if (method === undefined || method === "" || !isToken(method)) return MALFORMED;
    const isConnect = method === "CONNECT";
    if (isConnect && this.#protocol === undefined) {
      // A tunnel to anywhere is not what a reverse proxy is for.
      const hasTarget = this.#scheme !== undefined || this.#path !== undefined;
      return hasTarget ? MALFORMED : new Fault("notImplemented", "CONNECT");
    }
    if (!isConnect && this.#protocol !== undefined) return MALFORMED;
    const path = this.#path;
    if (path === undefined || !isScheme(this.#scheme)) return MALFORMED;
    const isStar = path === "*" && method === "OPTIONS";
    if (path.charCodeAt(0) !== SLASH && !isStar) return MALFORMED;
    if (isConnect && this.#protocol !== "websocket") {
      return new Fault("notImplemented", "CONNECT with this protocol");
    }
    try {
      this.out.requestLine(isConnect ? "GET" : method, path);
    } catch (error) {
      return new Fault("badRequest", "bad request target", { cause: error });
    }
    if (this.#authority !== undefined) this.out.line("host", this.#authority);
    if (isConnect) this.#printUpgrade();
  }

  /** The handshake of RFC 6455 instead of an extended CONNECT, RFC 8441 section 5. */
  #printUpgrade(): void {
    const random = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
    this.webSocketKey = btoa(String.fromCharCode(...random));
    this.out.line("upgrade", "websocket");
    this.out.line("connection", "upgrade");
    this.out.line("sec-websocket-key", this.webSocketKey);
  }
}

const PSEUDO_MAX = 5;
/** Most crumbs of cookies in one head. Browsers keep up to 180 cookies for a site, and some of the site above it. */
export const CRUMBS_MAX = 512;

function isCookie(names: Uint8Array, start: number, end: number): boolean {
  return end - start === 6 && spells(names, start, end, "cookie");
}

/** Collects the trailers of a request. */
export class TrailerFields implements FieldSink {
  readonly #limits: HeadLimits;
  readonly #out = new HeadWriter();
  /** True if they are larger or more than they may be. */
  isTooLarge = false;
  #bytes = 0;
  #count = 0;
  #isBad = false;

  constructor(limits: HeadLimits) {
    this.#limits = limits;
  }

  field(
    names: Uint8Array,
    nameStart: number,
    nameEnd: number,
    values: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): void {
    this.#bytes += nameEnd - nameStart + valueEnd - valueStart + FIELD_BYTES;
    const { headBytesMax, fieldsMax } = this.#limits;
    if (this.#bytes > headBytesMax || ++this.#count > fieldsMax) this.isTooLarge = true;
    if (this.#isBad || this.isTooLarge) return;
    // Pseudo-headers must not stand in trailers: their colon is in no name.
    const isGood = isName(names, nameStart, nameEnd) && isValue(values, valueStart, valueEnd) &&
      !isConnectionField(names, nameStart, nameEnd);
    if (!isGood) {
      this.#isBad = true;
      return;
    }
    this.#out.part(names, nameStart, nameEnd);
    this.#out.raw(SEPARATOR);
    this.#out.part(values, valueStart, valueEnd);
    this.#out.raw(LINE_END);
  }

  /** The trailers; undefined if they are malformed or too large. */
  fields(): Fields | undefined {
    if (this.#isBad || this.isTooLarge) return undefined;
    this.#out.endHead();
    const bytes = this.#out.view().slice();
    this.#out.release();
    const fields = parseFields(bytes, 0, bytes.length, this.#limits.fieldsMax, "request");
    if (fields === undefined || fields instanceof Fault) return undefined;
    return refusedTrailer(fields) === undefined ? fields : undefined;
  }
}

/** Takes the fields of a block that nobody wants; the table of the decoder still has to learn of them. */
export const IGNORED: FieldSink = { field() {} };

/** A name in lower case, RFC 9113 section 8.2.1. */
function isName(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const code = bytes[i]!;
    if (TOKEN[code] !== 1 || (code >= 65 && code <= 90)) return false;
  }
  return end > start;
}

/** Without controls, and without white space at its ends, RFC 9113 section 8.2.1. */
function isValue(bytes: Uint8Array, start: number, end: number): boolean {
  if (end === start) return true;
  for (let i = start; i < end; i++) {
    if (VALUE[bytes[i]!] !== 1) return false;
  }
  const first = bytes[start]!;
  const last = bytes[end - 1]!;
  return first !== SP && first !== TAB && last !== SP && last !== TAB;
}

function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (TOKEN[text.charCodeAt(i)] !== 1) return false;
  }
  return true;
}

/** The name of a scheme, RFC 3986 section 3.1. Others may be whole addresses, for recipients that print them first. */
function isScheme(text: string | undefined): boolean {
  return text === "https" || text === "http" || /^[a-z][a-z\d+.-]*$/i.test(text ?? "");
}

/** True for the fields that HTTP/2 does not have, RFC 9113 section 8.2.2. `Host` of responses is not among them. */
export function isConnectionField(bytes: Uint8Array, start: number, end: number): boolean {
  switch (end - start) {
    case 7:
      return spells(bytes, start, end, "upgrade");
    case 10:
      return bytes[start + 4] === DASH
        ? spells(bytes, start, end, "keep-alive")
        : spells(bytes, start, end, "connection");
    case 16:
      return spells(bytes, start, end, "proxy-connection");
    case 17:
      return spells(bytes, start, end, "transfer-encoding");
  }
  return false;
}

/** True if both name one host: letters may differ in case. */
function sameHost(a: string, b: string): boolean {
  return a === b || a.toLowerCase() === b.toLowerCase();
}
