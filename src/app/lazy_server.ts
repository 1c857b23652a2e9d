/**
 * A server whose code is loaded for its first client: most proxies never get a command, and then need no memory
 * for the code that answers it. Part of the composition root.
 */
import type { Server } from "../http1/server.ts";
import type { Conn } from "../net/conn.ts";
import type { Acceptee } from "../net/transport.ts";

/** The server, loaded or not. It has room until it is loaded. */
export class LazyServer implements Acceptee {
  readonly #load: () => Promise<Server>;
  #server: Server | undefined;
  #loading: Promise<Server> | undefined;

  constructor(load: () => Promise<Server>) {
    this.#load = load;
  }

  /** While the code is loaded, there is room for the first client alone: the limit is not in force yet. */
  get hasRoom(): boolean {
    return this.#server?.hasRoom ?? this.#loading === undefined;
  }

  async room(): Promise<void> {
    const server = this.#server ?? await this.#loading?.catch(() => undefined);
    await server?.room();
  }

  /** Rejects, and the connection is closed, if the code cannot be loaded; the next client tries again. */
  async serve(conn: Conn, peer: string): Promise<void> {
    let server: Server;
    try {
      server = await (this.#loading ??= this.#load());
    } catch (error) {
      this.#loading = undefined;
      conn.close();
      throw error;
    }
    this.#server = server;
    await server.serve(conn, peer);
  }

  /** Closes every connection: at once, or those that wait for an answer when `now` is aborted. */
  async end(now = AbortSignal.abort()): Promise<void> {
    await (await this.#loading)?.drain(now);
  }
}
