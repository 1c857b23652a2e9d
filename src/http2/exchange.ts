/**
 * One request and its response on a stream, as a handler sees them: the same as an `Exchange` of `http1/`, so that
 * one forwarder serves both. The response is printed as HTTP/1.1 lines and leaves as frames.
 */
import { Fault } from "../base/fault.ts";
import type { BodySource } from "../http1/body.ts";
import { isBodyless } from "../http1/framing.ts";
import type { RequestHead } from "../http1/head.ts";
import { HeadWriter } from "../http1/head_writer.ts";
import { httpDate } from "../http1/http_date.ts";
import type { MaybeDone } from "../http1/maybe_done.ts";
import { bytesSource } from "../http1/send.ts";
import type { Conn } from "../net/conn.ts";
import { ERROR } from "./frames.ts";
import type { Stream, StreamOwner } from "./stream.ts";
import { upgradeStream } from "./stream_conn.ts";

/** A body up to this size, in bytes, is sent in one frame. */
const TOGETHER_BYTES_MAX = 16 * 1024;

/** Of an extended CONNECT: what the client sends belongs to the tunnel. */
const NO_BODY: BodySource & { readonly none: boolean } = {
  none: true,
  length: 0,
  ended: true,
  read: () => Promise.resolve(undefined),
};

/** One exchange. It is valid until its handler has ended. */
export class StreamExchange implements StreamOwner {
  readonly head: RequestHead;
  readonly body: BodySource & { readonly none: boolean };
  readonly peer: string;
  readonly protocol = "HTTP/2.0";
  /** A value that the handler keeps with the request. Clients of different people may share a connection. */
  memo: unknown;
  readonly #stream: Stream;
  readonly #out = new HeadWriter();
  #status = 0;
  #sending: BodySource | number = 0;
  /** Payload that was sent, in bytes. */
  #sent = 0;
  #started = false;
  #finished = false;
  #sent100 = false;
  #whenGone: ((fault: Fault) => void) | undefined;

  constructor(stream: Stream, head: RequestHead, peer: string) {
    this.#stream = stream;
    this.head = head;
    this.peer = peer;
    this.body = stream.isTunnel ? NO_BODY : stream.body;
    stream.owner = this;
  }

  /** True once the head of the final response was printed. */
  get responseStarted(): boolean {
    return this.#started;
  }

  /** The status of the final response, as far as it was begun; 0 before. */
  get status(): number {
    return this.#status;
  }

  /** True once the whole response was printed. */
  get responseFinished(): boolean {
    return this.#finished;
  }

  /** Bytes of the response's body that were sent, or are about to be. */
  get sentBytes(): number {
    return typeof this.#sending === "number" ? this.#sending : this.#sending.received ?? 0;
  }

  /** None: what is kept for one client must not serve the others of its connection. */
  get companion(): { close(): void } | undefined {
    return undefined;
  }

  set companion(companion: { close(): void } | undefined) {
    companion?.close();
  }

  /** Set once the client has reset the stream, or its connection has ended. */
  get gone(): Fault | undefined {
    return this.#stream.fault;
  }

  /** Called once, if `gone` is set before the response was sent; at once if it is set already. */
  get whenGone(): ((fault: Fault) => void) | undefined {
    return this.#whenGone;
  }

