/**
 * Kept-alive connections to one upstream. The one used last is used next, so that a quiet time lets the
 * others expire. Whether a connection is fresh or has been used is for the caller to know: only it can
 * say what may be sent twice.
 */
import { ClientConnection, type ClientOptions } from "./client.ts";
import type { Dial } from "./conn.ts";
import type { Deadlines } from "./deadlines.ts";

export interface PoolOptions {
  readonly dial: Dial;
  readonly deadlines: Deadlines;
  /** Idle connections kept. 256. */
  readonly idleMax?: number;
  /** How long one is kept idle, in milliseconds. 30 s. */
  readonly idleMs?: number;
  /** Without a byte of a response body while one is awaited, in milliseconds; 0 is never. 30 s. */
  readonly bodyMs?: number;
  /** Without a byte taken by the upstream, in milliseconds; 0 is never. 30 s. */
  readonly writeMs?: number;
  /** Size of a response head. 64 KiB. */
  readonly headBytesMax?: number;
  /** Field lines in a response head. 128. */
  readonly fieldsMax?: number;
}

export class Pool {
  readonly #dial: Dial;
  readonly #client: ClientOptions;
  readonly #idleMax: number;
  readonly #idleMs: number;
  readonly #idle: ClientConnection[] = [];
  #closed = false;

  constructor(options: PoolOptions) {
    this.#dial = options.dial;
    this.#idleMax = options.idleMax ?? 256;
    this.#idleMs = options.idleMs ?? 30_000;
    this.#client = {
      deadlines: options.deadlines,
      bodyMs: options.bodyMs ?? 30_000,
      writeMs: options.writeMs ?? 30_000,
      limits: {
        headBytesMax: options.headBytesMax ?? 64 * 1024,
        fieldsMax: options.fieldsMax ?? 128,
      },
      keep: (connection) => this.#keep(connection),
      lose: (connection) => this.#lose(connection),
    };
  }

  /** Connections waiting for a request. */
  get idle(): number {
    return this.#idle.length;
  }

  /** The idle connection used last, if there is one. It may turn out to be stale. */
  take(): ClientConnection | undefined {
    for (let connection = this.#idle.pop(); connection; connection = this.#idle.pop()) {
      if (connection.wake()) return connection;
      connection.close();
    }
    return undefined;
  }

  /** A fresh connection. Rejects with a Fault that proves that nothing was sent. */
  async connect(signal?: AbortSignal): Promise<ClientConnection> {
    return new ClientConnection(await this.#dial(signal), this.#client);
  }

  /** Closes the idle connections; those in use are closed when they are released. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#idle.splice(0)) connection.close();
  }

  #keep(connection: ClientConnection): boolean {
    if (this.#closed || this.#idle.length >= this.#idleMax) return false;
    this.#idle.push(connection);
    connection.rest(this.#idleMs);
    return true;
  }

  #lose(connection: ClientConnection): void {
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
  }
}
