import type { ClientConnection } from "./client.ts";
import type { Dial } from "./conn.ts";
import type { Deadlines } from "./deadlines.ts";
export interface PoolOptions {
  readonly dial: Dial;
  readonly deadlines: Deadlines;
  /** Idle connections kept, 256. */
  readonly idleMax: number;
  /** How long one is kept idle, 30 s. */
  readonly idleMs: number;
  /** Without a byte of a response body while one is awaited, 30 s. */
  readonly bodyMs: number;
  /** Without a byte taken by the upstream, 30 s. */
  readonly writeMs: number;
}
/** Kept-alive connections to one upstream. */
export declare class Pool {
  constructor(options: Partial<PoolOptions> & Pick<PoolOptions, "dial" | "deadlines">);
  readonly idle: number;
  /** The most recently used idle connection, or undefined. */
  take(): ClientConnection | undefined;
  /** A fresh connection. Rejects with a Fault that proves that nothing was sent. */
  connect(signal?: AbortSignal): Promise<ClientConnection>;
  /** Closes idle connections; those in use close when released. */
  close(): void;
}
