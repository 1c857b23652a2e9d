/**
 * A connection to a database that is always read, so that its end is noticed when it happens and not at the next
 * question. TLS may be started on it later, as PostgreSQL and MySQL do.
 */
import type { Address } from "../base/address.ts";
import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import type { Conn } from "../net/conn.ts";
import { denoConn, tune } from "../net/deno/conn.ts";
import { dial, type DialLimits } from "../net/deno/dial.ts";
import { LoginRefused } from "./server.ts";
import type { TlsLayer, TlsSettings } from "./tls_layer.ts";

const CHUNK_BYTES = 4 * 1024;
/** How long the goodbye of `close` may take, in milliseconds. */
const CLOSE_MS = 1_000;
/** How long the end of reading may take after a write that failed, in milliseconds. */
const LAST_WORDS_MS = 1_000;

/** An open connection; its owner calls `close` in the end. */
export class Link {
  /** Receives what the server sent, decrypted if there is TLS. The bytes are valid only during the call. Must not throw. */
  onBytes: (bytes: Uint8Array) => void = () => {};
  /** Called once, when the connection has ended, but not because of `close`. Must not throw. */
  onEnd: (fault: Fault) => void = () => {};
  readonly #conn: Conn;
  readonly #host: string;
  readonly #clock: Clock;
  #tls: TlsLayer | undefined;
  #isOver = false;
  /** Set while `close` waits for the server's end. */
  #onServerEnd: (() => void) | undefined;
  /** The write under way, and those that wait for it. */
  #writing: Promise<void> = Promise.resolve();
  /** Set once a write has failed. */
  #cancelLast: (() => void) | undefined;

  /** Owns `conn`. `host` is the name that a certificate must have. */
  constructor(conn: Conn, host: string, clock: Clock) {
    this.#conn = conn;
    this.#host = host;
    this.#clock = clock;
    this.#read();
  }

  /** Connects. Rejects with a `Fault`, also if the signal is aborted. */
  static async open(address: Address, limits: DialLimits): Promise<Link> {
    const conn = await dial(address, limits);
    if (conn === undefined) throw new Fault("connectFailed", "cancelled");
    if (conn instanceof Fault) throw conn;
    const host = address.kind === "tcp" ? address.host : "localhost";
    return new Link(denoConn(tune(conn)), host, limits.clock);
  }

  /** True after `close` and after the connection has ended. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** True if what is sent is encrypted. */
  get isSecure(): boolean {
    return this.#tls !== undefined;
  }

  /**
   * Sends bytes after those of earlier calls. If that fails, the connection ends (`onEnd`), after what the server has
   * said before.
   */
  send(bytes: Uint8Array): void {
    if (this.#tls === undefined) this.#write(bytes);
    else this.#tls.send(bytes);
  }

  /**
   * Starts TLS. Everything that is sent and received from now on belongs to it. Rejects with `LoginRefused` if the
   * handshake fails, as the server takes part in it, and with another `Fault` if the connection ends.
   */
  async secure(settings: TlsSettings): Promise<void> {
    const { TlsLayer } = await import("./tls_layer.ts");
    if (this.#isOver) throw ended();
    this.#tls = new TlsLayer(settings, this.#host, {
      send: (bytes) => this.#write(bytes),
      arrived: (bytes) => this.onBytes(bytes),
      ended: (fault) => this.#end(fault),
    });
    try {
      await this.#tls.ready;
    } catch (error) {
      if (!(error instanceof Fault) || error.fault !== "tlsFailed") throw error;
      throw new LoginRefused(error.message);
    }
  }

  /**
   * Ends the connection in order: what was sent before still reaches the server, and with TLS it is told that
   * nothing more comes, since some servers log a connection that just breaks off. Resolves when it is closed, a
   * second later at most. May be repeated.
   */
  async close(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    const over = Promise.withResolvers<void>();
    const cancelTimer = this.#clock.after(CLOSE_MS, over.resolve);
    this.#onServerEnd = over.resolve;
    if (this.#tls === undefined) this.#writing.then(over.resolve);
    else this.#tls.end();
    await over.promise;
    cancelTimer();
    this.abort();
  }

  /** Ends the connection without waiting for anything. */
  abort(): void {
    this.#isOver = true;
    this.#cancelLast?.();
    this.#tls?.destroy();
    this.#conn.close();
  }

  async #read(): Promise<void> {
    const buffer = new Uint8Array(CHUNK_BYTES);
    for (;;) {
      let count: number | null;
      try {
        count = await this.#conn.read(buffer);
      } catch (error) {
        this.#onServerEnd?.();
        return this.#end(new Fault("upstreamReset", undefined, { cause: error }));
      }
      if (count === null) {
        this.#onServerEnd?.();
        if (this.#tls === undefined) return this.#end(ended());
        return this.#tls.receivedEnd();
      }
      // TLS keeps the bytes until it has decrypted them.
      if (this.#tls !== undefined) this.#tls.receive(buffer.slice(0, count));
      else this.onBytes(buffer.subarray(0, count));
    }
  }

  #write(bytes: Uint8Array): void {
    this.#writing = this.#writing.then(async () => {
      try {
        for (let at = 0; at < bytes.length;) at += await this.#conn.write(bytes.subarray(at));
      } catch (error) {
        if (this.#isOver || this.#cancelLast !== undefined) return;
        // A server that refuses each connection says why and closes it, perhaps before anything was sent: its words may
        // not be read yet, and the end of reading follows them.
        const fault = new Fault("upstreamReset", undefined, { cause: error });
        this.#cancelLast = this.#clock.after(LAST_WORDS_MS, () => this.#end(fault));
      }
    });
  }

  #end(fault: Fault): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelLast?.();
    this.#conn.close();
    this.#tls?.destroy();
    this.onEnd(fault);
  }
}

/** The server has closed the connection. */
export function ended(): Fault {
  return new Fault("responseCut", "the server ended the connection");
}
