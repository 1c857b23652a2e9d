/**
 * One connection of a client. Requests are served one after another; a pipelined request waits in the buffer.
 *
 * While the handler works, a read is pending: by it we notice a client that leaves, and it becomes the first
 * read of the next request. A client that closes only its sending side looks like one that has left until we
 * send something, so it is served for a short time only, and for as long as bytes move.
 */
import { Fault } from "../base/fault.ts";
import { Body, type BodyEvents } from "./body.ts";
import type { Conn } from "../net/conn.ts";
import { type DrainState, Exchange } from "./exchange.ts";
import { parseRequestHead, type RequestHead } from "./head.ts";
import { HeadWriter } from "./head_writer.ts";
import { servesHttp2 } from "./http2_preface.ts";
import { discard, lingerAfterResponse, readLine } from "./slow_reads.ts";
import { localReply, sendLocalReply } from "./local_reply.ts";
import type { Handler, Server } from "./server.ts";
import type { ServerLimits } from "./server_limits.ts";
import { BufferedConn, type BufferedConnEvents, type Filler } from "./buffered_conn.ts";
import { type EndListener, Task } from "./task.ts";

/** An idle connection keeps an output buffer of at most this size. */
const OUT_KEPT_BYTES = 32 * 1024;
/** In a drain, we wait this long for a request that may be under way on a kept connection … */
const LAST_CALL_MS = 250;
/** … and this long on a new connection. */
const FIRST_CALL_MS = 1_000;
/** So many turns of Deno's event loop, so many milliseconds apart, may pass before it reports bytes that have come. */
const TURNS = 4;
const TURN_MS = 5;

