/** The frames of a client, one after another, and what each of them means (RFC 9113 section 6). */
import type { Bytes } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { ReadBuffer } from "../http1/read_buffer.ts";
import type { Http2Connection } from "./connection.ts";
import { ConnectionError } from "./connection_error.ts";
import {
  ERROR,
  FLAG,
  FRAME,
  FRAME_HEADER_BYTES,
  PAYLOAD_BYTES_MAX,
  PREFACE,
  readUint31,
  readUint32,
} from "./frames.ts";
import { HeaderBlocks } from "./header_blocks.ts";
import { unpadded } from "./padding.ts";

/**
 * What it counts for, among resets, that a client ends a response whose body has begun, or the upload of a request that
 * is answered: people who leave pages do, clients of gRPC whose call has ended early, and a client may be a proxy that
 * has many of them on one connection.
 */
const ABANDONED_COST = 0.1;

/** Takes the frames of one connection. */
export class IncomingFrames {
  /** False until the client has shown that it speaks HTTP/2. */
  hasPreface = false;
  readonly #connection: Http2Connection;
  readonly #blocks: HeaderBlocks;
  #hasSettings = false;

  constructor(connection: Http2Connection) {
    this.#connection = connection;
    this.#blocks = new HeaderBlocks(connection, connection.settings.headLimits);
  }

  /** True while a head is incomplete. */
  get isInHead(): boolean {
    return !this.hasPreface || this.#blocks.isOpen;
  }

  /**
   * Takes the whole frames that `input` holds. Throws a ConnectionError if the client breaks a rule for which the
   * connection must end.
   */
  take(input: ReadBuffer): void {
    if (!this.hasPreface && !this.#takePreface(input)) return;
    while (input.length >= FRAME_HEADER_BYTES && !this.#connection.isStopped) {
      const { bytes, start } = input;
      const length = (bytes[start]! << 16) | (bytes[start + 1]! << 8) | bytes[start + 2]!;
      if (length > PAYLOAD_BYTES_MAX) {
        throw new ConnectionError(ERROR.frameSizeError, "frame too large");
      }
      const payload = start + FRAME_HEADER_BYTES;
      if (payload + length > input.end) return;
      input.start = payload + length;
      const stream = readUint31(bytes, start + 5);
      this.#frame(bytes[start + 3]!, bytes[start + 4]!, stream, bytes, payload, payload + length);
    }
  }

  #takePreface(input: ReadBuffer): boolean {
    const { bytes, start } = input;
    const count = Math.min(input.length, PREFACE.length);
    for (let i = 0; i < count; i++) {
      if (bytes[start + i] !== PREFACE[i]) {
        throw new ConnectionError(ERROR.protocolError, "no preface of HTTP/2");
      }
    }
    if (count < PREFACE.length) return false;
    input.start += count;
    this.#connection.begin();
    return this.hasPreface = true;
  }

