/**
 * One connection of a client. Requests are served one after another; a pipelined request waits in the buffer.
 *
 * While the handler works, a read is pending: by it we notice a client that leaves, and it becomes the first
 * read of the next request. A client that closes only its sending side looks like one that has left until we
 * send something, so it is served for a short time only, and for as long as bytes move.
 */
import { Fault } from "../base/fault.ts";
import { Body, decoderFor } from "./body.ts";
import type { Conn } from "../net/conn.ts";
import { type DrainState, Exchange } from "./exchange.ts";
import { parseRequestHead, type RequestHead } from "./head.ts";
import { HeadWriter } from "./head_writer.ts";
import { localReply, sendLocalReply } from "./local_reply.ts";
import type { Server, ServerLimits } from "./server.ts";
import { BufferedConn, type BufferedConnEvents } from "./buffered_conn.ts";

/**
 * After a response the client may still be sending, and closing at once would destroy the response (RFC 9112
 * section 9.6). We read and drop for so long, and so much.
 */
const LINGER_MS = 5_000;
const LINGER_BYTES_MAX = 64 * 1024 * 1024;
/** An idle connection keeps an output buffer of at most this size. */
const OUT_KEPT_BYTES = 32 * 1024;
/** In a drain, we wait this long for a request that may be on its way on a kept connection … */
const LAST_CALL_MS = 250;
/** … and this long on a new connection. */
const FIRST_CALL_MS = 1_000;

export class ServerConnection implements DrainState, BufferedConnEvents {
  place = -1;
  readonly #io: BufferedConn;
  readonly #peer: string;
  readonly #server: Server;
  readonly #limits: ServerLimits;
  readonly #out = new HeadWriter();
  /** Positions of the field lines of the present head; reused for each head. */
  readonly #offsets: number[] = [];
  #exchange: Exchange | undefined;
  /** No request is under way, so that nothing is lost if the connection ends. */
  #idle = true;
  /** Since when we wait for a request, by the coarse clock; Infinity while we do not. */
  idleSince: number;
  /** True once a request came. */
  hasAsked = false;
  /** Set by the server: the connection is beyond the limit. */
  isOverLimit = false;
  /** Set while a request waits for a place: its client has gone. */
  #leaveQueue: (() => void) | undefined;
  /** The pending read is there only to notice a client that leaves. */
  #isWatching = false;

