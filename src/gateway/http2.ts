/**
 * HTTP/2 toward clients: connections whose TLS has ended with us are handed, byte for byte, to a
 * `Deno.serve` on the loopback that nobody else may use. It has neither timeouts nor limits, so both are
 * kept here: a connection on which no request runs is closed after a while, whatever it sends.
 */
import { Fault, FAULTS, statusOf } from "../base/fault.ts";
import type { Conn } from "../http1/conn.ts";
import { denoConn } from "../http1/conn_deno.ts";
import type { Deadlines, Timed } from "../http1/deadlines.ts";
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

export class Http2 implements Timed {
  place = -1;
  readonly #deadlines: Deadlines;
  readonly #app: App;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  /** By the port that a connection has on the loopback. */
  readonly #joined = new Map<number, Joined>();

  constructor(deadlines: Deadlines, app: App) {
    this.#deadlines = deadlines;
    this.#app = app;
    this.#server = Deno.serve({
      hostname: "127.0.0.1",
      port: 0,
      onListen: () => {},
      automaticCompression: false,
    }, (request, { remoteAddr }) => this.#answer(request, remoteAddr.port));
  }

  get connections(): number {
    return this.#joined.size;
  }

  /** Serves one connection until it ends. Owns `conn` from here. */
  async serve(conn: Conn, peer: string): Promise<void> {
    let inner: Deno.TcpConn;
    try {
      inner = await Deno.connect({ hostname: "127.0.0.1", port: this.#server.addr.port });
    } catch {
      // Stopped meanwhile, or out of descriptors: the client sees its connection closed.
      return conn.close();
    }
    inner.setNoDelay(true);
    const { port } = inner.localAddr as Deno.NetAddr;
    const served = denoConn(inner);
    const cut = () => {
      conn.close();
      served.close();
    };
    if (this.#joined.size === 0) this.#deadlines.add(this);
    const idleBy = this.#deadlines.in(SERVER_LIMITS.headMs);
    this.#joined.set(port, { peer, cut, running: 0, idleBy });
    try {
      await tunnel(conn, served);
    } finally {
      this.#joined.delete(port);
      if (this.#joined.size === 0) this.#deadlines.delete(this);
      cut();
    }
  }

  tick(now: number): void {
    for (const { running, idleBy, cut } of this.#joined.values()) {
      if (running === 0 && now >= idleBy) cut();
    }
  }

  /** Lets running requests finish, or cuts them when `now` is aborted. Resolves with how many connections. */
  async drain(now: AbortSignal): Promise<number> {
    let count = 0;
    const cutAll = () => {
      count = this.#joined.size;
      for (const { cut } of this.#joined.values()) cut();
    };
    if (now.aborted) cutAll();
    else now.addEventListener("abort", cutAll, { once: true });
    await this.#server.shutdown();
    now.removeEventListener("abort", cutAll);
    return count;
  }

  async #answer(request: Request, port: number): Promise<Response> {
    const joined = this.#joined.get(port);
    // Not one of ours: somebody on this machine has found the port.
    if (joined === undefined) return new Response(null, { status: 421 });
    joined.running++;
    const done = () => {
      joined.running--;
      joined.idleBy = this.#deadlines.in(SERVER_LIMITS.idleMs);
    };
    try {
      const exchange = new FetchExchange(
        request,
        joined.peer,
        this.#deadlines,
        SERVER_LIMITS.bodyMs,
      );
      const answering = this.#run(request, exchange);
      answering.then(done, done);
      return await Promise.race([exchange.response, answering]);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return new Response(`${FAULTS[error.fault].words}\n`, { status: statusOf(error.fault) });
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
