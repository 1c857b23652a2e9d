/**
 * Field lines (RFC 9112 section 5) as offsets into the bytes that were read. A string is made only when
 * somebody asks for it, so forwarding a head costs a copy and no dictionary. A `Fields` is valid for as long
 * as its message: when the exchange ends, its buffer is reused.
 *
 * The parser is strict and reads from left to right: whether it finds a fault or an end, or needs more, depends
 * on the bytes alone and not on how they were split into reads.
 */
import { Fault } from "../base/fault.ts";

const CR = 13;
const LF = 10;
const SP = 32;
const TAB = 9;
const COLON = 58;

/** The fault of a malformed message, by its sender. */
export type MessageSide = "request" | "response";

/** The fault for bytes that break the grammar. */
export function malformed(side: MessageSide, detail: string): Fault {
  return new Fault(side === "request" ? "badRequest" : "badResponse", detail);
}

/** The fault for a head beyond its limits. */
export function oversized(side: MessageSide, detail: string): Fault {
  return new Fault(side === "request" ? "headTooLarge" : "badResponse", detail);
}

function table(member: (code: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => member(code) ? 1 : 0);
}

const TOKEN_TEXT = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]$/;
/** `tchar` of RFC 9110 section 5.6.2. */
export const TOKEN = table((code) => TOKEN_TEXT.test(String.fromCharCode(code)));
/** What may stand in a field value, RFC 9110 section 5.5: no control but the tab. */
export const VALUE = table((code) => code === TAB || (code >= SP && code !== 127));

/** Bytes `start` to `end` as text, one character per byte. */
export function latin1(buffer: Uint8Array, start: number, end: number): string {
  let text = "";
  // `apply` puts its arguments on the stack, whose size is limited.
  for (let at = start; at < end; at += 4096) {
    const part = buffer.subarray(at, Math.min(end, at + 4096));
    text += String.fromCharCode.apply(null, part as unknown as number[]);
  }
  return text;
}

/** True if the bytes equal `lower`, ignoring case. `lower` must be in lower case. */
export function spells(buffer: Uint8Array, start: number, end: number, lower: string): boolean {
  if (end - start !== lower.length) return false;
  for (let i = 0; i < lower.length; i++) {
    const code = buffer[start + i]!;
    const folded = code >= 65 && code <= 90 ? code | 0x20 : code;
    if (folded !== lower.charCodeAt(i)) return false;
  }
  return true;
}

/** Offsets kept per line: name start, name end, value start, value end. */
const STRIDE = 4;

/** The field lines of a head or trailer section in the order in which they were received, with duplicates. */
export class Fields {
  readonly bytes: Uint8Array;
  /** How many lines there are. */
  readonly count: number;
  readonly #offsets: readonly number[];
  /** Where the closing empty line begins: the last line ends here. */
  readonly #linesEnd: number;
  /** First byte after the section. */
  readonly end: number;
  /**
   * True if the lines are contiguous and all end in CRLF, so that they can be copied with their line ends;
   * otherwise each line ends with its value.
   */
  readonly isExact: boolean;

  /** `offsets` may be longer than its lines take; `end` is the first byte after the section. */
  constructor(
    bytes: Uint8Array,
    count: number,
    offsets: readonly number[],
    linesEnd: number,
    end = linesEnd + 2,
    isExact = true,
  ) {
    this.bytes = bytes;
    this.count = count;
    this.#offsets = offsets;
    this.#linesEnd = linesEnd;
    this.end = end;
    this.isExact = isExact;
  }

