/**
 * HTTP/2 for clients. We terminate TLS and pass the bytes of each connection to a `Deno.serve` on the loopback,
 * which refuses all other clients. `Deno.serve` has neither time-outs nor limits, so they are here: a
 * connection without a running request is closed after a while, whatever it sends.
 */
import { Fault, FAULTS, statusOf } from "../../base/fault.ts";
import type { Conn } from "../../net/conn.ts";
import { denoConn } from "../../net/deno/conn.ts";
import type { CoarseTimed, Deadlines } from "../../net/deadlines.ts";
import { ALLOWED } from "../../http1/local_reply.ts";
import { SERVER_LIMITS, type ServerLimits } from "../../http1/server_limits.ts";
import { tunnel } from "../../net/tunnel.ts";
import { FetchExchange } from "../fetch_exchange.ts";
import { LoopbackServer } from "./loopback_server.ts";
import type { Serve } from "../downstream.ts";
import type { ClientLimits } from "../listen.ts";

/** What HTTP/2 needs from the listener. */
export interface Http2Parts {
  readonly deadlines: Deadlines;
  readonly limits: ClientLimits;
  /** Answers one request. */
  readonly serve: Serve;
  /** True for the path of a request that is answered although the limit is reached. */
  readonly isReserved: (path: string) => boolean;
  /** Called for each request that was refused. */
  readonly onFault: (fault: Fault, peer: string) => void;
  /** Called for all other errors; each has ended its exchange. */
  readonly onError: (error: unknown, peer: string) => void;
  /** Called with the reason when HTTP/2 cannot be served, and with undefined when it can again. */
  readonly onChange: (unsupportedReason: string | undefined) => void;
}

interface Joined {
  readonly peer: string;
  /** Beyond the limit: only our own endpoints are answered. */
  readonly isOverLimit: boolean;
  readonly cut: () => void;
  /** Requests under way. */
  running: number;
  hasAsked: boolean;
  /** Since when no request is under way, by the coarse clock. */
  idleSince: number;
  /** When it is closed if no request arrives. */
  idleBy: number;
}

/** What a client sends first (RFC 9113 section 3.4). */
const PREFACE = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
/** How long a connection has had no request, in ms, before it is closed for others: a new one, a used one. */
const NEW_MS = 1_000;
const KEPT_MS = 250;
/** The interval at which a drain checks whether it may go on, in milliseconds. */
const POLL_MS = 10;
/** Descriptors that must be free to join a client. It needs two; others may take some meanwhile. */
const SPARE_DESCRIPTORS = 4;

/** The HTTP/2 connections of one listener. */
export class Http2 implements CoarseTimed {
  place = -1;
  readonly #parts: Http2Parts;
  #limits: ServerLimits;
  readonly #loopback: LoopbackServer;
  readonly #joined = new Set<Joined>();
  /** The joined connections by their port on the loopback. */
  readonly #byPort = new Map<number, Joined>();

