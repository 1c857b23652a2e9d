/**
 * One request and its response, as the server hands them to a handler: the head and body that were received,
 * and a response that is written line by line. Framing and persistence (RFC 9112 sections 6 and 9) are
 * decided here and nowhere else, so that no handler can send a message whose length is not what it declares.
 */
import type { Fault } from "../base/fault.ts";
import { type Body, type BodySource } from "./body.ts";
import type { Conn } from "../net/conn.ts";
import { CHUNKED, type Framing, isBodyless, UNTIL_CLOSE } from "./framing.ts";
import type { RequestHead } from "./head.ts";
import { HeadWriter } from "./head_writer.ts";
import { httpDate } from "./http_date.ts";
import { type MaybeDone, whenDone } from "./maybe_done.ts";
import { bytesSource, sendMessage } from "./send.ts";
import type { BufferedConn } from "./buffered_conn.ts";

/**
 * After an error response, the rest of the request body is read and dropped, so that the connection can be
 * kept, if it is known to be no longer than this; else the response carries `Connection: close`. After a
 * response that is no error, clients usually send the rest.
 */
const DISCARD_BYTES_MAX = 64 * 1024;

/** The state of a connection that its exchange depends on. */
export interface DrainState {
  /** True if the connection will not be kept after this response. */
  readonly draining: boolean;
}

/** One exchange. It is valid until its handler has ended. */
export class Exchange {
  readonly head: RequestHead;
  readonly body: Body;
  /** The client's address, as it was given to `Server.serve`. */
  readonly peer: string;
  readonly #io: BufferedConn;
  readonly #out: HeadWriter;
  readonly #state: DrainState;
  #status = 0;
  /** The body of the response, or its length if that is known to be all of it. */
  #sending: BodySource | number = 0;
  #started = false;
  #finished = false;
  #keepAlive = true;
  #upgraded = false;
  #sent100 = false;
  #refused: Fault | undefined;
  #whenGone: ((fault: Fault) => void) | undefined;

  constructor(
    io: BufferedConn,
    out: HeadWriter,
    state: DrainState,
    head: RequestHead,
    body: Body,
    peer: string,
  ) {
    this.#io = io;
    this.#out = out;
    this.#state = state;
    this.head = head;
    this.body = body;
    this.peer = peer;
  }

  /** True once a byte of the final response was handed to the system. */
  get responseStarted(): boolean {
    return this.#started;
  }

  /** The status of the final response, as far as it was begun; 0 before. */
  get status(): number {
    return this.#status;
  }

  /** True once the whole response was handed to the system. */
  get responseFinished(): boolean {
    return this.#finished;
  }

  /** True while the client may be waiting for `100 Continue`. */
  get awaitsContinue(): boolean {
    return this.head.expectsContinue && !this.#sent100 && !this.body.ended;
  }

  /** Bytes of the response's body that were sent, or are about to be. */
  get sentBytes(): number {
    return typeof this.#sending === "number" ? this.#sending : this.#sending.received ?? 0;
  }

  /** True if this connection can carry another request after the response. */
  get keepAlive(): boolean {
    return this.#keepAlive && !this.#upgraded;
  }

  /** An object that is closed together with the client's connection, and outlives this exchange. */
  get companion(): { close(): void } | undefined {
    return this.#io.companion;
  }

  set companion(companion: { close(): void } | undefined) {
    this.#io.companion = companion;
  }

  /** A value that the handler keeps with the client's connection for the exchanges that follow on it. */
  get memo(): unknown {
    return this.#io.memo;
  }

  set memo(memo: unknown) {
    this.#io.memo = memo;
  }

  /** Set once the client is known to have gone: reset, too slow, or half-closed and silent too long. */
  get gone(): Fault | undefined {
    return this.#io.fault;
  }

  /**
   * Called once, if `gone` is set before the response was sent; at once if it is set already. There is one
   * slot: setting it replaces the callback before.
   */
  get whenGone(): ((fault: Fault) => void) | undefined {
    return this.#whenGone;
  }

