/**
 * One connection to an upstream, with one request at a time. It reports the facts that a retry depends on:
 * whether any byte of the request was handed to the system, and whether any byte of a response came back.
 * It neither retries nor follows redirects, and adds no fields but framing and `Connection`.
 */
import { Fault, faultOf } from "../base/fault.ts";
import type { ExchangeOptions, Reply, ReplyListener } from "./reply.ts";
import { Body, type BodyRules, type BodySource, isBuffered } from "./body.ts";
import type { Conn } from "../net/conn.ts";
import { ContinueWait } from "./continue_wait.ts";
import type { Deadlines } from "../net/deadlines.ts";
import { CHUNKED, type Framing, responseFraming, UNTIL_CLOSE } from "./framing.ts";
import { announcedMs, hasDoubtfulFraming, isEventStream, keptFor } from "./response_semantics.ts";
import { type HeadLimits, parseResponseHead, type RequestHead, type ResponseHead } from "./head.ts";
import { HeadWriter } from "./head_writer.ts";
import { bytesSource, sendMessage } from "./send.ts";
import { BufferedConn, type BufferedConnEvents, type Filler } from "./buffered_conn.ts";

/** What connections of one pool have in common. */
export interface UpstreamConnOptions {
  readonly deadlines: Deadlines;
  /** How bodies of responses are read. Event streams may be silent for as long as they want. */
  readonly bodyRules: BodyRules;
  /** Without a byte taken by the upstream, in milliseconds; 0 is never. */
  readonly writeMs: number;
  readonly limits: HeadLimits;
  /** Keeps connections between two requests. */
  readonly owner: ConnectionOwner;
}

/** Keeps idle connections; the pool is one. */
export interface ConnectionOwner {
  /** Takes the connection back after a whole exchange; false closes it. */
  keep(connection: UpstreamConn): boolean;
  /** A connection that was kept has ended: by the upstream, a failure, or its deadline. */
  forget(connection: UpstreamConn): void;
  /** The upstream has closed a connection that had been idle for so long, in milliseconds. */
  idleEnded(idleForMs: number): void;
}

const EXPECT_BODY = ["POST", "PUT", "PATCH"];
/** Interim responses before the final one. */
const INFORMATIONAL_MAX = 32;
/** An idle connection keeps an output buffer of at most this size. */
const OUT_KEPT_BYTES = 32 * 1024;
/** Thrown when the response came before the body was sent, so that nobody needs the body. */
const HELD_BACK = Symbol("held back");

/** One connection. It ends with `close`, `abort` or `detach`, or when its owner does not keep it. */
export class UpstreamConn implements BufferedConnEvents, Filler {
  /** When it was made, by the coarse clock. */
  readonly since: number;
  readonly #io: BufferedConn;
  readonly #options: UpstreamConnOptions;
  readonly #out = new HeadWriter();
  /** Positions of the field lines of the present head; reused for each head. */
  readonly #offsets: number[] = [];
  #requests = 0;
  #method = "";
  #receivedBefore = 0;
  #sent = false;
  #keepAlive = false;
  #reply: Body | undefined;
  /** Who waits for the response to the present request, and how; undefined once it has come. */
  #listener: ReplyListener | undefined;
  #asked: ExchangeOptions = { responseMs: 0 };
  #informational = 0;
  #upgraded = false;
  #idle = false;
  /** Since when it is idle, and for how long it was before the present request, by the clock of turns. */
  #idleSince = 0;
  #idleForMs = 0;
  /** How long the upstream keeps an idle connection, as it announced last, in milliseconds. */
  #announcedMs = Infinity;
  /** Gets the connection after the present exchange. */
  owner: ConnectionOwner;
  readonly #continue = new ContinueWait();
  /** The body of the present request, as long as it may be under way. */
  #source: BodySource | undefined;
  /** Settles when the sending has ended, one way or the other; it never rejects. */
  #pump: Promise<void> | undefined;

