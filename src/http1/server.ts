/**
 * Serves a fetch-style app on any `Conn`, with the raw exchange beside the request. One request after
 * another per connection, in order; a pipelined one waits in the buffer. Knows nothing of listeners.
 *
 * While the app works, a read is pending on the client: it notices a client that leaves, and is the next
 * request's first read. A client that closes only its sending side is served on while bytes move.
 */
import { Fault } from "../base/fault.ts";
import { Roster } from "../base/roster.ts";
import { Body, decoderFor } from "./body.ts";
import type { Conn } from "./conn.ts";
import type { Deadlines } from "./deadlines.ts";
import { Exchange, type ServerMood } from "./exchange.ts";
import { LightRequest, sendResponse } from "./fetch_app.ts";
import { parseRequestHead, type RequestHead } from "./head.ts";
import { HeadWriter } from "./head_writer.ts";
import { refusal, sendRefusal } from "./refusal.ts";
import { Wire } from "./wire.ts";

/** A fetch-style app; Hono's `app.fetch` fits. What it returns is ignored once `exchange` has answered. */
export type App = (
  request: Request,
  env: { readonly exchange: Exchange },
) => Response | Promise<Response>;

/** Return this from the app when the raw exchange has answered. */
export const ANSWERED = new Response(null);

export interface ServerLimits {
  /** From the first byte of a head to its last. 10 s. */
  readonly headMs: number;
  /** Between two requests, and before the first. 75 s. */
  readonly idleMs: number;
  /** Without a byte of a request body while one is awaited. 30 s. */
  readonly bodyMs: number;
  /** Bytes per second of a request body, after its first `bodyMs`. 100; 0 is never too slow. */
  readonly bodyRateMin: number;
  /** Without a byte taken by the client. 30 s. */
  readonly writeMs: number;
  /** How long a client that closed its sending side is served while no byte moves. 5 s. */
  readonly halfCloseMs: number;
  /** Size of a request head. 64 KiB. */
  readonly headBytesMax: number;
  /** Field lines in a request head. 128. */
  readonly fieldsMax: number;
  /** Connections at one time. 10000. */
  readonly connectionsMax: number;
}

export const SERVER_LIMITS: ServerLimits = {
  headMs: 10_000,
  idleMs: 75_000,
  bodyMs: 30_000,
  bodyRateMin: 100,
  writeMs: 30_000,
  halfCloseMs: 5_000,
  headBytesMax: 64 * 1024,
  fieldsMax: 128,
  connectionsMax: 10_000,
};

export interface ServerOptions {
  readonly deadlines: Deadlines;
  readonly app: App;
  /** Where it is missing, `SERVER_LIMITS` holds. */
  readonly limits?: Partial<ServerLimits>;
  /** Told of each request or connection that ended badly. Must not throw. */
  readonly onFault?: (fault: Fault, peer: string) => void;
}

/** After a refusal the client may still be sending; closing at once would destroy our answer. */
const LINGER_MS = 2_000;
const LINGER_BYTES_MAX = 1024 * 1024;
/** An unread request body up to this size is read and dropped so that the connection can be kept. */
const DISCARD_BYTES_MAX = 64 * 1024;
/** A connection that waits keeps an output buffer of at most this size. */
const OUT_KEPT_BYTES = 32 * 1024;

