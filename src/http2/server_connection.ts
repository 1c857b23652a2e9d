/**
 * One connection of a client over HTTP/2: reads what comes, gives it to the protocol (`connection.ts`), serves its
 * requests, and sends the frames.
 */
import { Fault, faultOf, FAULTS, statusOf } from "../base/fault.ts";
import type { Http2Rule } from "../base/http2_rules.ts";
import { BufferedConn, type BufferedConnEvents, type Filler } from "../http1/buffered_conn.ts";
import { reasonOf } from "../http1/fetch_app.ts";
import { HeadWriter } from "../http1/head_writer.ts";
import { httpDate } from "../http1/http_date.ts";
import type { WaitForPlace } from "../http1/http2_preface.ts";
import { sendLocalReply } from "../http1/local_reply.ts";
import type { ReadBuffer } from "../http1/read_buffer.ts";
import { Task } from "../http1/task.ts";
import type { Conn } from "../net/conn.ts";
import type { CoarseTimed } from "../net/deadlines.ts";
import { Http2Connection, type Http2Owner } from "./connection.ts";
import { ConnectionError } from "./connection_error.ts";
import { StreamExchange } from "./exchange.ts";
import { ERROR, FRAME, FrameWriter } from "./frames.ts";
import type { Http2Server } from "./server.ts";
import type { Stream } from "./stream.ts";

/** How long the client may still send after our last frame; ending at once would destroy what it has not read. */
const LINGER_MS = 1_000;
/** Between the announcement that we end and the end: requests that are under way are still served. */
const LAST_CALL_MS = 250;

/** True if a DATA frame begins here: a body has deadlines of its own. */
function isData({ bytes, start, length }: ReadBuffer): boolean {
  return length > 3 && bytes[start + 3] === FRAME.data;
}

/** One connection of a server, from accept to close. */
export class Http2ServerConnection implements Http2Owner, BufferedConnEvents, Filler, CoarseTimed {
  place = -1;
  /** Since when it has no request, by the coarse clock; Infinity while it has one. */
  idleSince: number;
  /** True once a request has come. */
  hasAsked = false;
  readonly #io: BufferedConn;
  readonly #peer: string;
  readonly #server: Http2Server;
  readonly #isWanted: () => boolean;
  /** Set while it is beyond the limit, and its requests wait. */
  #waitForPlace: WaitForPlace | undefined;
  #placing: Promise<boolean> | undefined;
  /** Ends that wait. */
  #leaveQueue: (() => void) | undefined;
  readonly #protocol: Http2Connection;
  /** The buffer that takes the place of the one that is being sent, once there was one. */
  #spare: FrameWriter | undefined;
  #isSending = false;
  #isFlushDue = false;
  #isTaking = false;
  #hasMore = false;
  #headBy: number;
  /** How many bytes of the connection came before the frame for which `#headBy` waits. */
  #taken = 0;
  #idleBy: number;
  /** When the announced end comes; Infinity while none is announced. */
  #lastCallBy = Infinity;
  /** True once nothing more is served or read: what is printed is sent, then it is closed. */
  #isEnding = false;
  /** True once the last call is over. */
  #endsWhenIdle = false;
  #isOver = false;
  /** When it is closed although the client has not closed its side. */
  #lingerBy = Infinity;
  readonly #end = Promise.withResolvers<void>();

  constructor(
    conn: Conn,
    peer: string,
    server: Http2Server,
    isWanted: () => boolean,
    waitForPlace: WaitForPlace | undefined,
  ) {
    const { deadlines, limits, connOptions, settings } = server;
    this.#server = server;
    this.#peer = peer;
    this.#isWanted = isWanted;
    this.#waitForPlace = waitForPlace;
    this.#io = new BufferedConn(conn, connOptions, this);
    this.#protocol = new Http2Connection(settings, this);
    this.idleSince = deadlines.now;
    this.#headBy = deadlines.in(limits.headMs);
    this.#idleBy = deadlines.in(limits.idleMs);
    if (server.draining) this.lastCall();
  }

  /** Serves it until it ends. Never rejects. */
  run(): Promise<void> {
    this.#server.deadlines.add(this);
    this.#read();
    return this.#end.promise;
  }

  /** The number of requests under way. */
  get running(): number {
    return this.#protocol.streams.length;
  }

  /** True while it has no place under the limit of its server. */
  get isOverLimit(): boolean {
    return this.#waitForPlace !== undefined;
  }

