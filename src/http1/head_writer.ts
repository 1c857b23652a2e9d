/**
 * Prints heads and small bodies into one buffer, so that a small message leaves in one write. Names and values
 * that would break the grammar are refused, so that none can smuggle a line end into a head.
 */
import { type Fields, TOKEN, VALUE } from "./fields.ts";
import type { RequestHead } from "./head.ts";

const ROOM_START = 1024;
/** Unused buffers of that size: a new one must be cleared, and costs the garbage collector time. */
const FREE_MAX = 1024;
const free: Uint8Array<ArrayBuffer>[] = [];

const DIGITS = "0123456789abcdef";
/** Up to this many bytes are copied one by one, which is faster than to make a view for `set`. */
const COPIED_MAX = 128;

const NONE = new Uint8Array(0);

/** An output buffer. `Content-Length`, `Transfer-Encoding` and `Connection` are added by `http1/` only. */
export class HeadWriter {
  #bytes = free.pop() ?? new Uint8Array(ROOM_START);
  #length = 0;
  // Contiguous lines that `copy` was called for and that have not been copied yet.
  #run: Uint8Array | undefined;
  #runStart = 0;
  #runEnd = 0;

  /** Bytes written since `clear`. */
  get length(): number {
    this.#copyRun();
    return this.#length;
  }

  /** The bytes written are at the beginning of these. Valid until the next call. */
  get bytes(): Uint8Array {
    this.#copyRun();
    return this.#bytes;
  }

  /** The bytes written. Valid until the next call. */
  view(): Uint8Array {
    this.#copyRun();
    return this.#bytes.subarray(0, this.#length);
  }