  set whenGone(callback: ((fault: Fault) => void) | undefined) {
    this.#whenGone = callback;
    if (this.#io.fault !== undefined) callback?.(this.#io.fault);
  }

  /** For the server: the client's connection has failed. */
  clientGone(fault: Fault): void {
    this.#whenGone?.(fault);
  }

  /** Sends an interim response (100, 102, 103); HTTP/1.0 clients are sent none. Rejects with a Fault. */
  async write1xx(
    status: number,
    reason: string,
    fill?: (head: HeadWriter) => void,
  ): Promise<void> {
    if (status === 100) this.#sent100 = true;
    if (this.head.minor === 0 || this.#started) return;
    // Not `#out`, in which the final head may be half written.
    const out = new HeadWriter();
    out.statusLine(status, reason);
    fill?.(out);
    out.endHead();
    await this.#io.send(out.view());
  }

  /**
   * Begins the final response. Add its lines, without the framing and connection fields, then `send`.
   * Calling it again before `send` discards the earlier call.
   */
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
    out.line("Date", httpDate(this.#io.deadlines.clock.wall()));
    return out;
  }

  /**
   * Sends the head that `respond` began, framed for this client, then the body. Done when all of it was
   * handed to the system. Rejects with the Fault of the body or of the client; the connection is cut then,
   * so that the client sees that the response is incomplete.
   */
  send(body: BodySource | Uint8Array | null): MaybeDone {
    const source = body instanceof Uint8Array ? bytesSource(body) : body ?? undefined;
    if (this.#status < 200) return Promise.reject(new TypeError("Cannot send before respond"));
    if (this.#refused !== undefined) return Promise.reject(this.#refused);
    const framing = this.#frame(source);
    this.#out.endHead();
    this.#started = true;
    if (framing !== 0) this.#sending = body instanceof Uint8Array ? body.length : body!;
    return whenDone(sendMessage(this.#io, this.#out, framing, source), Exchange.#finish, this);
  }

  static #finish(exchange: Exchange): void {
    exchange.#whenGone = undefined;
    exchange.#finished = true;
  }

  /**
   * Sends the 101 that `respond` began, adding `Connection: upgrade`, and resolves with the raw connection,
   * which gives the bytes that the client sent early first. The server closes it when the handler's promise
   * settles. If the server closes it earlier, `whenGone` is called; then end the protocol.
   */
  async upgrade(): Promise<Conn> {
    if (this.#status !== 101) throw new TypeError("Cannot upgrade without a 101");
    this.#out.line("Connection", "upgrade");
    this.#out.endHead();
    this.#started = this.#upgraded = true;
    await this.#io.send(this.#out.view());
    this.#finished = true;
    this.#io.endWhenQuiet(0, "idleTimeout");
    return this.#io;
  }

  /** Resets the connection, so that the client sees that the response is incomplete. */
  abort(fault: Fault): void {
    this.#io.fail(fault);
  }

  /** Makes a later `send` reject with `fault`, because the server has sent an answer itself. */
  refuse(fault: Fault): void {
    this.#refused = fault;
  }

  /** Writes the framing and connection fields, RFC 9112 sections 6.3 and 9.3. */
  #frame(source: BodySource | undefined): Framing {
    const out = this.#out;
    const framing = this.#bodyFraming(source);
    if (framing === CHUNKED) out.line("Transfer-Encoding", "chunked");
    this.#keepAlive = this.head.keepAlive && !this.#state.draining && framing !== UNTIL_CLOSE &&
      !this.awaitsContinue && this.body.broken === undefined &&
      this.#canReadRest;
    if (!this.#keepAlive) out.line("Connection", "close");
    else if (this.head.minor === 0) out.line("Connection", "keep-alive");
    return framing;
  }

  /** True if what is left of the request is worth reading, so that the next one can follow. */
  get #canReadRest(): boolean {
    return this.#status < 400 || this.body.left <= DISCARD_BYTES_MAX;
  }

  #bodyFraming(source: BodySource | undefined): Framing {
    const length = source === undefined ? 0 : source.length;
    if (isBodyless(this.head.method, this.#status)) {
      // RFC 9110 section 8.6: HEAD and 304 may declare the length of what they leave out, 204 must not.
      if (source !== undefined && length !== undefined && this.#status !== 204) {
        this.#out.contentLength(length);
      }
      return 0;
    }
    if (length !== undefined) {
      this.#out.contentLength(length);
      return length;
    }
    return this.head.minor === 1 ? CHUNKED : UNTIL_CLOSE;
  }
}
