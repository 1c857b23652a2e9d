/**
 * HTTP/2 toward clients: connections whose TLS has ended with us are handed, byte for byte, to a
 * `Deno.serve` on the loopback that nobody else may use. It has neither timeouts nor limits, so both are
 * kept here: a connection on which no request runs is closed after a while, whatever it sends.
 */
import { Fault, FAULTS, statusOf } from "../base/fault.ts";
import type { Conn } from "../http1/conn.ts";
import { denoConn } from "../http1/conn_deno.ts";
import type { Deadlines, Timed } from "../http1/deadlines.ts";
import { ALLOWED } from "../http1/refusal.ts";
import { SERVER_LIMITS } from "../http1/server.ts";
import { tunnel } from "../http1/tunnel.ts";
import { FetchExchange } from "./fetch_exchange.ts";
import type { GatewayEnv } from "./gateway.ts";

type App = (request: Request, env: GatewayEnv) => Response | Promise<Response>;

interface Joined {
  readonly peer: string;
  readonly cut: () => void;
  /** Requests under way. */
  running: number;
  /** When it is closed if no request comes. */
  idleBy: number;
}

/** What a client sends first (RFC 9113 section 3.4). */
const PREFACE = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export class Http2 implements Timed {
  place = -1;
  readonly #deadlines: Deadlines;
  readonly #app: App;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #joined = new Set<Joined>();
  /** The same, once they are joined, by the port that they have on the loopback. */
  readonly #byPort = new Map<number, Joined>();

  constructor(deadlines: Deadlines, app: App) {
    this.#deadlines = deadlines;
    this.#app = app;
    this.#server = Deno.serve({
      hostname: "127.0.0.1",
      port: 0,
      onListen: () => {},
      automaticCompression: false,
      // Its own would print a stack trace. Only the stream of a response can fail unnoticed.
      onError: () => new Response(null, { status: 500 }),
    }, (request, { remoteAddr }) => this.#answer(request, remoteAddr.port));
  }

  get connections(): number {
    return this.#joined.size;
  }

  /** Serves one connection until it ends. Owns `conn` from here. */
  async serve(conn: Conn, peer: string): Promise<void> {
    const ends: Conn[] = [conn];
    const cut = () => {
      for (const end of ends) end.close();
    };
    const idleBy = this.#deadlines.in(SERVER_LIMITS.headMs);
    const joined: Joined = { peer, cut, running: 0, idleBy };
    if (this.#joined.size === 0) this.#deadlines.add(this);
    this.#joined.add(joined);
    try {
      // Else `Deno.serve` would answer HTTP/1.1 as well, past our parser and its limits.
      if (await beginsAsHttp2(conn)) await this.#join(conn, joined, ends);
    } catch {
      // Broken before it was joined, stopped meanwhile, or out of descriptors: the client sees its end.
    } finally {
      this.#joined.delete(joined);
      if (this.#joined.size === 0) this.#deadlines.delete(this);
      cut();
    }
  }

  async #join(conn: Conn, joined: Joined, ends: Conn[]): Promise<void> {
    const inner = await Deno.connect({ hostname: "127.0.0.1", port: this.#server.addr.port });
    inner.setNoDelay(true);
    const served = denoConn(inner);
    ends.push(served);
    const { port } = inner.localAddr as Deno.NetAddr;
    this.#byPort.set(port, joined);
    try {
      await served.write(PREFACE);
      await tunnel(conn, served);
    } finally {
      this.#byPort.delete(port);
    }
  }

  tick(now: number): void {
    for (const { running, idleBy, cut } of this.#joined) {
      if (running === 0 && now >= idleBy) cut();
    }
  }

  /** Lets running requests finish, or cuts them when `now` is aborted. Resolves with how many connections. */
  async drain(now: AbortSignal): Promise<number> {
    let count = 0;
    const cutAll = () => {
      count = this.#joined.size;
      for (const { cut } of this.#joined) cut();
    };
    if (now.aborted) cutAll();
    else now.addEventListener("abort", cutAll, { once: true });
    await this.#server.shutdown();
    now.removeEventListener("abort", cutAll);
    return count;
  }

  async #answer(request: Request, port: number): Promise<Response> {
    const joined = this.#byPort.get(port);
    // Not one of ours: somebody on this machine has found the port.
    if (joined === undefined) return new Response(null, { status: 421 });
    joined.running++;
    const done = () => {
      joined.running--;
      joined.idleBy = this.#deadlines.in(SERVER_LIMITS.idleMs);
    };
    const { peer } = joined;
    let exchange: FetchExchange;
    try {
      exchange = await FetchExchange.of(request, peer, this.#deadlines, SERVER_LIMITS.bodyMs);
    } catch (error) {
      done();
      return refused(error);
    }
    const answering = this.#run(request, exchange);
    answering.then(done, done);
    try {
      return await Promise.race([exchange.response, answering]);
    } catch (error) {
      return refused(error);
    }
  }

  /** The response; of an exchange that answers by itself, when all of it was sent. */
  async #run(request: Request, exchange: FetchExchange): Promise<Response> {
    try {
      const response = await this.#app(request, { exchange, scheme: "https" });
      return exchange.responseStarted ? await exchange.response : response;
    } catch (error) {
      if (!(error instanceof Fault) || !exchange.responseStarted) throw error;
      // The stream of the response has failed, by which the client can tell.
      exchange.abort(error);
      return await exchange.response;
    }
  }
}

/** Reads what an HTTP/2 client must send first; false for anything else. */
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

function refused(error: unknown): Response {
  if (!(error instanceof Fault)) throw error;
  const headers: HeadersInit = error.fault === "methodRefused" ? { allow: ALLOWED } : {};
  const status = statusOf(error.fault);
  return new Response(`${FAULTS[error.fault].words}\n`, { status, headers });
}