  #frame(
    type: number,
    flags: number,
    id: number,
    bytes: Bytes,
    start: number,
    end: number,
  ): void {
    if (this.#blocks.isOpen) {
      if (type !== FRAME.continuation || id !== this.#blocks.stream) {
        throw new ConnectionError(ERROR.protocolError, "a frame between two parts of a head");
      }
      return this.#blocks.continued(flags, bytes, start, end);
    }
    if (!this.#hasSettings && type !== FRAME.settings) {
      throw new ConnectionError(ERROR.protocolError, "the first frame is not SETTINGS");
    }
    switch (type) {
      case FRAME.data:
        return this.#data(flags, id, bytes, start, end);
      case FRAME.headers:
        return this.#blocks.begun(flags, id, bytes, start, end);
      case FRAME.priority:
        return this.#priority(id, bytes, start, end);
      case FRAME.resetStream:
        return this.#resetStream(id, end - start);
      case FRAME.settings:
        return this.#takeSettings(flags, id, bytes, start, end);
      case FRAME.ping:
        return this.#ping(flags, id, bytes, start, end);
      case FRAME.goAway:
        onlyConnection(id, end - start >= 8);
        break;
      case FRAME.windowUpdate:
        return this.#windowUpdate(id, bytes, start, end);
      case FRAME.pushPromise:
      case FRAME.continuation:
        throw new ConnectionError(ERROR.protocolError, "a frame that may not come here");
    }
    this.#connection.spend("ignored");
  }

  #data(flags: number, id: number, bytes: Bytes, start: number, end: number): void {
    const count = end - start;
    if (id === 0) throw new ConnectionError(ERROR.protocolError, "DATA without a stream");
    if (count > this.#connection.receiveWindow) {
      throw new ConnectionError(ERROR.flowControlError, "more than the window of the connection");
    }
    this.#connection.receiveWindow -= count;
    const isLast = (flags & FLAG.endStream) !== 0;
    const [from, to] = unpadded(flags, bytes, start, end);
    // Padding alone brings nobody further, either.
    if (from === to && !isLast) this.#connection.spend("empty");
    const stream = this.#connection.find(id);
    if (stream === undefined || stream.body.isComplete) {
      this.#connection.used(count);
      return this.#dataOfNone(id);
    }
    if (count > stream.receiveWindow) {
      this.#connection.used(count);
      return this.#connection.breakStream(
        id,
        ERROR.flowControlError,
        "more than the window of the stream",
      );
    }
    stream.receiveWindow -= count;
    const padding = count - (to - from);
    const isGood = stream.body.add(bytes, from, to);
    if (!isGood) this.#connection.used(to - from);
    if (padding > 0) stream.used(padding);
    if (!isGood || (isLast && !stream.body.complete())) {
      return this.#connection.breakStream(
        id,
        ERROR.protocolError,
        "the body is not as long as declared",
      );
    }
    if (isLast) stream.remoteEnded();
  }

  /** DATA for a stream that is over, or never was. */
  #dataOfNone(id: number): void {
    if (id > this.#connection.lastSeen) {
      throw new ConnectionError(ERROR.protocolError, "DATA before a head");
    }
    if (id > this.#connection.lastStream || this.#connection.wasReset(id)) return;
    this.#connection.breakStream(id, ERROR.streamClosed, "DATA after the end of its stream");
  }

  #priority(id: number, bytes: Uint8Array, start: number, end: number): void {
    if (id === 0) throw new ConnectionError(ERROR.protocolError, "PRIORITY without a stream");
    this.#connection.spend("ignored");
    if (end - start !== 5) {
      return this.#connection.breakStream(id, ERROR.frameSizeError, "size of PRIORITY");
    }
    if (readUint31(bytes, start) === id) {
      this.#connection.breakStream(id, ERROR.protocolError, "a stream that depends on itself");
    }
  }

  #resetStream(id: number, length: number): void {
    if (length !== 4) throw new ConnectionError(ERROR.frameSizeError, "size of RST_STREAM");
    if (id === 0 || id > this.#connection.lastSeen) {
      throw new ConnectionError(ERROR.protocolError, "RST_STREAM without a stream");
    }
    const stream = this.#connection.find(id);
    const isServed = stream !== undefined && (stream.hasSentData || stream.isLocalEnd);
    this.#connection.spend("resets", isServed ? ABANDONED_COST : 1);
    this.#connection.forgetReset(id);
    stream?.fail(new Fault("clientReset", "the client has reset the stream"));
  }

  #takeSettings(flags: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    const isAck = (flags & FLAG.ack) !== 0;
    const length = end - start;
    if (id !== 0) throw new ConnectionError(ERROR.protocolError, "SETTINGS of a stream");
    if (length % 6 !== 0 || (isAck && length > 0)) {
      throw new ConnectionError(ERROR.frameSizeError, "size of SETTINGS");
    }
    this.#connection.spend("answered");
    if (isAck) return;
    this.#hasSettings = true;
    for (let at = start; at < end; at += 6) {
      this.#connection.setting((bytes[at]! << 8) | bytes[at + 1]!, readUint32(bytes, at + 2));
    }
    this.#connection.putSettingsAck();
  }

  #ping(flags: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    if (id !== 0) throw new ConnectionError(ERROR.protocolError, "PING of a stream");
    if (end - start !== 8) throw new ConnectionError(ERROR.frameSizeError, "size of PING");
    this.#connection.spend("answered");
    if ((flags & FLAG.ack) !== 0) return;
    this.#connection.putPing(bytes, start);
  }

  #windowUpdate(id: number, bytes: Uint8Array, start: number, end: number): void {
    if (end - start !== 4) throw new ConnectionError(ERROR.frameSizeError, "size of WINDOW_UPDATE");
    this.#connection.spend("windows");
    const increment = readUint31(bytes, start);
    if (id === 0) {
      if (increment === 0) throw new ConnectionError(ERROR.protocolError, "a window grows by 0");
      return this.#connection.widen(increment);
    }
    if (id > this.#connection.lastSeen) {
      throw new ConnectionError(ERROR.protocolError, "WINDOW_UPDATE before a head");
    }
    const stream = this.#connection.find(id);
    if (stream === undefined) return;
    if (increment === 0) {
      return this.#connection.breakStream(id, ERROR.protocolError, "a window grows by 0");
    }
    if (!stream.widen(increment)) {
      this.#connection.breakStream(id, ERROR.flowControlError, "the window is too large");
    }
  }
}

function onlyConnection(id: number, isRightSize: boolean): void {
  if (id !== 0) throw new ConnectionError(ERROR.protocolError, "GOAWAY of a stream");
  if (!isRightSize) throw new ConnectionError(ERROR.frameSizeError, "size of GOAWAY");
}
