/**
 * The length of message bodies (RFC 9112 section 6) and the chunked coding (section 7.1), without any I/O.
 * Messages that two readers could frame differently are refused, never interpreted: that is our defence
 * against request smuggling.
 */
import { Fault } from "../base/fault.ts";
import { Fields, malformed, type MessageSide, parseFields, VALUE } from "./fields.ts";

/** The length of a body in bytes, 0 or more, or one of the two constants below. */
export type Framing = number;
/** Chunked coding: the body itself marks its end. */
export const CHUNKED: Framing = -1;
/** The body ends with the connection; responses only. */
export const UNTIL_CLOSE: Framing = -2;

/** 15 digits stay below 2^53, so that the length is exact as a number. */
const LENGTH_DIGITS_MAX = 15;

/** What the framing fields of one head say, before the rules for its kind of message are applied. */
export interface FramingFields {
  /** Value of `Content-Length`, or -1. */
  length: number;
  /** True if `Transfer-Encoding` is there and is exactly `chunked`. */
  chunked: boolean;
}

/** Reads `Content-Length` (RFC 9110 section 8.6): one field of digits; lists and repeats are refused. */
export function parseLength(text: string): number | undefined {
  if (text.length === 0 || text.length > LENGTH_DIGITS_MAX) return undefined;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return undefined;
    value = value * 10 + digit;
  }
  return value;
}

/** Reads line `i`, a `Content-Length` (RFC 9112 section 6.2), into `into`. Returns a Fault if it is not valid. */
export function readLength(
  fields: Fields,
  i: number,
  side: MessageSide,
  into: FramingFields,
): Fault | undefined {
  if (into.length >= 0) return malformed(side, "more than one Content-Length");
  if (endsInTab(fields, i)) return malformed(side, "bad Content-Length");
  const length = parseLength(fields.value(i));
  if (length === undefined) return malformed(side, "bad Content-Length");
  into.length = length;
}

/**
 * Reads line `i`, a `Transfer-Encoding`, into `into`. Only `chunked` is understood (RFC 9112 section 6.1);
 * everything else gets a Fault, which is always safe.
 */
export function readCoding(
  fields: Fields,
  i: number,
  side: MessageSide,
  minor: 0 | 1,
  into: FramingFields,
): Fault | undefined {
  if (minor === 0) return malformed(side, "Transfer-Encoding in HTTP/1.0");
  if (into.chunked) return malformed(side, "more than one Transfer-Encoding");
  if (endsInTab(fields, i)) return malformed(side, "bad Transfer-Encoding");
  if (!fields.valueIs(i, "chunked")) {
    // If the last coding is not chunked, the length of a request is undefined: malformed, not unsupported.
    const isWhole = /,[ \t]*chunked$/i.test(fields.value(i)) &&
      !/chunked[ \t]*,/i.test(fields.value(i));
    return side === "request" && isWhole
      ? new Fault("notImplemented", "transfer coding")
      : malformed(side, "bad Transfer-Encoding");
  }
  into.chunked = true;
}

/**
 * True if the white space after the value of line `i` has a tab in it. The grammar allows that, but some
 * servers do not strip it and see another value.
 */
function endsInTab(fields: Fields, i: number): boolean {
  let at = fields.valueEnd(i);
  while (fields.bytes[at] === SP) at++;
  return fields.bytes[at] === TAB;
}

/** True if a response with this status has no body, whatever its fields say (RFC 9112 section 6.3). */
export function isBodyless(method: string, status: number): boolean {
  return method === "HEAD" || status < 200 || status === 204 || status === 304 ||
    (method === "CONNECT" && status < 300);
}

/** How the body of a response to `method` is framed (RFC 9112 section 6.3, rules 1 to 8). */
export function responseFraming(method: string, status: number, semantics: FramingFields): Framing {
  if (isBodyless(method, status)) return 0;
  if (semantics.chunked) return CHUNKED;
  return semantics.length >= 0 ? semantics.length : UNTIL_CLOSE;
}

const CR = 13;
const LF = 10;
const TAB = 9;
const SP = 32;
const SEMICOLON = 59;

/** Hex digits of one chunk size, leading zeros included. */
const SIZE_DIGITS_MAX = 12;
/** Bytes of chunk extensions in a whole body. Nobody needs them, and reading them takes time. */
const EXTENSION_BYTES_MAX = 4096;
/** Size of a trailer section. */
const TRAILER_BYTES_MAX = 8192;
const TRAILER_FIELDS_MAX = 64;
/** Trailers that would change what has already been decided (RFC 9110 section 6.5.1). */
const TRAILERS_REFUSED = ["content-length", "transfer-encoding", "host", "connection", "upgrade"];

