/**
 * Bytes of a body that have come and were not used. Those of large frames stand one after the other in blocks that
 * all bodies share, so that they leave together and no memory is made and collected for each frame. What is small
 * has memory of about its own size.
 */
import type { Bytes } from "../base/bytes.ts";

/** Size of a block, in bytes. */
const BLOCK_BYTES = 32 * 1024;
/** A body that begins with fewer bytes than these gets no block, so that a client cannot have us hold much for little. */
const BLOCK_FROM = 8 * 1024;
/** Small parts are joined up to this size, in bytes. */
const JOINED_MAX = 4 * 1024;
/** Unused blocks that are kept. */
const KEPT_MAX = 64;
const free: Bytes[] = [];

/** The bytes from `start` to `end` of `bytes` are unused. */
interface Part {
  bytes: Bytes;
  start: number;
  end: number;
}

/** The bytes of one body, in their order. */
export class BodyBuffer {
  readonly #parts: Part[] = [];
  /** The part of which a view was handed out; it is the first one. */
  #lent: Part | undefined;

  /** True if there are no unused bytes. */
  get isEmpty(): boolean {
    const first = this.#parts[0];
    return first === undefined || (this.#parts.length === 1 && first.start === first.end);
  }

  /** Takes a copy of the bytes from `start` to `end` of `from`. */
  add(from: Uint8Array, start: number, end: number): void {
    for (let at = start; at < end;) {
      const last = this.#parts.at(-1);
      const room = last?.bytes.length === BLOCK_BYTES ? BLOCK_BYTES - last.end : 0;
      const count = Math.min(room, end - at);
      if (count > 0) {
        last!.bytes.set(from.subarray(at, at + count), last!.end);
        last!.end += count;
        at += count;
      } else if (end - at < BLOCK_FROM) return this.#addSmall(last, from, at, end);
      else {this.#parts.push({
          bytes: free.pop() ?? new Uint8Array(BLOCK_BYTES),
          start: 0,
          end: 0,
        });}
    }
  }

  /** Joins it to what is small before it: frames of one byte would else take hundreds of times their size. */
  #addSmall(last: Part | undefined, from: Uint8Array, start: number, end: number): void {
    const count = end - start;
    if (last === undefined || last.bytes.length === BLOCK_BYTES || last.end + count > JOINED_MAX) {
      this.#parts.push({ bytes: from.slice(start, end) as Bytes, start: 0, end: count });
      return;
    }
    const size = last.end + count;
    if (size > last.bytes.length) {
      const grown = new Uint8Array(Math.min(JOINED_MAX, size * 2));
      grown.set(last.bytes.subarray(0, last.end));
      last.bytes = grown;
    }
    last.bytes.set(from.subarray(start, end), last.end);
    last.end = size;
  }

  /** The next bytes, which are used by this; undefined if there are none. The view is valid until `returned`. */
  take(): Bytes | undefined {
    const first = this.#parts[0];
    if (first === undefined || first.start === first.end) return undefined;
    const view = first.bytes.subarray(first.start, first.end);
    first.start = first.end;
    this.#lent = first;
    return view;
  }

  /** The view that `take` has handed out is of no use to anybody any more. */
  returned(): void {
    const lent = this.#lent;
    this.#lent = undefined;
    // More may have come into the same block meanwhile.
    if (lent === undefined || lent.start !== lent.end) return;
    this.#parts.shift();
    giveBack(lent);
  }

  /** Drops what is unused, and returns how many bytes that was. A view that is handed out stays as it is. */
  clear(): number {
    let count = 0;
    for (const part of this.#parts) {
      count += part.end - part.start;
      // Whoever has the view may still be sending it.
      if (part !== this.#lent) giveBack(part);
    }
    this.#parts.length = 0;
    this.#lent = undefined;
    return count;
  }
}

function giveBack({ bytes }: Part): void {
  if (bytes.length === BLOCK_BYTES && free.length < KEPT_MAX) free.push(bytes);
}
