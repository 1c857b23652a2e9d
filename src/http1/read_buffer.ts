/**
 * The bytes that a connection has read and that nobody has used yet. It does no I/O: a reader asks for `room`,
 * reads into it and says how much it `added`; the parser takes bytes from `start` and advances it.
 *
 * While a request or response is under way, the bytes of its head must stay in place (`hold`), because the
 * parsed head points into them. Further reads then go to another buffer. Between two messages a connection
 * needs no buffer (`release`), or one small one on sockets that must have it before there is something to
 * read. Buffers are pooled, and the one used last is used next.
 */
import type { Bytes } from "../base/bytes.ts";

/** For the first read of a message, in bytes: a head, and often all of it. */
export const SMALL_BYTES = 8 * 1024;
/** For reads of a body, in bytes. */
export const LARGE_BYTES = 64 * 1024;
/** Unused buffers kept of each size. */
const SMALL_KEPT_MAX = 1024;
const LARGE_KEPT_MAX = 64;

const NONE: Bytes = new Uint8Array(0);
const smallFree: Bytes[] = [];
const largeFree: Bytes[] = [];

function takeBuffer(isLarge: boolean): Bytes {
  return isLarge
    ? largeFree.pop() ?? new Uint8Array(LARGE_BYTES)
    : smallFree.pop() ?? new Uint8Array(SMALL_BYTES);
}

function giveBuffer(buffer: Bytes): void {
  if (buffer.length === SMALL_BYTES && smallFree.length < SMALL_KEPT_MAX) smallFree.push(buffer);
  if (buffer.length === LARGE_BYTES && largeFree.length < LARGE_KEPT_MAX) largeFree.push(buffer);
}

/** The buffer of one connection. */
export class ReadBuffer {
  /** The bytes from `start` to `end` are unused. */
  bytes: Bytes = NONE;
  start = 0;
  end = 0;
  #held: Bytes | undefined;

  get isEmpty(): boolean {
    return this.start === this.end;
  }

  /** Unused bytes. */
  get length(): number {
    return this.end - this.start;
  }

  /** The next `count` bytes, which are used by this. The view is valid until the next `room`. */
  take(count: number): Bytes {
    const view = this.bytes.subarray(this.start, this.start + count);
    this.start += count;
    return view;
  }

  /** Forgets the unused bytes. */
  clear(): void {
    this.start = this.end;
  }

  /** Keeps the bytes that are here in place until `unhold`. */
  hold(): void {
    this.#held = this.bytes;
  }

  /** The bytes that `hold` kept may move again. */
  unhold(): void {
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined && held !== this.bytes) giveBuffer(held);
  }

  /** Gives the buffer to others if nothing in it is unused or held, and no read may still write to it. */
  release(): void {
    if (!this.isEmpty || this.bytes === this.#held) return;
    giveBuffer(this.bytes);
    this.bytes = NONE;
    this.start = this.end = 0;
  }

  /** Where the next read may write: at least one byte. `isLarge`: a body is read. Moves unused bytes. */
  room(isLarge: boolean): Bytes {
    if (this.isEmpty) this.#renew(isLarge);
    else if (this.end === this.bytes.length) this.#makeRoom(isLarge);
    return this.end === 0 ? this.bytes : this.bytes.subarray(this.end);
  }

  /** So many bytes were written to the last `room`. */
  added(count: number): void {
    this.end += count;
  }

  #renew(isLarge: boolean): void {
    const { bytes } = this;
    this.start = this.end = 0;
    if (bytes === this.#held || bytes === NONE) this.bytes = takeBuffer(isLarge);
    else if (isLarge !== (bytes.length === LARGE_BYTES)) {
      giveBuffer(bytes);
      this.bytes = takeBuffer(isLarge);
    }
  }

  #makeRoom(isLarge: boolean): void {
    const { bytes } = this;
    const rest = bytes.subarray(this.start, this.end);
    if (bytes === this.#held || this.start === 0) {
      this.bytes = rest.length < SMALL_BYTES
        ? takeBuffer(isLarge)
        : new Uint8Array(rest.length * 2);
      this.bytes.set(rest);
      if (bytes !== this.#held) giveBuffer(bytes);
    } else bytes.copyWithin(0, this.start, this.end);
    this.start = 0;
    this.end = rest.length;
  }

  /**
   * Gives its buffers to others; no byte of it may be used any more. `isReading`: a read may still write to
   * the last `room`, so that buffer is left to the garbage collector.
   */
  dispose(isReading: boolean): void {
    this.unhold();
    if (!isReading) giveBuffer(this.bytes);
    this.bytes = NONE;
    this.start = this.end = 0;
  }
}