/** The name of a trailer that makes its message malformed; undefined if there is none. */
export function refusedTrailer(fields: Fields): string | undefined {
  return TRAILERS_REFUSED.find((name) => fields.find(name) >= 0);
}

/** What `ChunkedDecoder.step` found. */
export type ChunkedStep = "data" | "more" | "end" | Fault;

type ChunkedState = "size" | "extension" | "sizeEnd" | "data" | "dataCr" | "dataLf" | "trailers";

/** Decodes a chunked body, however its bytes are split into reads. */
export class ChunkedDecoder {
  readonly #side: MessageSide;
  #state: ChunkedState = "size";
  #digits = 0;
  #left = 0;
  #extensionBytes = 0;
  /** After each step: the position of the first unused byte. */
  at = 0;
  /** After "data": where the payload begins and ends. */
  dataStart = 0;
  dataEnd = 0;
  /** After "end", if there were any. */
  trailers: Fields | undefined;

  constructor(side: MessageSide) {
    this.#side = side;
  }

  /** Decodes from `start` until it finds payload or the end of the body, or needs more bytes. */
  step(bytes: Uint8Array, start: number, end: number): ChunkedStep {
    this.at = start;
    while (this.at < end) {
      switch (this.#state) {
        case "data":
          return this.#data(end);
        case "trailers":
          return this.#trailers(bytes, end);
        default: {
          const fault = this.#line(bytes[this.at]!);
          if (fault !== undefined) return fault;
        }
      }
    }
    return "more";
  }

  #data(end: number): ChunkedStep {
    this.dataStart = this.at;
    this.dataEnd = Math.min(end, this.at + this.#left);
    this.#left -= this.dataEnd - this.dataStart;
    this.at = this.dataEnd;
    if (this.#left === 0) this.#state = "dataCr";
    return "data";
  }

  /** One byte of a chunk's size line or of the line end after its data. */
  #line(code: number): Fault | undefined {
    switch (this.#state) {
      case "size": {
        const digit = hexDigit(code);
        if (digit >= 0) {
          if (++this.#digits > SIZE_DIGITS_MAX) return this.#bad("chunk size too long");
          this.#left = this.#left * 16 + digit;
        } else if (this.#digits === 0) return this.#bad("bad chunk size");
        else if (code === CR) this.#state = "sizeEnd";
        else if (code === SEMICOLON) this.#state = "extension";
        else return this.#bad("bad chunk size");
        break;
      }
      case "extension":
        if (code === CR) this.#state = "sizeEnd";
        else if (VALUE[code] === 0) return this.#bad("bad chunk extension");
        else if (++this.#extensionBytes > EXTENSION_BYTES_MAX) {
          return this.#bad("chunk extensions too long");
        }
        break;
      case "sizeEnd":
        if (code !== LF) return this.#bad("bare CR in chunk size");
        this.#digits = 0;
        this.#state = this.#left === 0 ? "trailers" : "data";
        break;
      case "dataCr":
        if (code !== CR) return this.#bad("chunk longer than its size");
        this.#state = "dataLf";
        break;
      case "dataLf":
        if (code !== LF) return this.#bad("bare CR after chunk");
        this.#state = "size";
        break;
    }
    this.at++;
    return undefined;
  }

  /** The trailer section must be in the buffer as a whole; it is short. */
  #trailers(bytes: Uint8Array, end: number): ChunkedStep {
    const reach = Math.min(end, this.at + TRAILER_BYTES_MAX);
    const fields = parseFields(bytes, this.at, reach, TRAILER_FIELDS_MAX, this.#side);
    if (fields === undefined) {
      return reach - this.at === TRAILER_BYTES_MAX ? this.#bad("trailers too large") : "more";
    }
    if (!(fields instanceof Fields)) return fields;
    const name = refusedTrailer(fields);
    if (name !== undefined) return this.#bad(`${name} in trailers`);
    if (fields.count > 0) this.trailers = fields.copied(this.at);
    this.at = fields.end;
    return "end";
  }

  #bad(detail: string): Fault {
    return malformed(this.#side, detail);
  }
}

function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  const lower = code | 0x20;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