  /** Name of line `index`, as received. Each call makes a new string. */
  name(index: number): string {
    const at = index * STRIDE;
    return latin1(this.bytes, this.#offsets[at]!, this.#offsets[at + 1]!);
  }

  /** Value of line `index` without surrounding white space, a character per byte. Each call makes a string. */
  value(index: number): string {
    const at = index * STRIDE;
    return latin1(this.bytes, this.#offsets[at + 2]!, this.#offsets[at + 3]!);
  }

  /** Length of the name of line `index`, in bytes; cheaper than to compare names. */
  nameLength(index: number): number {
    const at = index * STRIDE;
    return this.#offsets[at + 1]! - this.#offsets[at]!;
  }

  /** True if line `index` has this name; `lowerName` must be in lower case. Makes no string. */
  is(index: number, lowerName: string): boolean {
    const at = index * STRIDE;
    return spells(this.bytes, this.#offsets[at]!, this.#offsets[at + 1]!, lowerName);
  }

  /** True if the value of line `index` is exactly this, in any case. Makes no string. */
  valueIs(index: number, lowerValue: string): boolean {
    const at = index * STRIDE;
    return spells(this.bytes, this.#offsets[at + 2]!, this.#offsets[at + 3]!, lowerValue);
  }

  /** Index of the first line of this name at or after `from`, or -1. */
  find(lowerName: string, from = 0): number {
    for (let index = from; index < this.count; index++) {
      if (this.is(index, lowerName)) return index;
    }
    return -1;
  }

  /** The first value of this name. */
  get(lowerName: string): string | undefined {
    const index = this.find(lowerName);
    return index < 0 ? undefined : this.value(index);
  }

  /** The members of a comma-separated list field over all its lines, trimmed and in lower case. */
  list(lowerName: string): string[] {
    const members: string[] = [];
    for (let i = this.find(lowerName); i >= 0; i = this.find(lowerName, i + 1)) {
      for (const member of this.value(i).toLowerCase().split(",")) {
        const trimmed = member.trim();
        if (trimmed !== "") members.push(trimmed);
      }
    }
    return members;
  }

  /** A copy of the lines that stays valid after the exchange; `start` is where they begin. */
  copied(start: number): Fields {
    const offsets = this.#offsets.slice(0, this.count * STRIDE).map((offset) => offset - start);
    const bytes = this.bytes.slice(start, this.end);
    const [linesEnd, end] = [this.#linesEnd - start, this.end - start];
    return new Fields(bytes, this.count, offsets, linesEnd, end, this.isExact);
  }

  /** The same section without the lines whose names are in `names`. Itself if there are none. */
  without(names: { has(fields: Fields, index: number): boolean }): Fields {
    const offsets: number[] = [];
    for (let index = 0; index < this.count; index++) {
      if (names.has(this, index)) continue;
      const at = index * STRIDE;
      offsets.push(...this.#offsets.slice(at, at + STRIDE));
    }
    const count = offsets.length / STRIDE;
    if (count === this.count) return this;
    return new Fields(this.bytes, count, offsets, this.#linesEnd, this.end, false);
  }

  /** Where line `index` begins in `bytes`, and so where the line before it ends. */
  lineStart(index: number): number {
    return index < this.count ? this.#offsets[index * STRIDE]! : this.#linesEnd;
  }

  /** Where the value of line `index` begins in `bytes`. */
  valueStart(index: number): number {
    return this.#offsets[index * STRIDE + 2]!;
  }

  /** Where the value of line `index` ends in `bytes`. */
  valueEnd(index: number): number {
    return this.#offsets[index * STRIDE + 3]!;
  }
}

/**
 * Reads field lines up to and including the empty line that closes them. Undefined means that more
 * bytes are needed. `offsets` holds the positions of the lines; nothing else may use it for as long as the
 * result is used. With `takesLf` a line may also end in LF alone (RFC 9112 section 2.2 allows it to a
 * recipient). That is only for heads of responses, where it cannot be used to smuggle a request.
 */
export function parseFields(
  bytes: Uint8Array,
  start: number,
  end: number,
  fieldsMax: number,
  side: MessageSide,
  offsets: number[] = [],
  takesLf = false,
): Fields | undefined | Fault {
  let kept = 0;
  let at = start;
  let isExact = true;
  while (at < end) {
    const first = bytes[at]!;
    if (first === CR) {
      if (at + 1 >= end) return undefined;
      if (bytes[at + 1] !== LF) return malformed(side, "bare CR");
      return new Fields(bytes, kept / STRIDE, offsets, at, at + 2, isExact);
    }
    if (first === LF && takesLf) {
      return new Fields(bytes, kept / STRIDE, offsets, at, at + 1, isExact);
    }
    if (first === SP || first === TAB) return malformed(side, "folded line or leading white space");
    if (kept >= fieldsMax * STRIDE) return oversized(side, "too many fields");
    const nameStart = at;
    while (at < end && TOKEN[bytes[at]!] === 1) at++;
    if (at >= end) return undefined;
    if (bytes[at] !== COLON || at === nameStart) return malformed(side, "bad field name");
    const nameEnd = at++;
    while (at < end && (bytes[at] === SP || bytes[at] === TAB)) at++;
    const valueStart = at;
    while (at < end && VALUE[bytes[at]!] === 1) at++;
    if (at >= end) return undefined;
    let valueEnd = at;
    if (bytes[at] === CR) {
      if (at + 1 >= end) return undefined;
      if (bytes[at + 1] !== LF) return malformed(side, "bare CR");
      at += 2;
    } else if (bytes[at] === LF && takesLf) {
      at++;
      isExact = false;
    } else return malformed(side, bytes[at] === LF ? "bare LF" : "control character");
    while (valueEnd > valueStart && (bytes[valueEnd - 1] === SP || bytes[valueEnd - 1] === TAB)) {
      valueEnd--;
    }
    offsets[kept++] = nameStart;
    offsets[kept++] = nameEnd;
    offsets[kept++] = valueStart;
    offsets[kept++] = valueEnd;
  }
  return undefined;
}