export class Server implements ServerMood {
  readonly #options: ServerOptions;
  readonly #limits: ServerLimits;
  readonly #connections = new Roster<ServerConnection>();
  readonly #waiting = new Set<() => void>();
  #draining = false;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#limits = { ...SERVER_LIMITS, ...options.limits };
  }

  /** Connections right now. */
  get connections(): number {
    return this.#connections.size;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** True if there is room for one more connection. */
  get hasRoom(): boolean {
    return this.#connections.size < this.#limits.connectionsMax;
  }

  /** Resolves as soon as there is room for one more connection. */
  async room(): Promise<void> {
    while (!this.hasRoom) await this.#change();
  }

  /** Serves one connection until it ends. Owns `conn` from here. Rejects only for a bug in the app. */
  async serve(conn: Conn, peer: string): Promise<void> {
    const connection = new ServerConnection(conn, peer, this, this.#options, this.#limits);
    this.#connections.add(connection);
    try {
      await connection.run();
    } finally {
      this.#connections.delete(connection);
      for (const resolve of this.#waiting) resolve();
      this.#waiting.clear();
    }
  }

  /**
   * Closes idle connections at once and the others after their response. Aborting `now` cuts what is
   * left; resolves, when all have ended, with how many had to be cut.
   */
  async drain(now: AbortSignal): Promise<number> {
    this.#draining = true;
    for (const connection of this.#connections.all()) connection.closeIfIdle();
    let cut = 0;
    const cutAll = () => {
      for (const connection of this.#connections.all()) {
        cut++;
        connection.cut();
      }
    };
    if (now.aborted) cutAll();
    now.addEventListener("abort", cutAll, { once: true });
    while (this.#connections.size > 0) await this.#change();
    now.removeEventListener("abort", cutAll);
    return cut;
  }

  /** Resolves when a connection has ended. */
  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve));
  }
}

class ServerConnection {
  place = -1;
  readonly #wire: Wire;
  readonly #peer: string;
  readonly #server: Server;
  readonly #options: ServerOptions;
  readonly #limits: ServerLimits;
  readonly #out = new HeadWriter();
  /** Where the field lines of the present head are. */
  readonly #offsets: number[] = [];
  #exchange: Exchange | undefined;
  #idle = true;
  /** A read is pending only to notice whether the client leaves. */
  #isWatching = false;

  constructor(
    conn: Conn,
    peer: string,
    server: Server,
    options: ServerOptions,
    limits: ServerLimits,
  ) {
    this.#peer = peer;
    this.#server = server;
    this.#options = options;
    this.#limits = limits;
    this.#wire = new Wire(conn, {
      deadlines: options.deadlines,
      writeMs: limits.writeMs,
      faults: { reset: "clientReset", slowWrite: "slowReader" },
    });
    this.#wire.onLate = (fault) => this.#late(fault);
    this.#wire.onArrival = (more) => {
      if (!more && this.#isWatching) {
        this.#wire.endWhenQuiet(limits.halfCloseMs, "clientGone");
      }
    };
  }

  async run(): Promise<void> {
    try {
      while (await this.#next());
    } catch (error) {
      if (!(error instanceof Fault)) {
        this.cut();
        throw error;
      }
      if (!this.#idle) this.#report(error);
      this.#wire.fail(error);
    } finally {
      this.#wire.dispose();
      this.#out.release();
    }
  }

  closeIfIdle(): void {
    if (this.#idle) this.#wire.close();
  }

  cut(): void {
    this.#wire.fail(new Fault("drained"));
  }

  /** One request and its response. False when the connection is to end. */
  async #next(): Promise<boolean> {
    const wire = this.#wire;
    if (wire.start === wire.end && !await this.#firstBytes()) return false;
    const head = this.#parseHead() ?? await this.#readHead();
    if (head === undefined) return false;
    if (head instanceof Fault) {
      await this.#refuse(head);
      return false;
    }
    wire.start = head.end;
    wire.hold();
    const exchange = this.#exchange = this.#begin(head);
    if (exchange.body.ended) this.#watch();
    try {
      const request = new LightRequest(exchange) as unknown as Request;
      const response = await this.#options.app(request, { exchange });
      if (!exchange.responseStarted) await sendResponse(exchange, response);
    } catch (error) {
      await this.#answerFault(exchange, error);
    }
    this.#exchange = undefined;
    this.#isWatching = false;
    wire.onFail = undefined;
    return this.#canGoOn(exchange) || await this.#goOn(exchange);
  }

  /** True if the next request may follow at once. */
  #canGoOn({ responseFinished, keepAlive, body }: Exchange): boolean {
    if (!responseFinished || !keepAlive || !body.ended) return false;
    this.#out.clear(OUT_KEPT_BYTES);
    this.#wire.unhold();
    return true;
  }

  /** Deals with what is left of the request. False when the connection is to end. */
  async #goOn(exchange: Exchange): Promise<boolean> {
    const { responseFinished, keepAlive, body } = exchange;
    if (!responseFinished) return false;
    if (!body.ended && (!keepAlive || !await this.#discard(body))) await this.#linger();
    return this.#canGoOn(exchange);
  }

  /** Waits for the next request. False when the client is done, or should be. */
  #firstBytes(): Promise<boolean> | boolean {
    this.#idle = true;
    if (this.#server.draining) return false;
    this.#wire.readBy(this.#options.deadlines.in(this.#limits.idleMs), "idleTimeout");
    return this.#wire.fill();
  }

  /** The head that is here already. From now on it has its own deadline. */
  #parseHead(): RequestHead | Fault | undefined {
    const wire = this.#wire;
    this.#idle = false;
    const head = parseRequestHead(
      wire.bytes,
      wire.start,
      wire.end,
      this.#limits,
      this.#offsets,
    );
    if (head === undefined) return undefined;
    wire.readBy(Infinity, "requestTimeout");
    return head;
  }

  /** Undefined when the client is done, or should be. */
  async #readHead(): Promise<RequestHead | Fault | undefined> {
    this.#wire.readBy(this.#options.deadlines.in(this.#limits.headMs), "requestTimeout");
    while (await this.#readMore()) {
      const head = this.#parseHead();
      if (head !== undefined) return head;
    }
  }

  /** Reads on until parsing again is worth its while: byte by byte it would cost the square of the head. */
  async #readMore(): Promise<boolean> {
    const wire = this.#wire;
    const had = wire.end - wire.start;
    for (;;) {
      if (!await wire.fill()) return false;
      const have = wire.end - wire.start;
      const isFull = have >= this.#limits.headBytesMax;
      if (isFull || have - had >= 1024) return true;
      if (wire.bytes.subarray(wire.start + had, wire.end).includes(10)) return true;
    }
  }

  #begin(head: RequestHead): Exchange {
    const body: Body = new Body(this.#wire, {
      framing: head.framing,
      declared: undefined,
      waitMs: this.#limits.bodyMs,
      rateMin: this.#limits.bodyRateMin,
      lateFault: "requestTimeout",
      cutFault: "clientReset",
      decoder: decoderFor(head.framing, "request"),
      beforeWait: head.expectsContinue
        ? async () => {
          if (exchange.awaitsContinue) await exchange.inform(100, "Continue");
        }
        : undefined,
      onEnd: () => this.#watch(),
    });
    const exchange = new Exchange(this.#wire, this.#out, this.#server, head, body, this.#peer);
    return exchange;
  }

  /** Keeps a read pending while the app works, unless the next request is here already. */
  #watch(): void {
    if (this.#wire.start < this.#wire.end || this.#exchange === undefined) return;
    this.#isWatching = true;
    this.#wire.watch();
  }

  async #answerFault(exchange: Exchange, error: unknown): Promise<void> {
    const isOurs = error instanceof Fault && !exchange.responseStarted &&
      this.#wire.fault === undefined;
    if (!isOurs) throw error;
    this.#report(error);
    await sendRefusal(exchange, error);
  }

  /** Reads and drops what is left of a body nobody wanted; false if that is too much. */
  async #discard(body: Body): Promise<boolean> {
    let bytes = 0;
    try {
      while (bytes <= DISCARD_BYTES_MAX) {
        const view = await body.read();
        if (view === undefined) return true;
        bytes += view.length;
      }
    } catch (error) {
      // Malformed, and found out after the answer: that one shall still arrive.
      if (error !== body.broken) throw error;
      this.#report(body.broken!);
    }
    return false;
  }

  /** Answers what could not be understood, and ends. */
  async #refuse(fault: Fault): Promise<void> {
    this.#report(fault);
    await this.#wire.send(refusal(fault, this.#options.deadlines.clock.wall()));
    await this.#linger();
  }

  /** Ends our side and reads for a moment what the client still sends (RFC 9112 section 9.6). */
  async #linger(): Promise<void> {
    const wire = this.#wire;
    this.#idle = true;
    await wire.closeWrite();
    wire.readBy(this.#options.deadlines.in(LINGER_MS), "idleTimeout");
    const before = wire.received;
    do wire.start = wire.end; while (
      wire.received - before < LINGER_BYTES_MAX && await wire.fill(true)
    );
  }

  /** The client took too long: between requests it is let go, within one it is told. */
  #late(fault: Fault): void {
    const wire = this.#wire;
    const exchange = this.#exchange;
    if (this.#idle) return wire.close();
    if (exchange?.responseStarted) return void wire.fail(fault);
    exchange?.refuse(fault);
    // In order, or the reset would overtake the answer.
    const end = () => wire.close(fault);
    wire.write(refusal(fault, this.#options.deadlines.clock.wall())).then(end, end);
  }

  #report(fault: Fault): void {
    this.#options.onFault?.(fault, this.#peer);
  }
}