  set whenGone(callback: ((fault: Fault) => void) | undefined) {
    this.#whenGone = callback;
    if (this.#stream.fault !== undefined) callback?.(this.#stream.fault);
  }

  failed(fault: Fault): void {
    if (!this.#finished) this.#whenGone?.(fault);
  }

  /** Sends `100 Continue` to a client that waits for it. */
  bodyAwaited(): void {
    if (!this.head.expectsContinue || this.#sent100) return;
    // If the stream has failed, so has its body, and the reader learns of it there.
    this.write1xx(100, "Continue").catch(() => {});
  }

  /** Sends an interim response (100, 102, 103), unless it is a hint for a client that does not read. Rejects with a Fault. */
  write1xx(status: number, reason: string, fill?: (head: HeadWriter) => void): Promise<void> {
    if (status === 100) this.#sent100 = true;
    if (this.#started) return Promise.resolve();
    // Windows do not limit heads, so an upstream could have us hold many hints for a client that does not read.
    if (status !== 100 && this.#stream.connection.isBackedUp) return Promise.resolve();
    // Not `#out`, in which the final head may be half written.
    const out = new HeadWriter();
    try {
      out.statusLine(status, reason);
      fill?.(out);
      out.endHead();
      this.#stream.sendHead(out, { isLast: false });
      return Promise.resolve();
    } catch (error) {
      return Promise.reject(error);
    } finally {
      out.release();
    }
  }

  /** Begins the final response. Calling it again before `send` discards the earlier call. */
  respond(status: number, reason: string): HeadWriter {
    if (this.#started) throw new TypeError("Cannot respond twice to one request");
    this.#status = status;
    this.#out.clear();
    this.#out.statusLine(status, reason);
    return this.#out;
  }

  /** As `respond`, with a `Date`: for responses that are ours and no upstream's. */
  answer(status: number, reason: string): HeadWriter {
    const out = this.respond(status, reason);
    out.line("Date", httpDate(this.#stream.connection.settings.deadlines.clock.wall()));
    return out;
  }

  /**
   * Sends the head that `respond` began, then the body. Done when all of it was printed as frames; while the client
   * does not take them, they wait. Rejects with the Fault of the body or of the client.
   */
  send(body: BodySource | Uint8Array | null): MaybeDone {
    try {
      return this.#send(body instanceof Uint8Array ? bytesSource(body) : body ?? undefined);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #send(source: BodySource | undefined): MaybeDone {
    if (this.#status < 200) throw new TypeError("Cannot send before respond");
    const { method } = this.head;
    const isLast = source === undefined || source.length === 0 || isBodyless(method, this.#status);
    this.#out.endHead();
    const length = this.#declared(source);
    this.#stream.sendHead(this.#out, { isLast, length });
    this.#started = true;
    this.#out.clear();
    if (isLast) return this.#finish();
    this.#sending = source;
    const first = this.#sendReady(source);
    if (first === true) return this.#finish();
    return this.#sendRest(source, first).then(() => this.#finish());
  }

  /** RFC 9110 section 8.6: HEAD and 304 may declare the length of what they leave out, 204 must not. */
  #declared(source: BodySource | undefined): number | undefined {
    if (this.#status === 204) return undefined;
    if (source !== undefined) return source.length;
    return isBodyless(this.head.method, this.#status) ? undefined : 0;
  }

  #finish(): undefined {
    this.#whenGone = undefined;
    this.#finished = true;
  }

  /**
   * Sends what is there without waiting: true if that was all. Else the rest follows, beginning with what is
   * returned.
   */
  #sendReady(source: BodySource): true | Uint8Array | undefined {
    const { length } = source;
    if (length !== undefined && length <= TOGETHER_BYTES_MAX && source.copyAllTo?.(this.#out)) {
      const whole = this.#out.view();
      if (whole.length > this.#stream.room) return whole;
      this.#stream.sendData(whole, 0, whole.length, true);
      return true;
    }
    // The end of a body that does not say `done` shows only in a read.
    if (source.ready === undefined || source.done === undefined) return undefined;
    let left = length ?? Infinity;
    for (;;) {
      const part = source.ready();
      if (part === undefined) break;
      if (part.length > this.#stream.room) return part;
      left -= part.length;
      this.#sent += part.length;
      this.#stream.sendData(part, 0, part.length, left === 0);
    }
    if (source.ended !== true) return undefined;
    source.done();
    this.#end(source);
    return true;
  }

  async #sendRest(source: BodySource, first: Uint8Array | undefined): Promise<void> {
    const length = source.length ?? Infinity;
    let part = first;
    for (;;) {
      part ??= await source.read();
      if (part === undefined) break;
      this.#sent += part.length;
      if (this.#sent > length) throw new TypeError("Cannot send more than was declared");
      await this.#sendPart(part, this.#sent === length);
      part = undefined;
    }
    if (length !== Infinity && this.#sent < length) {
      throw new Fault("responseCut", "body shorter than declared");
    }
    this.#end(source);
  }

  async #sendPart(part: Uint8Array, isLast: boolean): Promise<void> {
    const stream = this.#stream;
    for (let at = 0; at < part.length;) {
      const end = Math.min(part.length, at + stream.room);
      if (end > at) stream.sendData(part, at, end, isLast && end === part.length);
      else await stream.waitForRoom();
      at = end;
    }
  }

  /** The body has ended; so does our side, unless its last byte has ended it. */
  #end({ trailers }: BodySource): void {
    const stream = this.#stream;
    if (stream.isLocalEnd) return;
    if (stream.fault !== undefined) throw stream.fault;
    if (trailers !== undefined && trailers.count > 0) stream.sendTrailers(trailers);
    else stream.sendData(EMPTY, 0, 0, true);
  }

  /** Answers an extended CONNECT with the 101 that `respond` began, and resolves with its tunnel. */
  upgrade(): Promise<Conn> {
    if (this.#status !== 101) throw new TypeError("Cannot upgrade without a 101");
    this.#out.endHead();
    try {
      const conn = upgradeStream(this.#stream, this.#out);
      this.#started = this.#finished = true;
      return Promise.resolve(conn);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Resets the stream, so that the client sees that the response is incomplete. */
  abort(fault: Fault): void {
    this.#stream.reset(ERROR.internalError, fault);
  }

  /** Frees its buffers: no byte of them may be used any more. */
  release(): void {
    this.#out.release();
    this.#stream.fields.out.release();
  }
}

const EMPTY = new Uint8Array(0);
