/**
 * HTTPS behind a balancer that sends the PROXY protocol. Deno's TLS listener accepts connections that begin with the
 * handshake, so it listens on the loopback, and what clients send after the header is passed to it. It learns from a
 * table whom a connection is of, and serves nobody else.
 */
import type { Clock } from "../../base/clock.ts";
import { sleep } from "../../base/clock.ts";
import type { Conn } from "../../net/conn.ts";
import { denoConn } from "../../net/deno/conn.ts";
import type { Acceptee } from "../../net/transport.ts";
import { tunnel } from "../../net/tunnel.ts";

/** How long the TLS listener waits until the client of a connection is known, and between two looks, in ms. */
const LEARN_MS = 1_000;
const LOOK_MS = 2;
/** Attempts to connect to the TLS listener, which is closed for a moment while its certificate changes. */
const TRIES = 20;
const RETRY_MS = 25;

/** The clients of the connections to the TLS listener, by their ports on the loopback. */
export class ClientsByPort {
  readonly #clients = new Map<number, string>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  set(port: number, client: string): void {
    this.#clients.set(port, client);
  }

  delete(port: number): void {
    this.#clients.delete(port);
  }

  /** The client of a connection; undefined if another program of this machine has made it. */
  async clientOf({ remoteAddr }: Deno.TlsConn): Promise<string | undefined> {
    const { port } = remoteAddr as Deno.NetAddr;
    // It may be accepted before the other end knows which port the system has given it.
    for (let ms = 0; ms < LEARN_MS && !this.#clients.has(port); ms += LOOK_MS) {
      await sleep(this.#clock, LOOK_MS);
    }
    return this.#clients.get(port);
  }
}

/** What the front needs from outside. */
export interface TlsFrontParts {
  readonly clock: Clock;
  readonly clients: ClientsByPort;
  /** Where the TLS listener listens on the loopback. */
  readonly port: number;
  /** The server behind it, which has the limits. */
  readonly server: Pick<Acceptee, "hasRoom" | "room">;
}

/** Passes the bytes of clients on to the TLS listener. */
export class TlsFront implements Acceptee {
  readonly #parts: TlsFrontParts;

  constructor(parts: TlsFrontParts) {
    this.#parts = parts;
  }

  get hasRoom(): boolean {
    return this.#parts.server.hasRoom;
  }

  room(): Promise<void> {
    return this.#parts.server.room();
  }

  async serve(conn: Conn, client: string): Promise<void> {
    const { clients } = this.#parts;
    let inner: Deno.TcpConn | undefined;
    try {
      inner = await this.#connect();
    } catch {
      // No descriptor is left, or the service ends: the client sees the connection end.
    }
    if (inner === undefined) return conn.close();
    const served = denoConn(inner);
    const { port } = inner.localAddr as Deno.NetAddr;
    clients.set(port, client);
    try {
      inner.setNoDelay(true);
      await tunnel(conn, served);
    } finally {
      clients.delete(port);
      conn.close();
      served.close();
    }
  }

  async #connect(): Promise<Deno.TcpConn> {
    const { clock, port } = this.#parts;
    for (let tries = 1;; tries++) {
      try {
        // Without the dialer: this process answers at once or not at all.
        return await Deno.connect({ hostname: "127.0.0.1", port });
      } catch (error) {
        if (tries >= TRIES || !(error instanceof Deno.errors.ConnectionRefused)) throw error;
        await sleep(clock, RETRY_MS);
      }
    }
  }
}