/** One connection of a server, from accept to close. */
export class ServerConnection
  implements DrainState, BufferedConnEvents, BodyEvents, Filler, EndListener {
  place = -1;
  readonly #io: BufferedConn;
  readonly peer: string;
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
  /** Since when the head of a request is incomplete, by the coarse clock; Infinity while none is. */
  headSince = Infinity;
  /** True once a request came. */
  hasAsked = false;
  /** Set by the server: the connection is beyond the limit. */
  isOverLimit = false;
  /** True once another protocol serves it, which also drains it. */
  isHandedOver = false;
  /** Set while a request waits for a place: its client has gone. */
  #leaveQueue: (() => void) | undefined;
  #isAdvancing = false;
  /** Set while `#advance` runs: it must go on with the next request. */
  #hasNext = false;
  #isOver = false;
  readonly #end = Promise.withResolvers<void>();
  /** The pending read is there only to notice a client that leaves. */
  #isWatching = false;

  constructor(conn: Conn, peer: string, server: Server) {
    const { limits, options: { deadlines } } = server;
    this.peer = peer;
    this.#server = server;
    this.#limits = limits;
    this.#io = new BufferedConn(conn, server.connOptions, this);
    this.idleSince = deadlines.now;
  }

  onArrival(hasMore: boolean): void {
    // After an upgrade the other protocol decides what an end means.
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
  run(): Promise<void> {
    this.#advance();
    return this.#end.promise;
  }

  /** True if a response that begins now must be the last. Requests that have arrived are served first. */
  get draining(): boolean {
    if (!this.isOverLimit && !this.#server.keepsNone) return false;
    return this.isOverLimit || this.#exchange?.body.ended !== true || !this.#io.look();
  }

  /** Closes the connection if it is idle and nothing has arrived; false if it stays. */
  giveWay(): boolean {
    if (this.idleSince === Infinity) return false;
    // A request that is found now begins at once, unless its head is incomplete.
    if (this.#io.look() || this.idleSince === Infinity) return false;
    this.#io.close();
    return true;
  }

  /** Answers an incomplete request with 408, and closes the connection. */
  giveUpHead(): void {
    this.headSince = Infinity;
    this.#io.readBy(Infinity, "requestTimeout");
    this.onLate(new Fault("requestTimeout"));
  }

  /** The server drains: the client of an idle connection has a moment left for a request. */
  lastCall(): void {
    if (this.idleSince !== Infinity) this.#waitForRequest();
  }

  /** The connection while it waits for a request of which nothing has come. */
  get idleIo(): BufferedConn | undefined {
    return this.idleSince === Infinity || this.isOverLimit ? undefined : this.#io;
  }

  cut(): void {
    this.#io.fail(new Fault("drained"));
  }

  /**
   * Serves what has arrived, and returns when there is something to wait for. Nothing waits for a promise on
   * the way of a request that is whole. An exchange that ends within this call goes on in the same loop, so
   * that a client with many requests in the buffer cannot exhaust the stack.
   */
  #advance(): void {
    this.#hasNext = true;
    if (this.#isAdvancing) return;
    this.#isAdvancing = true;
    try {
      while (this.#hasNext && !this.#isOver) {
        this.#hasNext = false;
        this.#next();
      }
    } catch (error) {
      this.#finish(error);
    } finally {
      this.#isAdvancing = false;
    }
  }

  /** Begins to serve the next request, or to wait for it. */
  #next(): void {
    if (this.#io.input.isEmpty) return this.#waitForBytes();
    const head = this.#parseHead();
    if (head === undefined || head instanceof Fault || this.isOverLimit) {
      this.#admit(head).catch((error) => this.#finish(error));
    } else {
      this.#keep(head);
      this.#begin(head);
    }
  }

  /** For a request that must wait before it can be served, or that cannot be served at all. */
  async #admit(arrived: RequestHead | Fault | undefined): Promise<void> {
    const head = arrived ?? await this.#readHead();
    if (head === undefined) return this.#finish();
    if (await servesHttp2(head, this.#io, this, this.#server)) return this.#finish();
    if (!(head instanceof Fault)) {
      this.#keep(head);
      if (!this.isOverLimit || await this.#hasPlace(head)) return this.#begin(head);
    }
    await this.#refuse(head instanceof Fault ? head : new Fault("tooManyHeld"));
    this.#finish();
  }

  /** The bytes of the head stay in place, and those after it are next. To be called once for each head. */
  #keep(head: RequestHead): void {
    this.#io.input.start = head.end;
    this.#io.input.hold();
  }

  #begin(head: RequestHead): void {
    const exchange = this.#exchange = this.#exchangeOf(head);
    if (exchange.body.ended) this.#watch();
    let work: ReturnType<Handler>;
    try {
      work = this.#server.options.handler(exchange);
    } catch (error) {
      return this.ended(error);
    }
    if (work instanceof Task) work.whenEnded(this);
    else work.then(() => this.ended(), (error) => this.ended(error));
  }

  /** The handler is done with the present exchange. */
  ended(error?: unknown): void {
    const exchange = this.#exchange!;
    const problem = error ??
      (exchange.responseStarted ? undefined : new TypeError("The handler has not answered"));
    if (problem === undefined) return this.#after(exchange);
    this.#answerFault(exchange, problem).then(
      () => this.#after(exchange),
      (fault) => this.#finish(fault),
    );
  }

  #after(exchange: Exchange): void {
    this.#exchange = undefined;
    this.#isWatching = false;
    if (this.#canGoOn(exchange)) return this.#advance();
    if (!exchange.responseFinished || exchange.body.ended) return this.#finish();
    this.#goOn(exchange).then(
      (goesOn) => goesOn ? this.#advance() : this.#finish(),
      (error) => this.#finish(error),
    );
  }

  /** True if the next request may follow at once. */
  #canGoOn({ responseFinished, keepAlive, body }: Exchange): boolean {
    if (!responseFinished || !keepAlive || !body.ended) return false;
    this.#out.clear(OUT_KEPT_BYTES);
    this.#io.rest();
    return true;
  }

  /** Reads the rest of the request after its response. False if the connection must end. */
  async #goOn(exchange: Exchange): Promise<boolean> {
    if (!exchange.keepAlive || !await this.#discard(exchange.body)) await this.#linger();
    return this.#canGoOn(exchange);
  }

  /** The connection ends, with an error if that is why. */
  #finish(error?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (error instanceof Fault) {
      if (!this.#idle) this.#report(error);
      this.#io.fail(error);
    }
    this.#io.dispose();
    this.#out.release();
    if (error === undefined || error instanceof Fault) this.#end.resolve();
    else this.#end.reject(error);
  }

  #waitForBytes(): void {
    this.#idle = true;
    this.idleSince = this.#server.options.deadlines.now;
    this.#waitForRequest();
    this.#io.fillFor(this);
  }

  filled(hasMore: boolean): void {
    if (hasMore) this.#advance();
    else this.#finish();
  }

  fillFailed(fault: Fault): void {
    this.#finish(fault);
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
    const { deadlines } = this.#server.options;
    this.#io.readBy(deadlines.in(this.#limits.headMs), "requestTimeout");
    this.headSince = deadlines.now;
    while (await readLine(this.#io, this.#limits.headBytesMax)) {
      const head = this.#parseHead();
      if (head === undefined) continue;
      this.headSince = Infinity;
      return head;
    }
  }

  #exchangeOf(head: RequestHead): Exchange {
    const body = new Body(this.#io, head.framing, this.#server.bodyRules, this);
    return new Exchange(this.#io, this.#out, this, head, body, this.peer);
  }

  beforeBodyWait(): Promise<void> | undefined {
    const exchange = this.#exchange;
    return exchange?.awaitsContinue === true ? exchange.write1xx(100, "Continue") : undefined;
  }

  bodyEnded(): void {
    this.#watch();
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
    this.#server.options.onError?.(error, this.peer);
    return new Fault("internalError", undefined, { cause: error });
  }

  /** Reads the rest of a body; false if it is too much or malformed. */
  async #discard(body: Body): Promise<boolean> {
    const rest = await discard(body);
    // The body turned out to be malformed after the response, which must still arrive.
    if (rest instanceof Fault) this.#report(rest);
    return rest === "ended";
  }

  /** Answers a request that cannot be served, and ends the connection. */
  async #refuse(fault: Fault): Promise<void> {
    this.#report(fault);
    await this.#io.send(localReply(fault, this.#server.options.deadlines.clock.wall()));
    await this.#linger();
  }

  #linger(): Promise<void> {
    [this.#idle, this.idleSince] = [true, Infinity];
    return lingerAfterResponse(this.#io);
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
   * event loop gets some more turns to report it: if this process stood still, its timers come first.
   */
  #letGo(turns = TURNS): void {
    const io = this.#io;
    const isWaitedFor = this.idleSince !== Infinity;
    if (isWaitedFor && (io.look() || this.idleSince === Infinity)) return;
    if (!isWaitedFor || io.canLook || !this.#server.draining) return io.close();
    if (!this.#idle || !io.input.isEmpty) return;
    if (turns === 0) return io.close();
    this.#server.options.deadlines.clock.after(TURN_MS, () => this.#letGo(turns - 1));
  }

  #report(fault: Fault): void {
    this.#server.options.onFault?.(fault, this.peer);
  }
}