  /** Closes it if it has no request; false if it stays. */
  giveWay(): boolean {
    if (this.#isEnding || this.running > 0 || this.#io.look() || this.running > 0) return false;
    this.#finish(ERROR.noError);
    return true;
  }

  /** No more requests after those that are under way. */
  lastCall(): void {
    if (this.#lastCallBy !== Infinity || this.#isEnding) return;
    this.#lastCallBy = this.#server.deadlines.in(LAST_CALL_MS);
    this.#protocol.goAway(false);
  }

  /** Ends it at once. */
  cut(): void {
    this.#io.fail(new Fault("drained"));
  }

  onFail(fault: Fault): void {
    if (fault.fault === "slowReader") {
      this.streamBroken("slow_windows", "nothing that was sent was read in time", "connection");
    }
    this.#over(fault);
  }

  filled(hasMore: boolean): void {
    if (!hasMore) return this.#clientEnded();
    this.#hasMore = true;
    if (!this.#isTaking) this.#read();
  }

  fillFailed(fault: Fault): void {
    this.#over(fault);
  }

  /** Takes what has come and reads on; a loop, so that a client that sends on and on cannot exhaust the stack. */
  #read(): void {
    this.#isTaking = true;
    do {
      this.#hasMore = false;
      this.#take();
      if (this.#io.closed || this.#protocol.isStopped) break;
      const isCut = this.#io.input.length > 0;
      if (!isCut) this.#io.rest();
      this.#io.fillFor(this, isCut);
    } while (this.#hasMore);
    this.#isTaking = false;
    this.#flush();
  }

  #take(): void {
    const { input } = this.#io;
    if (this.#isEnding) return input.clear();
    try {
      this.#protocol.take(input);
    } catch (error) {
      this.#broken(error);
    }
    this.#watchHead();
  }

  /** A head, or a frame that is neither whole nor part of a body, must be complete in time. */
  #watchHead(): void {
    const { isInHead, isStopped } = this.#protocol;
    const { input, received } = this.#io;
    const isCut = input.length > 0 && !isStopped && !isData(input);
    if (!isInHead && !isCut) return void (this.#headBy = Infinity);
    // Another frame than before has a time of its own.
    const taken = received - input.length;
    const isSame = isInHead || taken === this.#taken;
    this.#taken = taken;
    if (isSame && this.#headBy !== Infinity) return;
    const { deadlines, limits } = this.#server;
    this.#headBy = deadlines.in(limits.headMs);
  }

  /** The client has broken a rule, or we have: the connection ends. */
  #broken(error: unknown): void {
    if (error instanceof ConnectionError) {
      const fault = new Fault("http2Broken", error.words);
      this.streamBroken(error.rule, error.words, "connection");
      // To a client that speaks another protocol, frames would be garbage.
      if (!this.#protocol.hasPreface) return this.#close();
      return this.#finish(error.code, error.words, fault);
    }
    this.#server.onError(error, this.#peer);
    this.#finish(ERROR.internalError, "", faultOf(error));
  }

  /** The client has closed its side, so incomplete bodies stay so. It gets its responses as long as bytes move. */
  #clientEnded(): void {
    if (this.running === 0 || this.#isEnding) return this.#close();
    const { halfCloseMs, halfCloseGetMs } = this.#server.limits;
    // Ending any other request would leave it unclear how far the upstream got with it.
    const areGets = this.#protocol.streams.every((stream) => stream.isGet);
    this.#io.endWhenQuiet(halfCloseMs, "clientGone", areGets ? halfCloseGetMs : halfCloseMs);
    this.#protocol.clientEnded();
  }

  request(stream: Stream): void {
    this.#begun();
    const { head } = stream;
    const exchange = new StreamExchange(stream, head!, this.#peer);
    let work: Promise<void> | Task;
    try {
      const { handler, isReserved } = this.#server;
      const mustWait = this.#waitForPlace !== undefined && !isReserved(head!.path);
      work = mustWait ? this.#handleLater(exchange) : handler(exchange);
    } catch (error) {
      return this.#ended(stream, exchange, error);
    }
    if (work instanceof Task) {
      work.whenEnded({ ended: (error) => this.#ended(stream, exchange, error) });
    } else {
      work.then(
        () => this.#ended(stream, exchange),
        (error) => this.#ended(stream, exchange, error),
      );
    }
  }

  /** Handles a request of a connection beyond the limit as soon as there is a place. All of its requests wait together. */
  async #handleLater(exchange: StreamExchange): Promise<void> {
    this.#placing ??= this.#waitForPlace!((leave) => this.#leaveQueue = leave);
    const hasPlace = await this.#placing;
    this.#placing = this.#leaveQueue = undefined;
    if (!hasPlace) throw new Fault("tooManyHeld");
    this.#waitForPlace = undefined;
    if (exchange.gone !== undefined) throw exchange.gone;
    await this.#server.handler(exchange);
  }

  #begun(): void {
    this.hasAsked = true;
    this.idleSince = this.#idleBy = Infinity;
  }

  /** The handler is done with an exchange. */
  #ended(stream: Stream, exchange: StreamExchange, error?: unknown): void {
    const problem = error ??
      (exchange.responseStarted ? undefined : new TypeError("The handler has not answered"));
    if (problem === undefined) return exchange.release();
    const fault = this.#reported(problem);
    if (stream.isOver || exchange.responseStarted) {
      exchange.abort(fault);
      return exchange.release();
    }
    // If the stream has failed meanwhile, there is nobody to answer.
    sendLocalReply(exchange, fault).catch((later) => exchange.abort(faultOf(later)))
      .finally(() => exchange.release());
  }

  #reported(problem: unknown): Fault {
    if (problem instanceof Fault) {
      this.#server.onFault(problem, this.#peer);
      return problem;
    }
    this.#server.onError(problem, this.#peer);
    return new Fault("internalError", undefined, { cause: problem });
  }

  refused(stream: Stream, fault: Fault): void {
    this.#begun();
    this.#server.onFault(fault, this.#peer);
    const status = statusOf(fault.fault);
    const out = new HeadWriter();
    out.statusLine(status, reasonOf(status));
    out.line("Date", httpDate(this.#server.deadlines.clock.wall()));
    out.line("Content-Type", "text/plain; charset=utf-8");
    out.endHead();
    const text = new TextEncoder().encode(`${FAULTS[fault.fault].words}\n`);
    const hasRoom = stream.room >= text.length;
    stream.sendHead(out, { isLast: !hasRoom, length: hasRoom ? text.length : 0 });
    if (hasRoom) stream.sendData(text, 0, text.length, true);
    out.release();
    stream.fields.out.release();
  }

  streamEnded(): void {
    if (this.running > 0 || this.#isEnding) return;
    const { deadlines, limits } = this.#server;
    this.idleSince = deadlines.now;
    this.#idleBy = deadlines.in(limits.idleMs);
    // Others wait for a place, and the client can connect again.
    const isLast = this.#endsWhenIdle || this.#io.atEnd || this.#isWanted();
    if (isLast) this.#finish(ERROR.noError);
  }

  /** `ended`: what ends because of it. */
  streamBroken(rule: Http2Rule, words: string, ended = "request"): void {
    this.#server.onBroken(rule, `${words}; the ${ended} ends`, this.#peer);
  }

  malformed(fault: Fault): void {
    this.#server.onMalformed(fault, this.#peer);
  }

  outputReady(): void {
    if (this.#isFlushDue || this.#isTaking) return;
    this.#isFlushDue = true;
    // Responses that are ready in the same turn leave together.
    queueMicrotask(() => this.#flush());
  }

  /** Sends what is printed, unless a write is pending already. */
  #flush(): void {
    this.#isFlushDue = false;
    while (!this.#isSending && this.#protocol.out.length > 0 && !this.#io.closed) {
      const { out } = this.#protocol;
      const work = this.#io.send(out.bytes, out.length);
      if (work !== undefined) return this.#sendRest(work);
      out.clear();
      this.#protocol.sent();
    }
    if (this.#isEnding && !this.#isSending && !this.#io.closed) this.#linger();
  }

  /** A write is pending: what is printed from now on goes to another buffer. */
  #sendRest(work: Promise<void>): void {
    this.#isSending = true;
    const sending = this.#protocol.swapOut(this.#spare ?? new FrameWriter());
    work.then(() => {
      this.#isSending = false;
      sending.clear();
      this.#spare = sending;
      this.#protocol.sent();
      this.#flush();
      // Reading stops while the client does not read.
      if (!this.#isTaking && !this.#io.closed) this.#read();
    }, (error) => this.#io.fail(faultOf(error)));
  }

  tick(now: number): void {
    if (now >= this.#lingerBy) return this.#close();
    if (this.#isEnding) return;
    this.#protocol.tick(now);
    if (now >= this.#headBy) this.#headLate();
    else if (now >= this.#idleBy) this.#finish(ERROR.noError);
    else if (now >= this.#lastCallBy) this.#lastCallOver();
  }

  /** The last call is over: it ends with its last request. */
  #lastCallOver(): void {
    this.#lastCallBy = Infinity;
    this.#endsWhenIdle = true;
    if (this.running === 0) this.#finish(ERROR.noError);
    else this.#protocol.goAway(true);
  }

  #headLate(): void {
    const words = "a head was not complete in time";
    this.streamBroken("slow_head", words, "connection");
    this.#finish(ERROR.enhanceYourCalm, words, new Fault("requestTimeout"));
  }

  /** Says why, sends what is printed, and closes it. */
  #finish(error: number, words = "", fault = new Fault("idleTimeout")): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.idleSince = Infinity;
    this.#protocol.goAway(true, error, words);
    this.#protocol.fail(fault);
    if (!this.#isTaking) this.#flush();
  }

  /** All is sent. Closing at once would destroy what the client has not read yet, if it has sent more. */
  #linger(): void {
    if (this.#lingerBy !== Infinity) return;
    this.#lingerBy = this.#server.deadlines.in(LINGER_MS);
    if (this.#io.atEnd) return this.#close();
    this.#io.closeWrite().catch(() => {});
  }

  #close(): void {
    this.#io.close();
    this.#over(new Fault("closedUnused", "closed by us"));
  }

  /** The connection has ended. */
  #over(fault: Fault): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#leaveQueue?.();
    this.#server.deadlines.delete(this);
    this.#protocol.fail(fault);
    this.#io.dispose();
    this.#end.resolve();
  }
}