  constructor(parts: Http2Parts) {
    this.#parts = parts;
    this.#limits = { ...SERVER_LIMITS, ...parts.limits };
    const { deadlines: { clock }, onChange } = parts;
    this.#loopback = new LoopbackServer({
      clock,
      handler: (request, port) => this.#answer(request, port),
      // A Fault has reset the stream on purpose, so that the client sees the failure.
      onError: (error) => {
        if (!(error instanceof Fault)) parts.onError(error, "of HTTP/2");
      },
      onEnd: () => this.#cutStale(),
      onChange,
    });
  }

  get connections(): number {
    return this.#joined.size;
  }

  /** Other limits are in force from the next request on. */
  setLimits(limits: Http2Parts["limits"]): void {
    this.#limits = { ...this.#limits, ...limits };
  }

  /** Why it cannot be served at present. */
  get unsupportedReason(): string | undefined {
    return this.#loopback.unsupportedReason;
  }

  /** Serves one connection until it ends. Owns `conn` from here. `isOverLimit`: it is beyond the limit. */
  async serve(conn: Conn, peer: string, isOverLimit = false): Promise<void> {
    const { deadlines } = this.#parts;
    const ends: Conn[] = [conn];
    const joined: Joined = {
      peer,
      isOverLimit,
      cut: () => ends.forEach((end) => end.close()),
      running: 0,
      hasAsked: false,
      idleSince: deadlines.now,
      idleBy: deadlines.in(this.#limits.headMs),
    };
    if (this.#joined.size === 0) deadlines.add(this);
    this.#joined.add(joined);
    try {
      // Otherwise `Deno.serve` would also answer HTTP/1.1, without our parser and its limits.
      if (await beginsAsHttp2(conn)) await this.#join(conn, joined, ends);
    } catch {
      // It broke, the inner server stopped, or no descriptor is left: the client sees the connection end.
    } finally {
      this.#joined.delete(joined);
      if (this.#joined.size === 0) deadlines.delete(this);
      joined.cut();
    }
  }

  async #join(conn: Conn, joined: Joined, ends: Conn[]): Promise<void> {
    const { port } = this.#loopback;
    if (port === undefined || !hasDescriptors(SPARE_DESCRIPTORS)) return;
    const inner = await connectInside(port);
    const served = denoConn(inner);
    ends.push(served);
    inner.setNoDelay(true);
    const local = (inner.localAddr as Deno.NetAddr).port;
    this.#byPort.set(local, joined);
    try {
      await served.write(PREFACE);
      await tunnel(conn, served);
    } finally {
      this.#byPort.delete(local);
    }
  }

  tick(now: number): void {
    for (const { running, idleBy, cut } of this.#joined) {
      if (running === 0 && now >= idleBy) cut();
    }
  }

  /** Closes the connection that has been idle for longest; false if there is none. */
  giveWay(): boolean {
    const { now } = this.#parts.deadlines;
    let oldest: Joined | undefined;
    for (const one of this.#joined) {
      const { running, idleSince, hasAsked } = one;
      const isIdle = running === 0 && now - idleSince >= (hasAsked ? KEPT_MS : NEW_MS);
      if (isIdle && idleSince < (oldest?.idleSince ?? Infinity)) oldest = one;
    }
    if (oldest === undefined) return false;
    this.#joined.delete(oldest);
    oldest.cut();
    return true;
  }

  /**
   * Lets running requests finish, and serves requests that are on their way; cuts all when `now` is aborted.
   * Resolves with how many connections were cut.
   */
  async drain(now: AbortSignal): Promise<number> {
    let count = 0;
    const cutAll = () => {
      count = this.#joined.size;
      for (const { cut } of this.#joined) cut();
    };
    if (now.aborted) cutAll();
    else now.addEventListener("abort", cutAll, { once: true });
    // A new client may be about to send a request.
    await this.#within(NEW_MS, now, () => [...this.#joined].every(({ hasAsked }) => hasAsked));
    await this.#loopback.close();
    // The last bytes are still in the tunnels, and clients answer the GOAWAY.
    await this.#within(NEW_MS, now, () => this.#joined.size === 0);
    now.removeEventListener("abort", cutAll);
    for (const { cut } of this.#joined) cut();
    return count;
  }

  /** Resolves when `isSo`, after `ms`, or when `now` is aborted. */
  async #within(ms: number, now: AbortSignal, isSo: () => boolean): Promise<void> {
    const { clock } = this.#parts.deadlines;
    for (let left = ms; left > 0 && !now.aborted && !isSo(); left -= POLL_MS) {
      await new Promise<void>((resolve) => clock.after(POLL_MS, resolve));
    }
  }

  /** The inner server has ended: running requests may finish, all other connections are closed. */
  #cutStale(): void {
    for (const joined of this.#byPort.values()) {
      joined.idleBy = -Infinity;
      if (joined.running === 0) joined.cut();
    }
  }

  async #answer(request: Request, port: number): Promise<Response> {
    const joined = this.#byPort.get(port);
    // Not one of our connections: another program on this machine has found the port.
    if (joined === undefined) return new Response(null, { status: 421 });
    const { deadlines } = this.#parts;
    joined.running++;
    joined.hasAsked = true;
    const done = () => {
      joined.running--;
      joined.idleSince = deadlines.now;
      if (joined.idleBy !== -Infinity) joined.idleBy = deadlines.in(this.#limits.idleMs);
    };
    let exchange: FetchExchange;
    try {
      exchange = await FetchExchange.of(request, joined.peer, deadlines, this.#limits);
      if (joined.isOverLimit && !this.#parts.isReserved(exchange.head.path)) {
        throw new Fault("tooManyHeld");
      }
    } catch (error) {
      done();
      return this.#refused(error, joined.peer);
    }
    const answering = this.#run(exchange);
    answering.then(done, done);
    try {
      return await Promise.race([exchange.response, answering.then(() => exchange.response)]);
    } catch (error) {
      return this.#refused(error, joined.peer);
    }
  }

  /** Resolves when the exchange is over. Rejects if it has ended without a response. */
  async #run(exchange: FetchExchange): Promise<void> {
    try {
      await this.#parts.serve(exchange, "https");
      if (!exchange.responseStarted) throw new TypeError("The request was not answered");
    } catch (error) {
      if (!exchange.responseStarted) throw error;
      const isOurs = error instanceof Fault;
      if (!isOurs) this.#parts.onError(error, exchange.peer);
      // The response stream fails, so that the client sees the failure.
      exchange.abort(isOurs ? error : new Fault("internalError", undefined, { cause: error }));
    }
  }

  #refused(error: unknown, peer: string): Response {
    const { onFault, onError } = this.#parts;
    if (error instanceof Fault) onFault(error, peer);
    else onError(error, peer);
    const { fault } = error instanceof Fault ? error : new Fault("internalError");
    const headers: HeadersInit = fault === "methodRefused" ? { allow: ALLOWED } : {};
    return new Response(`${FAULTS[fault].words}\n`, { status: statusOf(fault), headers });
  }
}

/** Connects to a port of this process, without the dialer: it answers at once or not at all. */
export function connectInside(port: number): Promise<Deno.TcpConn> {
  return Deno.connect({ hostname: "127.0.0.1", port });
}

/** True if so many descriptors are free. The inner server ends if it lacks one. */
function hasDescriptors(count: number): boolean {
  const files: Deno.FsFile[] = [];
  try {
    while (files.length < count) files.push(Deno.openSync(NULL_DEVICE));
    return true;
  } catch {
    return false;
  } finally {
    for (const file of files) file.close();
  }
}

const NULL_DEVICE = Deno.build.os === "windows" ? "NUL" : "/dev/null";

/** Reads the preface that an HTTP/2 client must send; false for anything else. */
async function beginsAsHttp2(conn: Conn): Promise<boolean> {
  const bytes = new Uint8Array(PREFACE.length);
  for (let have = 0; have < bytes.length;) {
    const count = await conn.read(bytes.subarray(have));
    if (count === null) return false;
    for (const end = have + count; have < end; have++) {
      if (bytes[have] !== PREFACE[have]) return false;
    }
  }
  return true;
}