  /** Owns `conn` from here. */
  constructor(conn: Conn, options: UpstreamConnOptions) {
    this.#options = options;
    this.since = options.deadlines.now;
    this.#io = new BufferedConn(conn, {
      deadlines: options.deadlines,
      writeMs: options.writeMs,
      faults: { reset: "upstreamReset", slowWrite: "upstreamStalled" },
    }, this);
    this.owner = options.owner;
  }

  /** An end, or bytes that were not requested, make an idle connection useless. */
  onArrival(): void {
    this.#spoil(true);
  }

  onFail({ fault }: Fault): void {
    this.#spoil(fault === "upstreamReset");
  }

  /** An idle connection is closed in order, because a reset would look like a failure to the upstream. */
  onLate(fault: Fault): void {
    if (!this.#idle) this.#io.fail(fault);
    this.#spoil(false);
  }

  #spoil(isByUpstream: boolean): void {
    if (!this.#idle) return;
    this.#idle = false;
    if (isByUpstream) this.owner.idleEnded(this.idleForMs);
    this.owner.forget(this);
    this.#io.close();
  }

  /** How long it has been idle since its last exchange, in milliseconds. */
  get idleForMs(): number {
    return this.#options.deadlines.clock.recent() - this.#idleSince;
  }

  /** True if it carried a request before the present one; then the upstream may have closed it. */
  get reused(): boolean {
    return this.#requests > 1;
  }

  /** True once any byte of the present request was handed to the system. */
  get requestStarted(): boolean {
    return this.#io.wrote;
  }

  /** True once any byte came back since the present request began, interim responses included. */
  get responseStarted(): boolean {
    return this.#io.received > this.#receivedBefore;
  }

  /** Begins a request. Add its lines, `Host` among them, without framing and connection; then `exchange`. */
  request(method: string, target: string): HeadWriter {
    this.#start(method).requestLine(method, target);
    return this.#out;
  }

  /** The same with the method and path of a request that was received, whose `pathStart` is not -1. */
  requestAs(head: RequestHead): HeadWriter {
    this.#start(head.method).requestLineOf(head);
    return this.#out;
  }

  #start(method: string): HeadWriter {
    this.#requests++;
    this.#method = method;
    this.#sent = false;
    this.#reply = undefined;
    this.#receivedBefore = this.#io.received;
    this.#io.wrote = false;
    this.#out.clear();
    return this.#out;
  }

  /** As `startExchange`, with a promise, which rejects with the Fault. */
  exchange(body: BodySource | Uint8Array | null, options: ExchangeOptions): Promise<Reply> {
    return new Promise((replied, failed) => this.startExchange(body, options, { replied, failed }));
  }

  /**
   * Sends the request and hands the final response head to `to`. If that is not possible, `to` gets a
   * Fault of the upstream or of `body`, always after this has returned.
   */
  startExchange(
    body: BodySource | Uint8Array | null,
    options: ExchangeOptions,
    to: ReplyListener,
  ): void {
    const source = body instanceof Uint8Array ? bytesSource(body) : body ?? undefined;
    this.#listener = to;
    this.#asked = options;
    this.#informational = 0;
    const framing = this.#frame(source, options.upgrade === true);
    this.#out.endHead();
    this.#send(framing, source, options);
    this.#readOn();
  }

  filled(hasMore: boolean): void {
    if (hasMore) return this.#readOn();
    this.#lose(
      this.responseStarted
        ? new Fault("responseCut", "within the head")
        : new Fault("upstreamReset", "closed without a response"),
    );
  }

  fillFailed(fault: Fault): void {
    this.#lose(fault);
  }

  /**
   * Reads the next head from what has arrived, or waits for more. It starts again after each read: unlike a
   * client, an upstream is trusted not to send byte by byte.
   */
  #readOn(): void {
    const head = this.#parseHead();
    if (head === undefined) return this.#io.fillFor(this);
    if (head instanceof Fault) return this.#lose(head);
    const asked = this.#asked;
    if (head.status >= 200 || (head.status === 101 && asked.upgrade === true)) {
      const listener = this.#listener!;
      this.#listener = undefined;
      return listener.replied({ head, body: this.#begin(head, asked) });
    }
    this.#passBy(head, asked).then(() => this.#readOn(), (error) => this.#lose(faultOf(error)));
  }

  /** The response cannot come any more. */
  #lose(reason: Fault): void {
    const listener = this.#listener!;
    this.#listener = undefined;
    const fault = this.#io.fail(reason);
    const isStale = this.reused && !this.responseStarted && fault.fault === "upstreamReset";
    if (isStale) this.owner.idleEnded(this.#idleForMs);
    this.#endSending();
    // The caller may retry with the same body, so nobody may still be reading it.
    Promise.resolve(this.#pump).then(() => listener.failed(fault));
  }

  /** After the response: keeps the connection for another request if all went well, else closes it. */
  release(): void {
    const io = this.#io;
    const isClean = this.#sent && this.#keepAlive && this.#reply?.ended === true &&
      !io.closed && !io.atEnd && io.input.isEmpty;
    if (isClean && this.owner.keep(this)) return;
    io.dispose();
    this.#endSending();
    this.#out.release();
  }

  /** Resets it; everything that waits for it rejects with `fault`. */
  abort(fault: Fault): void {
    this.#io.fail(fault);
    this.#endSending();
  }

  /** Ends the sending of the request, if it waits for the body or for `100 Continue`. */
  #endSending(): void {
    if (this.#pump === undefined) return;
    this.#source?.cancel?.();
    this.#continue.end(false);
  }

  /** After a 101: the raw connection, which gives the bytes read ahead first. The caller closes it. */
  detach(): Conn {
    if (!this.#upgraded) throw new TypeError("Cannot detach before a 101");
    this.#io.input.unhold();
    return this.#io;
  }

  /**
   * Becomes idle for at most `idleMs`, and for less if the upstream has announced that it will close it
   * earlier. The owner is notified if the upstream or the deadline ends it.
   */
  startIdle(idleMs: number): void {
    const { deadlines } = this.#options;
    const io = this.#io;
    io.rest();
    this.#out.clear(OUT_KEPT_BYTES);
    io.readBy(deadlines.in(Math.min(idleMs, keptFor(this.#announcedMs))), "idleTimeout");
    this.#idleSince = deadlines.clock.recent();
    this.#idle = true;
    io.watch();
  }

  /** See `BufferedConn.canLook`. */
  get canLook(): boolean {
    return this.#io.canLook;
  }

  /** Ends the idle time. False if the connection is known to be unusable. */
  wake(isRepeatable = false): boolean {
    const io = this.#io;
    // The system may know of its end, or of unexpected bytes, and not have reported them yet.
    // A request that may be sent twice survives an end of this very millisecond.
    if (!io.closed) io.look(!isRepeatable);
    io.readBy(Infinity, "idleTimeout");
    this.#idle = false;
    this.#idleForMs = this.idleForMs;
    return !io.closed && !io.atEnd && io.input.isEmpty;
  }

  close(): void {
    this.#io.close();
  }

  #frame(source: BodySource | undefined, upgrade: boolean): Framing {
    const out = this.#out;
    if (upgrade) out.line("Connection", "upgrade");
    if (source === undefined) {
      // RFC 9110 section 8.6: methods that expect content say that there is none.
      if (EXPECT_BODY.includes(this.#method)) out.contentLength(0);
      return 0;
    }
    if (source.length === undefined) {
      out.line("Transfer-Encoding", "chunked");
      return CHUNKED;
    }
    out.contentLength(source.length);
    return source.length;
  }

  /** Begins to send the request. If that fails, the read of the response fails with the same Fault. */
  #send(framing: Framing, source: BodySource | undefined, options: ExchangeOptions): void {
    const sending = options.waitForContinue === true && framing !== 0
      ? this.#sendLater(framing, source)
      : sendMessage(this.#io, this.#out, framing, source);
    if (sending === undefined) return this.#hasSent(options);
    this.#source = source;
    this.#pump = this.#finish(sending, options);
  }

  async #sendLater(framing: Framing, source: BodySource | undefined): Promise<void> {
    await this.#io.send(this.#out.view());
    this.#out.clear();
    const mayGoOn = this.#io.fault === undefined &&
      await this.#continue.begin(this.#options.deadlines.clock);
    if (!mayGoOn) throw HELD_BACK;
    await sendMessage(this.#io, this.#out, framing, source);
  }

  async #finish(sending: Promise<void>, options: ExchangeOptions): Promise<void> {
    try {
      await sending;
      this.#hasSent(options);
    } catch (error) {
      this.#sendFailed(error, options);
    } finally {
      this.#source = this.#pump = undefined;
    }
  }

  #hasSent(options: ExchangeOptions): void {
    this.#sent = true;
    this.#expectResponse(options.responseMs);
  }

  #sendFailed(error: unknown, options: ExchangeOptions): void {
    if (error === HELD_BACK) return;
    // A write that failed: the upstream may have answered before it stopped listening.
    if (error === this.#io.writeFault) this.#expectResponse(options.responseMs);
    else this.#io.fail(faultOf(error));
  }

  #expectResponse(responseMs: number): void {
    if (this.#reply !== undefined) return;
    this.#io.readBy(this.#options.deadlines.in(responseMs), "responseTimeout");
  }

  /** Passes an interim response on. */
  async #passBy(head: ResponseHead, options: ExchangeOptions): Promise<void> {
    const io = this.#io;
    if (head.status === 101) throw new Fault("badResponse", "101 that was not asked for");
    if (++this.#informational > INFORMATIONAL_MAX) {
      throw new Fault("badResponse", "too many interim responses");
    }
    await options.onInformational?.(head);
    io.input.start = head.end;
    io.input.unhold();
    if (head.status === 100) this.#continue.end(true);
    if (this.#sent) this.#expectResponse(options.responseMs);
  }

  /** The head that is here already. */
  #parseHead(): ResponseHead | Fault | undefined {
    const { input } = this.#io;
    if (input.isEmpty) return undefined;
    const { bytes, start, end } = input;
    const head = parseResponseHead(bytes, start, end, this.#options.limits, this.#offsets);
    if (head !== undefined && !(head instanceof Fault)) input.hold();
    return head;
  }

  #begin(head: ResponseHead, options: ExchangeOptions): Body {
    const io = this.#io;
    // Nobody needs a body that has not been sent by now.
    this.#continue.end(false);
    io.readBy(Infinity, "responseTimeout");
    io.input.start = head.end;
    const framing = responseFraming(this.#method, head.status, head.semantics);
    this.#upgraded = head.status === 101;
    this.#keepAlive = head.keepAlive && framing !== UNTIL_CLOSE && options.upgrade !== true &&
      !hasDoubtfulFraming(head);
    if (this.#keepAlive) this.#announcedMs = announcedMs(head) ?? this.#announcedMs;
    const declared = head.semantics.length >= 0 ? head.semantics.length : undefined;
    const { bodyRules } = this.#options;
    const isSilent = !isBuffered(io, framing) && isEventStream(head);
    const rules = isSilent ? { ...bodyRules, waitMs: 0 } : bodyRules;
    return this.#reply = new Body(io, framing, rules, undefined, declared);
  }
}