  constructor(
    conn: Conn,
    peer: string,
    server: Server,
  ) {
    const { limits, options: { deadlines } } = server;
    this.#peer = peer;
    this.#server = server;
    this.#limits = limits;
    this.#io = new BufferedConn(conn, {
      deadlines,
      writeMs: limits.writeMs,
      faults: { reset: "clientReset", slowWrite: "slowReader" },
    }, this);
    this.idleSince = deadlines.now;
  }

  onArrival(hasMore: boolean): void {
    // After an upgrade it is up to the other protocol what an end means.
    if (hasMore || !this.#isWatching || this.#exchange!.responseFinished) return;
    const { halfCloseMs } = this.#limits;
    this.#io.endWhenQuiet(halfCloseMs, "clientGone", this.#patienceMs);
  }

  /** How long a client that has closed its sending side waits for the next byte. */
  get #patienceMs(): number {
    const { halfCloseMs, halfCloseGetMs } = this.#limits;
    const { head, body } = this.#exchange!;
    const isGet = head.method === "GET" || head.method === "HEAD";
    // Ending any other request would leave it unclear how far the upstream got with it.
    return isGet && body.none ? halfCloseGetMs : halfCloseMs;
  }

  onFail(fault: Fault): void {
    this.#leaveQueue?.();
    this.#exchange?.clientGone(fault);
  }

  /** Serves one request after another. Resolves when the connection has ended; rejects for a bug. */
  async run(): Promise<void> {
    try {
      while (await this.#next());
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      if (!this.#idle) this.#report(error);
      this.#io.fail(error);
    } finally {
      this.#io.dispose();
      this.#out.release();
    }
  }

  /** True if a response that begins now must be the last. Requests that have arrived are served first. */
  get draining(): boolean {
    if (!this.isOverLimit && !this.#server.keepsNone) return false;
    return this.isOverLimit || this.#exchange?.body.ended !== true || !this.#io.look();
  }

  /** Closes the connection if it is idle and nothing has arrived; false if it stays. */
  giveWay(): boolean {
    if (this.idleSince === Infinity || this.#io.look()) return false;
    this.#io.close();
    return true;
  }

  /** The server drains: the client of an idle connection has a moment left for a request. */
  lastCall(): void {
    if (this.idleSince !== Infinity) this.#waitForRequest();
  }

  cut(): void {
    this.#io.fail(new Fault("drained"));
  }

  /** One request and its response. False when the connection is to end. */
  async #next(): Promise<boolean> {
    const io = this.#io;
    if (io.input.isEmpty && !await this.#firstBytes()) return false;
    const head = this.#parseHead() ?? await this.#readHead();
    if (head === undefined) return false;
    if (head instanceof Fault) {
      await this.#refuse(head);
      return false;
    }
    io.input.start = head.end;
    io.input.hold();
    if (this.isOverLimit && !await this.#hasPlace(head)) {
      await this.#refuse(new Fault("tooManyHeld"));
      return false;
    }
    const exchange = this.#exchange = this.#begin(head);
    if (exchange.body.ended) this.#watch();
    try {
      await this.#server.options.handler(exchange);
      if (!exchange.responseStarted) throw new TypeError("The handler has not answered");
    } catch (error) {
      await this.#answerFault(exchange, error);
    }
    this.#exchange = undefined;
    this.#isWatching = false;
    return this.#canGoOn(exchange) || await this.#goOn(exchange);
  }

  /** True if the next request may follow at once. */
  #canGoOn({ responseFinished, keepAlive, body }: Exchange): boolean {
    if (!responseFinished || !keepAlive || !body.ended) return false;
    this.#out.clear(OUT_KEPT_BYTES);
    this.#io.input.unhold();
    return true;
  }

  /** Reads the rest of the request, if there is any. False if the connection must end. */
  async #goOn(exchange: Exchange): Promise<boolean> {
    const { responseFinished, keepAlive, body } = exchange;
    if (!responseFinished) return false;
    if (!body.ended && (!keepAlive || !await this.#discard(body))) await this.#linger();
    return this.#canGoOn(exchange);
  }

  /** Waits for the next request. False if the client has closed its side. */
  #firstBytes(): Promise<boolean> | boolean {
    this.#idle = true;
    this.idleSince = this.#server.options.deadlines.now;
    this.#waitForRequest();
    return this.#io.fill();
  }

  /** Sets the deadline for the next request. */
  #waitForRequest(): void {
    const lastMs = this.hasAsked ? LAST_CALL_MS : FIRST_CALL_MS;
    const ms = this.#server.draining ? lastMs : this.#limits.idleMs;
    this.#io.readBy(this.#server.options.deadlines.in(ms), "idleTimeout");
  }

  /** For a connection beyond the limit: true if this request may be served, if need be after a wait. */
  async #hasPlace({ path }: RequestHead): Promise<boolean> {
    if (this.#server.options.isReserved?.(path) === true) return true;
    this.#io.watch();
    const hasPlace = await this.#server.waitForPlace(this, (leave) => this.#leaveQueue = leave);
    this.#leaveQueue = undefined;
    return hasPlace;
  }

  /** Parses the head that has arrived; undefined if it is incomplete. */
  #parseHead(): RequestHead | Fault | undefined {
    const { input } = this.#io;
    this.#idle = false;
    this.idleSince = Infinity;
    this.hasAsked = true;
    const head = parseRequestHead(
      input.bytes,
      input.start,
      input.end,
      this.#limits,
      this.#offsets,
    );
    if (head === undefined) return undefined;
    this.#io.readBy(Infinity, "requestTimeout");
    return head;
  }

  /** Reads the rest of a head; undefined if the client has closed its side. */
  async #readHead(): Promise<RequestHead | Fault | undefined> {
    this.#io.readBy(this.#server.options.deadlines.in(this.#limits.headMs), "requestTimeout");
    while (await this.#readMore()) {
      const head = this.#parseHead();
      if (head !== undefined) return head;
    }
  }

  /** Reads until a line may be complete: parsing after each byte would take quadratic time. */
  async #readMore(): Promise<boolean> {
    const io = this.#io;
    const { input } = io;
    const had = input.length;
    for (;;) {
      if (!await io.fill()) return false;
      const have = input.length;
      const isFull = have >= this.#limits.headBytesMax;
      if (isFull || have - had >= 1024) return true;
      if (input.bytes.subarray(input.start + had, input.end).includes(10)) {
        return true;
      }
    }
  }

  #begin(head: RequestHead): Exchange {
    const body: Body = new Body(this.#io, {
      framing: head.framing,
      declared: undefined,
      waitMs: this.#limits.bodyMs,
      rateMin: this.#limits.bodyRateMin,
      lateFault: "requestTimeout",
      cutFault: "clientReset",
      decoder: decoderFor(head.framing, "request"),
      beforeWait: head.expectsContinue
        ? async () => {
          if (exchange.awaitsContinue) await exchange.write1xx(100, "Continue");
        }
        : undefined,
      onEnd: () => this.#watch(),
    });
    const exchange = new Exchange(this.#io, this.#out, this, head, body, this.#peer);
    return exchange;
  }

  /** Keeps a read pending while the handler works, unless the next request has arrived. */
  #watch(): void {
    if (!this.#io.input.isEmpty || this.#exchange === undefined) return;
    this.#isWatching = true;
    this.#io.watch();
  }

  async #answerFault(exchange: Exchange, error: unknown): Promise<void> {
    const fault = error instanceof Fault ? error : this.#broken(error);
    if (exchange.responseStarted || this.#io.fault !== undefined) throw fault;
    if (fault === error) this.#report(fault);
    await sendLocalReply(exchange, fault);
  }

  /** Reports a bug in the handler; only this exchange ends. */
  #broken(error: unknown): Fault {
    this.#server.options.onError?.(error, this.#peer);
    return new Fault("internalError", undefined, { cause: error });
  }

  /** Reads and drops the rest of a body; false if it is too much or malformed. */
  async #discard(body: Body): Promise<boolean> {
    let bytes = 0;
    try {
      while (bytes <= LINGER_BYTES_MAX) {
        const view = await body.read();
        if (view === undefined) return true;
        bytes += view.length;
      }
    } catch (error) {
      // The body turned out to be malformed after the response, which must still arrive.
      if (error !== body.broken) throw error;
      this.#report(body.broken!);
    }
    return false;
  }

  /** Answers a request that cannot be served, and ends the connection. */
  async #refuse(fault: Fault): Promise<void> {
    this.#report(fault);
    await this.#io.send(localReply(fault, this.#server.options.deadlines.clock.wall()));
    await this.#linger();
  }

  /** Closes our sending side and reads for a moment what the client still sends (RFC 9112 section 9.6). */
  async #linger(): Promise<void> {
    const io = this.#io;
    this.#idle = true;
    this.idleSince = Infinity;
    await io.closeWrite();
    const by = this.#server.options.deadlines.in(LINGER_MS);
    const before = io.received;
    do {
      io.input.clear();
      // Set again each time, because a read of the body that was still pending clears the deadline.
      io.readBy(by, "idleTimeout");
    } while (io.received - before < LINGER_BYTES_MAX && await io.fill(true));
  }

  /** The client took too long: between requests the connection is closed, within one it gets an answer. */
  onLate(fault: Fault): void {
    const io = this.#io;
    const exchange = this.#exchange;
    if (this.#idle) return this.#letGo();
    if (exchange?.responseStarted) return void io.fail(fault);
    exchange?.refuse(fault);
    // Closed in order, because a reset would overtake the answer.
    const end = () => io.close(fault);
    io.write(localReply(fault, this.#server.options.deadlines.clock.wall())).then(end, end);
  }

  /**
   * Closes an idle connection, unless a request has arrived meanwhile. On sockets that cannot be asked, the
   * event loop gets one more turn to report it.
   */
  #letGo(): void {
    const io = this.#io;
    const isWaitedFor = this.idleSince !== Infinity;
    if (isWaitedFor && io.look()) return;
    if (!isWaitedFor || io.canLook || !this.#server.draining) return io.close();
    this.#server.options.deadlines.clock.after(0, () => {
      if (this.#idle && io.input.isEmpty) io.close();
    });
  }

  #report(fault: Fault): void {
    this.#server.options.onFault?.(fault, this.#peer);
  }
}
