/**
 * Frames of HTTP/2 (RFC 9113 sections 4 and 6): their numbers, and a buffer into which they are printed. Knows
 * nothing of streams.
 */
import type { Bytes } from "../base/bytes.ts";

/** Length of the header with which every frame begins, in bytes. */
export const FRAME_HEADER_BYTES = 9;
/** The largest payload that we accept and send: the size that every peer must accept. */
export const PAYLOAD_BYTES_MAX = 16_384;
/** The largest flow-control window (RFC 9113 section 6.9.1). */
export const WINDOW_MAX = 0x7fff_ffff;
/** The window of a connection, and that of a stream of a peer that has said nothing, in bytes. */
export const WINDOW_START = 65_535;

/** Types of frames, RFC 9113 section 6. */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  resetStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Flags of frames. `ack` and `endStream` are the same bit in different frames. */
export const FLAG = {
  ack: 0x1,
  endStream: 0x1,
  endHeaders: 0x4,
  padded: 0x8,
  priority: 0x20,
} as const;

/** Settings, RFC 9113 section 6.5.2 and RFC 8441 section 3. */
export const SETTING = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
  enableConnectProtocol: 8,
} as const;

/** Error codes, RFC 9113 section 7. */
export const ERROR = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  settingsTimeout: 0x4,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  connectError: 0xa,
  enhanceYourCalm: 0xb,
  inadequateSecurity: 0xc,
  http11Required: 0xd,
} as const;

/** What a client sends first (RFC 9113 section 3.4). */
export const PREFACE: Bytes = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Reads four bytes, the highest first. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return bytes[at]! * 0x100_0000 +
    ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!);
}

/** Reads the 31 bits of a stream's number or of a window's increment; the reserved bit is ignored. */
export function readUint31(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at) & 0x7fff_ffff;
}

/** For small frames, in bytes. Writers share their buffers: a connection that waits needs none, and a new one costs. */
const SMALL_BYTES = 4 * 1024;
/** For bodies, in bytes. */
const LARGE_BYTES = 128 * 1024;
/** Unused buffers that are kept of each size. */
const SMALL_KEPT_MAX = 256;
const LARGE_KEPT_MAX = 32;
const smallFree: Bytes[] = [];
const largeFree: Bytes[] = [];
const NONE: Bytes = new Uint8Array(0);

/** Frames that wait to be sent. */
export class FrameWriter {
  /** The bytes written are at the beginning of these; replaced when they must grow. */
  bytes: Bytes = NONE;
  length = 0;

  /** Starts again. Nothing may use its bytes any more: they go to other writers. */
  clear(): void {
    const { bytes } = this;
    this.length = 0;
    this.bytes = NONE;
    giveBack(bytes);
  }

  /** Begins a frame whose payload is added next; returns what `end` needs. */
  begin(type: number, flags: number, stream: number): number {
    this.room(FRAME_HEADER_BYTES);
    const at = this.length;
    this.bytes[at + 3] = type;
    this.bytes[at + 4] = flags;
    this.length = at + 5;
    this.uint32(stream);
    return at;
  }

  /** Ends the frame that began at `at`: its length is known now. */
  end(at: number): void {
    const length = this.length - at - FRAME_HEADER_BYTES;
    const { bytes } = this;
    bytes[at] = length >>> 16;
    bytes[at + 1] = length >>> 8;
    bytes[at + 2] = length;
  }

  /** A DATA frame with the bytes from `start` to `end` of `from`, PAYLOAD_BYTES_MAX at most. */
  data(stream: number, from: Uint8Array, start: number, end: number, isLast: boolean): void {
    const at = this.begin(FRAME.data, isLast ? FLAG.endStream : 0, stream);
    this.part(from, start, end);
    this.end(at);
  }

  /** A SETTINGS frame with these pairs of number and value. */
  settings(pairs: readonly (readonly [setting: number, value: number])[]): void {
    const at = this.begin(FRAME.settings, 0, 0);
    for (const [setting, value] of pairs) {
      this.byte(setting >>> 8);
      this.byte(setting);
      this.uint32(value);
    }
    this.end(at);
  }

  /** Says that the settings of the peer are in force. */
  settingsAck(): void {
    this.end(this.begin(FRAME.settings, FLAG.ack, 0));
  }

  /** A PING with the eight bytes at `start` of `from`. */
  ping(from: Uint8Array, start: number, isAck: boolean): void {
    const at = this.begin(FRAME.ping, isAck ? FLAG.ack : 0, 0);
    this.part(from, start, start + 8);
    this.end(at);
  }

  /** Says that no stream after `lastStream` was or will be served. `words`: for the person who debugs the peer. */
  goAway(lastStream: number, error: number, words = ""): void {
    const at = this.begin(FRAME.goAway, 0, 0);
    this.uint32(lastStream);
    this.uint32(error);
    for (let i = 0; i < words.length; i++) this.byte(words.charCodeAt(i));
    this.end(at);
  }

  /** Ends a stream at once. */
  resetStream(stream: number, error: number): void {
    const at = this.begin(FRAME.resetStream, 0, stream);
    this.uint32(error);
    this.end(at);
  }

  /** Allows the peer to send `increment` bytes more, on a stream or, if that is 0, on the connection. */
  windowUpdate(stream: number, increment: number): void {
    const at = this.begin(FRAME.windowUpdate, 0, stream);
    this.uint32(increment);
    this.end(at);
  }

  byte(value: number): void {
    this.room(1);
    this.bytes[this.length++] = value;
  }

  uint32(value: number): void {
    this.room(4);
    const { bytes } = this;
    bytes[this.length++] = value >>> 24;
    bytes[this.length++] = value >>> 16;
    bytes[this.length++] = value >>> 8;
    bytes[this.length++] = value;
  }

  /** Adds the bytes from `start` to `end`. */
  part(from: Uint8Array, start: number, end: number): void {
    const count = end - start;
    this.room(count);
    const { bytes, length } = this;
    if (count <= COPIED_MAX) {
      for (let i = 0; i < count; i++) bytes[length + i] = from[start + i]!;
    } else bytes.set(from.subarray(start, end), length);
    this.length = length + count;
  }

  /** Makes room for so many bytes more. */
  room(more: number): void {
    const needed = this.length + more;
    if (needed <= this.bytes.length) return;
    const { bytes } = this;
    const grown = largerThan(bytes.length, needed);
    grown.set(bytes.subarray(0, this.length));
    giveBack(bytes);
    this.bytes = grown;
  }
}

function giveBack(bytes: Bytes): void {
  if (bytes.length === SMALL_BYTES && smallFree.length < SMALL_KEPT_MAX) smallFree.push(bytes);
  if (bytes.length === LARGE_BYTES && largeFree.length < LARGE_KEPT_MAX) largeFree.push(bytes);
}

/** A buffer that has room for `needed` bytes where one of `length` bytes has none. */
function largerThan(length: number, needed: number): Bytes {
  if (needed <= SMALL_BYTES) return smallFree.pop() ?? new Uint8Array(SMALL_BYTES);
  if (needed <= LARGE_BYTES) return largeFree.pop() ?? new Uint8Array(LARGE_BYTES);
  let size = Math.max(length, LARGE_BYTES) * 2;
  while (size < needed) size *= 2;
  return new Uint8Array(size);
}

/** Up to this many bytes are copied one by one, which is faster than to make a view for `set`. */
const COPIED_MAX = 64;
