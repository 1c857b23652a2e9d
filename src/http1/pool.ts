/**
 * Kept-alive connections to one upstream. The connection used last is used next, so that the others expire
 * when traffic is low. The caller can see whether a connection is new or reused, because only the caller
 * knows which requests may be sent twice.
 *
 * An upstream closes idle connections after some time, and a request that is sent at that moment is lost. So
 * we close a connection before its upstream does, as far as the upstream has announced or shown its time, and
 * send requests that may not be sent twice only on connections that were idle for a moment at most.
 */
import { type ConnectionOwner, UpstreamConn, type UpstreamConnOptions } from "./upstream_conn.ts";
import type { Dial } from "../net/conn.ts";
import type { Deadlines } from "../net/deadlines.ts";

/** How connections to one upstream are made and kept, with the defaults. */
export interface PoolOptions {
  readonly dial: Dial;
  readonly deadlines: Deadlines;
  /** Idle connections kept. 256. */
  readonly idleMax?: number;
  /** How long one is kept idle, in milliseconds. 30 s. */
  readonly idleMs?: number;
  /** How old one may get, in milliseconds; 0 is no limit. 0. */
  readonly ageMs?: number;
  /** Without a byte of a response body while one is awaited, in milliseconds; 0 is never. 30 s. */
  readonly bodyMs?: number;
  /** Without a byte taken by the upstream, in milliseconds; 0 is never. 30 s. */
  readonly writeMs?: number;
  /** Size of a response head. 64 KiB. */
  readonly headBytesMax?: number;
  /** Field lines in a response head. 128. */
  readonly fieldsMax?: number;
}

/** A connection that was idle for longer is not used for requests that may not be sent twice. */
const UNSAFE_IDLE_MS_MAX = 500;
/**
 * If a connection ends after a shorter idle time, in milliseconds, the reason may be a restart, so the idle time of
 * all connections is not shortened. For requests that may not be sent twice it counts nevertheless.
 */
const OBSERVED_IDLE_MS_MIN = 20;
/** How long we remember after which idle time an upstream has closed connections. */
const OBSERVED_FOR_MS = 60_000;

/** The connections to one upstream, in one thread. */
export class Pool implements ConnectionOwner {
  readonly #dial: Dial;
  readonly #client: UpstreamConnOptions;
  readonly #idleMax: number;
  readonly #idleMs: number;
  readonly #ageMs: number;
  readonly #idle: UpstreamConn[] = [];
  readonly #deadlines: Deadlines;
  /** The shortest idle time after which the upstream has closed a connection, and until when that counts. */
  #observedIdleMs = Infinity;
  /** The same without a minimum, for requests that may not be sent twice. */
  #observedUnsafeIdleMs = Infinity;
  #observedUntil = 0;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#dial = options.dial;
    this.#deadlines = options.deadlines;
    this.#idleMax = options.idleMax ?? 256;
    this.#idleMs = options.idleMs ?? 30_000;
    this.#ageMs = options.ageMs || Infinity;
    this.#client = {
      deadlines: options.deadlines,
      bodyRules: {
        side: "response",
        waitMs: options.bodyMs ?? 30_000,
        rateMin: 0,
        lateFault: "responseTimeout",
        cutFault: "responseCut",
      },
      writeMs: options.writeMs ?? 30_000,
      limits: {
        headBytesMax: options.headBytesMax ?? 64 * 1024,
        fieldsMax: options.fieldsMax ?? 128,
      },
      owner: this,
    };
  }

  /** Connections waiting for a request. */
  get idle(): number {
    return this.#idle.length;
  }

  /**
   * The idle connection used last, if there is one; the upstream may just have closed it. A request that may
   * not be sent twice (`isRepeatable` is false) gets none that was idle for more than a moment.
   */
  take(isRepeatable = true): UpstreamConn | undefined {
    for (let connection = this.#idle.at(-1); connection; connection = this.#idle.at(-1)) {
      if (!isRepeatable && connection.idleForMs > this.#unsafeMs) return undefined;
      this.#idle.pop();
      if (connection.wake(isRepeatable)) return connection;
      connection.close();
    }
    return undefined;
  }

  /** True if `take` can ask the system whether the upstream has just closed the connection that it would give. */
  get canLook(): boolean {
    return this.#idle.at(-1)?.canLook ?? true;
  }

  get #unsafeMs(): number {
    this.#forgetObserved();
    return Math.min(UNSAFE_IDLE_MS_MAX, this.#observedUnsafeIdleMs / 2);
  }

  get #idleTimeoutMs(): number {
    this.#forgetObserved();
    return this.#observedIdleMs;
  }

  #forgetObserved(): void {
    if (this.#observedUnsafeIdleMs === Infinity || this.#deadlines.now <= this.#observedUntil) {
      return;
    }
    this.#observedIdleMs = this.#observedUnsafeIdleMs = Infinity;
  }

  /**
   * A fresh connection. Rejects with a Fault that proves that nothing was sent. `onConnecting`: as for `Dial`.
   */
  async connect(signal?: AbortSignal, onConnecting?: () => void): Promise<UpstreamConn> {
    return new UpstreamConn(await this.#dial(signal, onConnecting), this.#client);
  }

  /** Closes the idle connections; those in use are closed when they are released. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#idle.splice(0)) connection.close();
  }

  keep(connection: UpstreamConn): boolean {
    if (this.#closed || this.#idle.length >= this.#idleMax) return false;
    const leftMs = this.#ageMs - (this.#deadlines.now - connection.since);
    if (leftMs <= 0) return false;
    this.#idle.push(connection);
    connection.startIdle(Math.min(this.#idleMs, this.#idleTimeoutMs * 0.75, leftMs));
    return true;
  }

  forget(connection: UpstreamConn): void {
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  idleEnded(idleForMs: number): void {
    this.#forgetObserved();
    this.#observedUnsafeIdleMs = Math.min(this.#observedUnsafeIdleMs, idleForMs);
    if (idleForMs >= OBSERVED_IDLE_MS_MIN) {
      this.#observedIdleMs = Math.min(this.#observedIdleMs, idleForMs);
    }
    this.#observedUntil = this.#deadlines.in(OBSERVED_FOR_MS);
  }
}
