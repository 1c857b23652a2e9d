/** Puts header blocks together, decodes them, and makes requests and trailers of them (RFC 9113 section 4.3). */
import type { Bytes } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { HeadLimits } from "../http1/head.ts";
import type { Http2Connection } from "./connection.ts";
import { ConnectionError } from "./connection_error.ts";
import { ERROR, FLAG, readUint31 } from "./frames.ts";
import { type FieldSink, HpackDecoder } from "./hpack_decoder.ts";
import { unpadded } from "./padding.ts";
import { CRUMBS_MAX, IGNORED, MALFORMED, RequestFields, TrailerFields } from "./request_head.ts";
import { Stream } from "./stream.ts";

/** Most CONTINUATION frames of one head. Only an attack splits a head into more. */
const CONTINUATIONS_MAX = 64;
/** The last number of a stream; after it a client must open another connection. */
const LAST_ID = 0x7fff_ffff;

const NONE: Bytes = new Uint8Array(0);

/** The blocks of one connection. */
export class HeaderBlocks {
  /** The stream of the block that is incomplete; 0 if none is. */
  stream = 0;
  readonly #connection: Http2Connection;
  readonly #limits: HeadLimits;
  readonly #decoder = new HpackDecoder();
  #isLast = false;
  #dependsOnItself = false;
  /** What has come of an incomplete block. */
  #block: Bytes = NONE;
  #length = 0;
  #frames = 0;

  constructor(connection: Http2Connection, limits: HeadLimits) {
    this.#connection = connection;
    this.#limits = limits;
  }

  /** True while a block is incomplete, and only CONTINUATION may follow. */
  get isOpen(): boolean {
    return this.stream !== 0;
  }

  /** A HEADERS frame has come. */
  begun(flags: number, id: number, bytes: Bytes, start: number, end: number): void {
    if (id === 0 || id % 2 === 0) {
      throw new ConnectionError(
        ERROR.protocolError,
        "HEADERS with a number that is not a client's",
      );
    }
    let [from, to] = unpadded(flags, bytes, start, end);
    this.#dependsOnItself = false;
    if ((flags & FLAG.priority) !== 0) {
      if (to - from < 5) throw new ConnectionError(ERROR.frameSizeError, "size of HEADERS");
      this.#dependsOnItself = readUint31(bytes, from) === id;
      from += 5;
    }
    this.#isLast = (flags & FLAG.endStream) !== 0;
    if ((flags & FLAG.endHeaders) !== 0) return this.#whole(id, bytes, from, to);
    this.stream = id;
    this.#length = this.#frames = 0;
    this.#block = NONE;
    this.#append(bytes, from, to);
  }

  /** A CONTINUATION frame has come for the block that is incomplete. */
  continued(flags: number, bytes: Bytes, start: number, end: number): void {
    if (++this.#frames > CONTINUATIONS_MAX) {
      throw new ConnectionError(
        ERROR.enhanceYourCalm,
        "too many CONTINUATION frames in one head",
        "continuations",
      );
    }
    if (start === end) this.#connection.spend("empty");
    this.#append(bytes, start, end);
    if ((flags & FLAG.endHeaders) === 0) return;
    const id = this.stream;
    const block = this.#block;
    this.stream = 0;
    this.#block = NONE;
    this.#whole(id, block, 0, this.#length);
  }

  #append(bytes: Bytes, start: number, end: number): void {
    const length = this.#length + end - start;
    // A block that is so long before it is decoded is never short enough after that.
    if (length > this.#limits.headBytesMax) {
      throw new ConnectionError(
        ERROR.enhanceYourCalm,
        `a head has more than ${this.#limits.headBytesMax} bytes`,
        "head_size",
      );
    }
    if (length > this.#block.length) {
      const grown = new Uint8Array(Math.max(length, this.#block.length * 2));
      grown.set(this.#block.subarray(0, this.#length));
      this.#block = grown;
    }
    this.#block.set(bytes.subarray(start, end), this.#length);
    this.#length = length;
  }

  #decode(bytes: Bytes, start: number, end: number, sink: FieldSink): void {
    if (this.#decoder.decode(bytes, start, end, sink)) return;
    throw new ConnectionError(ERROR.compressionError, "malformed header block");
  }

  /** A block is complete. Whatever becomes of it, it is decoded, because the table depends on it. */
  #whole(id: number, bytes: Bytes, start: number, end: number): void {
    const connection = this.#connection;
    const stream = connection.find(id);
    if (stream !== undefined) return this.#trailers(stream, bytes, start, end);
    if (id <= connection.lastStream) {
      this.#decode(bytes, start, end, IGNORED);
      if (connection.wasReset(id)) return;
      throw new ConnectionError(ERROR.streamClosed, "HEADERS after the end of its stream");
    }
    connection.lastSeen = Math.max(connection.lastSeen, id);
    if (!connection.accepts(id)) return this.#decode(bytes, start, end, IGNORED);
    connection.lastStream = id;
    if (id === LAST_ID) connection.goAway(true);
    if (connection.streams.length >= connection.settings.streamsMax) {
      this.#decode(bytes, start, end, IGNORED);
      const words = `more than ${connection.settings.streamsMax} requests at one time`;
      return connection.breakStream(id, ERROR.refusedStream, words, "streams");
    }
    const fields = new RequestFields(this.#limits);
    this.#decode(bytes, start, end, fields);
    this.#request(id, fields);
  }

  #request(id: number, fields: RequestFields): void {
    const connection = this.#connection;
    const head = this.#dependsOnItself ? MALFORMED : fields.head();
    const isLast = this.#isLast;
    const lacksBody = isLast && head !== MALFORMED && !(head instanceof Fault) &&
      head.semantics.length > 0;
    if (head === MALFORMED || lacksBody) {
      fields.out.release();
      const selfish = this.#dependsOnItself ? "a stream that depends on itself" : undefined;
      const why = selfish ?? fields.problem ?? "a content-length without a body";
      return connection.malformed(id, why);
    }
    const isFault = head instanceof Fault;
    if (isFault && head.fault === "headTooLarge") {
      connection.limitReached("head_size", this.#tooLargeDecoded("a head"));
    }
    const stream = new Stream(id, connection, isFault ? undefined : head, fields, isLast);
    if (isFault) stream.refusal = head;
    connection.serve(stream);
  }

  #tooLargeDecoded(what: string): string {
    const { headBytesMax, fieldsMax } = this.#limits;
    const limits = `${headBytesMax} bytes, ${fieldsMax} fields or ${CRUMBS_MAX} cookies`;
    return `${what}, decompressed, has more than ${limits}`;
  }

  #trailers(stream: Stream, bytes: Bytes, start: number, end: number): void {
    const connection = this.#connection;
    const { body, id } = stream;
    if (body.isComplete) {
      this.#decode(bytes, start, end, IGNORED);
      return connection.breakStream(id, ERROR.streamClosed, "HEADERS after the end of its stream");
    }
    const trailers = new TrailerFields(this.#limits);
    this.#decode(bytes, start, end, trailers);
    if (trailers.isTooLarge) {
      const words = this.#tooLargeDecoded("a trailer");
      return connection.breakStream(id, ERROR.protocolError, words, "head_size");
    }
    const fields = trailers.fields();
    if (fields === undefined || !this.#isLast || !body.complete(fields)) {
      return connection.breakStream(id, ERROR.protocolError, "malformed trailers");
    }
    stream.remoteEnded();
  }
}
