/**
 * Serves connections that begin with a PROXY protocol header: reads that, and passes the connection on with the
 * address that it names. One without it is closed.
 */
import type { Clock } from "../base/clock.ts";
import { LogLimiter } from "../base/log_limiter.ts";
import type { Conn } from "./conn.ts";
import { type ProxyVersions, readProxyHeader } from "./proxy_protocol.ts";
import type { Acceptee } from "./transport.ts";

/** Connections that may be without their header at one time, at most. */
const READING_MAX = 1_024;
/** Clients without a header are reported at most once in this time, in milliseconds. */
const LOG_INTERVAL_MS = 10_000;

/** Called with clients that sent no header: the last one, and the `count` of them since the last call. */
export type OnMissing = (peer: string, count: number) => void;

/** Counts the connections that were closed because they lacked the header. */
export class MissingHeaders {
  readonly #now: () => number;
  readonly #tell: OnMissing;
  readonly #said = new LogLimiter(LOG_INTERVAL_MS);
  #unsaid = 0;
  /** How many there were in all. */
  count = 0;

  /** `tell` is called once in `LOG_INTERVAL_MS` at most. */
  constructor(now: () => number, tell: OnMissing) {
    this.#now = now;
    this.#tell = tell;
  }

  /** Counts one; `peer` is who has connected. */
  add(peer: string): void {
    this.count++;
    this.#unsaid++;
    if (!this.#said.allow("", this.#now())) return;
    this.#tell(peer, this.#unsaid);
    this.#unsaid = 0;
  }
}

/** Reads the headers of the clients of one listener, for `inner`. */
export class AcceptProxy implements Acceptee {
  readonly #inner: Acceptee;
  readonly #versions: ProxyVersions;
  readonly #clock: Clock;
  readonly #missing: MissingHeaders;
  readonly #reading = new Set<Conn>();
  readonly #readingMax: number;
  #wake = () => {};

  /** `connectionsMax`: the most connections of `inner`; at most as many, but not over 1024, may lack their header. */
  constructor(
    inner: Acceptee,
    versions: ProxyVersions,
    clock: Clock,
    missing: MissingHeaders,
    connectionsMax: number,
  ) {
    this.#readingMax = Math.min(READING_MAX, connectionsMax);
    this.#inner = inner;
    this.#versions = versions;
    this.#clock = clock;
    this.#missing = missing;
  }

  get hasRoom(): boolean {
    return this.#reading.size < this.#readingMax && this.#inner.hasRoom;
  }

  async room(): Promise<void> {
    while (this.#reading.size >= this.#readingMax) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    await this.#inner.room();
  }

  async serve(conn: Conn, peer: string): Promise<void> {
    this.#reading.add(conn);
    const header = await readProxyHeader(conn, this.#versions, this.#clock);
    this.#reading.delete(conn);
    this.#wake();
    if (header === undefined) return this.#missing.add(peer);
    const client = header.addresses?.client;
    await this.#inner.serve(conn, client?.kind === "tcp" ? client.host : peer);
  }

  /** Closes the connections that are still without a header. */
  close(): void {
    for (const conn of this.#reading) conn.close();
  }
}