  /** Starts again. A buffer that has grown beyond `keep` bytes is dropped. */
  clear(keep = Infinity): void {
    this.#run = undefined;
    this.#length = 0;
    if (this.#bytes.length > keep) this.#bytes = new Uint8Array(ROOM_START);
  }

  /** Frees the buffer for another writer. Must be called once, after all other calls. */
  release(): void {
    if (this.#bytes.length === ROOM_START && free.length < FREE_MAX) free.push(this.#bytes);
    this.#bytes = NONE;
    this.#length = 0;
    this.#run = undefined;
  }

  /** Adds one line. Throws a TypeError on a name or value that is not allowed in a head. */
  line(name: string, value: string): void {
    this.#copyRun();
    this.#room(name.length + value.length + 4);
    if (name === "") throw new TypeError("Cannot write a field without a name");
    this.#text(name, TOKEN);
    this.#bytes[this.#length++] = 58;
    this.#bytes[this.#length++] = 32;
    this.#text(value, VALUE);
    this.#crlf();
  }

  /**
   * Adds line `index` of `fields` byte for byte; contiguous lines are copied at once. A line that did not end
   * in CRLF does so here.
   */
  copy(fields: Fields, index: number): void {
    if (!fields.isExact) {
      this.part(fields.bytes, fields.lineStart(index), fields.valueEnd(index));
      this.#room(2);
      return this.#crlf();
    }
    const start = fields.lineStart(index);
    const end = fields.lineStart(index + 1);
    if (this.#run === fields.bytes && this.#runEnd === start) {
      this.#runEnd = end;
      return;
    }
    this.#copyRun();
    this.#run = fields.bytes;
    this.#runStart = start;
    this.#runEnd = end;
  }

  /** `GET /path HTTP/1.1`. Throws a TypeError on a target with white space or controls. */
  requestLine(method: string, target: string): void {
    this.#room(method.length + target.length + 12);
    this.#text(method, TOKEN);
    this.#bytes[this.#length++] = 32;
    if (/[^\x21-\x7e]/.test(target)) throw new TypeError("Cannot write this request target");
    this.#text(target, VALUE);
    this.#text(" HTTP/1.1", VALUE);
    this.#crlf();
  }

  /**
   * The same for a path that was received, which has been checked and is copied as it is. Only for a head whose
   * `pathStart` is not -1.
   */
  requestLineOf(head: RequestHead): void {
    const { method, fields, pathStart, pathEnd } = head;
    this.#room(method.length + 1);
    this.#text(method, TOKEN);
    this.#bytes[this.#length++] = 32;
    this.part(fields.bytes, pathStart, pathEnd);
    this.#room(11);
    this.#text(" HTTP/1.1", VALUE);
    this.#crlf();
  }

  /** `HTTP/1.1 200 OK`. We send version 1.1 to all peers (RFC 9112 section 2.3). */
  statusLine(status: number, reason: string): void {
    this.#room(reason.length + 15);
    this.#text("HTTP/1.1 ", VALUE);
    this.number(status);
    this.#bytes[this.#length++] = 32;
    this.#text(reason, VALUE);
    this.#crlf();
  }

  /** `Content-Length: n`. */
  contentLength(length: number): void {
    this.#copyRun();
    this.#room(36);
    this.#text("Content-Length: ", VALUE);
    this.number(length);
    this.#crlf();
  }

  /** Closes the head. */
  endHead(): void {
    this.#copyRun();
    this.#room(2);
    this.#crlf();
  }

  /** Adds bytes as they are: payload without a coding, or lines that were printed before. */
  raw(bytes: Uint8Array): void {
    this.part(bytes, 0, bytes.length);
  }

  /** As `raw`, of the bytes from `start` to `end`. */
  part(bytes: Uint8Array, start: number, end: number): void {
    this.#copyRun();
    this.#put(bytes, start, end);
  }

  /** Adds payload as one chunk. Empty payload adds nothing: it would end the body (RFC 9112 section 7.1). */
  chunk(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#copyRun();
    this.#room(bytes.length + 16);
    this.#hex(bytes.length);
    this.#crlf();
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    this.#crlf();
  }

  /** Adds the last chunk and the trailers. */
  lastChunk(trailers: Fields | undefined): void {
    this.#copyRun();
    this.#room(5);
    this.#bytes[this.#length++] = 48;
    this.#crlf();
    for (let i = 0; trailers !== undefined && i < trailers.count; i++) this.copy(trailers, i);
    this.endHead();
  }

  /** Digits of a count. */
  number(value: number): void {
    let digits = 1;
    for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits++;
    let rest = value;
    for (let at = this.#length + digits - 1; at >= this.#length; at--) {
      this.#bytes[at] = 48 + rest % 10;
      rest = Math.floor(rest / 10);
    }
    this.#length += digits;
  }

  #hex(value: number): void {
    let shift = 0;
    while (value >>> (shift + 4) !== 0) shift += 4;
    for (; shift >= 0; shift -= 4) {
      this.#bytes[this.#length++] = DIGITS.charCodeAt((value >>> shift) & 15);
    }
  }

  #copyRun(): void {
    const run = this.#run;
    if (run === undefined) return;
    this.#run = undefined;
    this.#put(run, this.#runStart, this.#runEnd);
  }

  #put(from: Uint8Array, start: number, end: number): void {
    const count = end - start;
    this.#room(count);
    const bytes = this.#bytes;
    const to = this.#length;
    if (count <= COPIED_MAX) { for (let i = 0; i < count; i++) bytes[to + i] = from[start + i]!; }
    else bytes.set(count === from.length ? from : from.subarray(start, end), to);
    this.#length = to + count;
  }

  #text(text: string, allowed: Uint8Array): void {
    const bytes = this.#bytes;
    let at = this.#length;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (allowed[code] !== 1) {
        throw new TypeError(`Cannot write ${JSON.stringify(text)} in a head`);
      }
      bytes[at++] = code;
    }
    this.#length = at;
  }

  #crlf(): void {
    this.#bytes[this.#length++] = 13;
    this.#bytes[this.#length++] = 10;
  }

  #room(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    let size = Math.max(ROOM_START, this.#bytes.length * 2);
    while (size < this.#length + more) size *= 2;
    const grown = new Uint8Array(size);
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}
