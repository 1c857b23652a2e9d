import type { Conn } from "./conn.ts";
import type { Deadlines } from "./deadlines.ts";
import type { Exchange } from "./exchange.ts";
import type { Fault } from "../base/fault.ts";
/** A fetch-style app: Hono's `app.fetch` fits. `env.exchange` is the raw exchange. */
export type App = (request: Request, env: { exchange: Exchange }) => Response | Promise<Response>;
export interface ServerOptions {
  readonly deadlines: Deadlines;
  readonly app: App;
  /** From the first byte of a head to its last, 10 s. */
  readonly headMs: number;
  /** Between two requests, and before the first, 75 s. */
  readonly idleMs: number;
  /** Without a byte of a request body while one is awaited, 30 s. */
  readonly bodyMs: number;
  /** Without a byte taken by the client, 30 s. */
  readonly writeMs: number;
  /** How long a client that has closed its sending side is served while nothing moves, 5 s. */
  readonly halfCloseMs: number;
  readonly headBytesMax: number;
  readonly fieldsMax: number;
  /** Connections at one time; more stay in the kernel's accept queue. */
  readonly connectionsMax: number;
  /** Told of each request that ended badly for its client. Must not throw. */
  readonly onFault?: (fault: Fault, peer: string) => void;
}
/** Return this from the app when the raw exchange has answered. */
export declare const ANSWERED: Response;
export declare class Server {
  constructor(options: Partial<ServerOptions> & Pick<ServerOptions, "deadlines" | "app">);
  /** Connections right now. */
  readonly connections: number;
  /** Serves one connection until it ends. Owns `conn` from here. */
  serve(conn: Conn, peer: string): Promise<void>;
  /** Idle connections close, others after their response; aborting `now` resets what is left. Resolves with their number. */
  drain(now: AbortSignal): Promise<number>;
}
