/**
 * A connection to a server on which nothing is said, so that the end of the server is seen when it ends, where nobody
 * may log in. Only for servers that neither log nor count such a connection.
 */
import type { Clock } from "../base/clock.ts";
import type { Fault } from "../base/fault.ts";

/** Servers end silent connections after some time, PostgreSQL after 60 s (`authentication_timeout`); milliseconds. */
const RENEW_MS = 20_000;
/** A server that has ended one, and lives, is not watched so for this long, in milliseconds. */
const PAUSE_MS = 60_000;

/** A connection that was opened for this. */
export interface Silent {
  onEnd: (fault: Fault) => void;
  readonly isOver: boolean;
  abort(): void;
}

/** Keeps one such connection. */
export class SilentWatch {
  readonly #connect: (signal: AbortSignal) => Promise<Silent>;
  readonly #clock: Clock;
  readonly #onEnd: (reason: string) => void;
  #silent: Silent | undefined;
  /** When another one is due. */
  #renewAt = -Infinity;
  #isClosed = false;

  /** `onEnd` is called when the server has ended the connection. */
  constructor(
    connect: (signal: AbortSignal) => Promise<Silent>,
    clock: Clock,
    onEnd: (reason: string) => void,
  ) {
    this.#connect = connect;
    this.#clock = clock;
    this.#onEnd = onEnd;
  }

  /** The server is alive: opens a connection if there is none, or in the place of an old one. Never rejects. */
  async keep(signal: AbortSignal): Promise<void> {
    if (this.#isClosed || this.#clock.now() < this.#renewAt) return;
    const next = await this.#connect(signal).catch(() => undefined);
    // Why not is what the next check finds out.
    if (next === undefined) return;
    if (this.#isClosed || next.isOver) return next.abort();
    const before = this.#silent;
    this.#silent = next;
    this.#renewAt = this.#clock.now() + RENEW_MS;
    next.onEnd = (fault) => {
      if (this.#silent !== next) return;
      this.#silent = undefined;
      this.#renewAt = this.#clock.now() + PAUSE_MS;
      this.#onEnd(fault.message);
    };
    before?.abort();
  }

  /** Ends the connection. A later `keep` opens none. */
  close(): void {
    this.#isClosed = true;
    const before = this.#silent;
    this.#silent = undefined;
    before?.abort();
  }
}
