/**
 * Serves HTTP/1.1 on any `Conn`: each request becomes an `Exchange`, which a handler answers. Knows nothing
 * of listeners. What happens on one connection is in `server_connection.ts`; what all connections share is
 * here: a limit on their number, and the drain.
 *
 * At the limit, idle connections are closed to make room, the longest idle first, and after them those that
 * have taken long over the head of a request. If all connections are busy, a few more are let in: requests for
 * an endpoint of our own are answered on them, all other requests wait for a place, and get 503 when further
 * connections need the place in which they wait.
 */
import type { Fault } from "../base/fault.ts";
import { LimitWatch } from "../base/limit_watch.ts";
import { Slab } from "../base/slab.ts";
import type { Semaphore } from "../base/semaphore.ts";
import type { ClientLimit } from "../net/client_limit.ts";
import type { Conn } from "../net/conn.ts";
import type { CoarseTimed, Deadlines } from "../net/deadlines.ts";
import type { BodyRules } from "./body.ts";
import type { BufferedConnOptions } from "./buffered_conn.ts";
import { giveWay, isIdle, isSlow } from "./closable.ts";
import type { OtherProtocol, Placed } from "./http2_preface.ts";
import type { Exchange } from "./exchange.ts";
import { reserveOf } from "./reserve.ts";
import { SERVER_LIMITS, type ServerLimits } from "./server_limits.ts";
import { ServerConnection } from "./server_connection.ts";
import type { Task } from "./task.ts";

/**
 * Answers one exchange; what it returns ends when that is done. If it fails with a Fault before the response has
 * begun, the server sends the status of that fault; after that, it cuts the connection. `serveFetch` of
 * `fetch_app.ts` makes a handler of a fetch-style app.
 */
export type Handler = (exchange: Exchange) => Promise<void> | Task;

/** What a server needs, and who learns of its trouble. */
export interface ServerOptions {
  readonly deadlines: Deadlines;
  readonly handler: Handler;
  /** Where it is missing, `SERVER_LIMITS` holds. */
  readonly limits?: Partial<ServerLimits>;
  /** True for the path of a request that is answered although the limit is reached. */
  readonly isReserved?: (path: string) => boolean;
  /** Called for each request or connection that failed. Must not throw. */
  readonly onFault?: (fault: Fault, peer: string) => void;
  /** Called for all other errors thrown in an exchange; only that exchange ends. Must not throw. */
  readonly onError?: (error: unknown, peer: string) => void;
  /** Called when the limit is reached, as often as `LimitWatch` allows. Must not throw. */
  readonly onFull?: (max: number) => void;
  /** Limits the connections of this server and of those in other threads; `connectionsMax` does if it is missing. */
  readonly semaphore?: Semaphore;
  /** How many connections one client may have; no limit where it is missing. */
  readonly clientLimit?: ClientLimit;
  /** Connections of the same clients that are served elsewhere, and count as well. */
  readonly others?: {
    readonly count: () => number;
    /** Closes the one that has been idle for longest, of those beyond the limit or of the rest; false if there is none. */
    readonly giveWay: (isOverLimit?: boolean) => boolean;
  };
  /**
   * Serves connections that begin with the preface of HTTP/2, which `conn` gives first. They have their places here.
   * Where it is missing, such a client is answered as one with a version that is not known.
   */
  readonly http2?: OtherProtocol;
}

/** A request that waits for a place gets 503 when further connections need its own, but not before this … */
const WAIT_MS = 1_000;
/** … and always after this. */
const WAIT_MS_MAX = 30_000;
/** Connections that are offered to another process at one time. */
const PASSED_AT_ONCE = 16;

interface WaitingRequest {
  readonly since: number;
  readonly end: (hasPlace: boolean) => void;
}

/** The connections of one server in one thread. */
export class Server implements CoarseTimed {
  place = -1;
  readonly limits: ServerLimits;
  readonly options: ServerOptions;
  readonly connOptions: BufferedConnOptions;
  /** How the bodies of requests are read. */
  readonly bodyRules: BodyRules;
  #reserve: number;
  readonly #connections = new Slab<ServerConnection>();
  readonly #changes = new Set<() => void>();
  /** Beyond the limit, with a request that needs a place. */
  readonly #waiting: WaitingRequest[] = [];
  /** Connections beyond the limit, waiting or not. */
  #overLimit = 0;
  /**
   * Connections that may be closed for others, as of the last search: first those with an incomplete head, then
   * the idle ones, each with the oldest last.
   */
  #closable: ServerConnection[] = [];
  #lookedAt = -1;
  readonly #full: LimitWatch;
  #draining = false;
  /** Connections so far. */
  accepted = 0;

  constructor(options: ServerOptions) {
    this.options = options;
    this.limits = { ...SERVER_LIMITS, ...options.limits };
    this.connOptions = {
      deadlines: options.deadlines,
      writeMs: this.limits.writeMs,
      faults: { reset: "clientReset", slowWrite: "slowReader" },
    };
    this.bodyRules = {
      side: "request",
      waitMs: this.limits.bodyMs,
      rateMin: this.limits.bodyRateMin,
      lateFault: "requestTimeout",
      cutFault: "clientReset",
    };
    this.#reserve = reserveOf(this.limits.connectionsMax);
    this.#full = new LimitWatch(this.limits.connectionsMax, (max) => options.onFull?.(max));
  }

  /** Other limits are in force from now on, also for the connections that there are; none of them is closed. */
  setLimits(limits: Partial<ServerLimits>): void {
    // Connections hold these objects.
    Object.assign(this.limits, limits);
    const { writeMs, bodyMs, bodyRateMin, connectionsMax } = this.limits;
    Object.assign(this.connOptions, { writeMs });
    Object.assign(this.bodyRules, { waitMs: bodyMs, rateMin: bodyRateMin });
    this.#reserve = reserveOf(connectionsMax);
    this.#full.setMax(connectionsMax);
    this.permitsChanged();
  }

  /** Connections right now. */
  get connections(): number {
    return this.#connections.size;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** True while no connection may be kept alive: in a drain, or while a request waits for a place. */
  get keepsNone(): boolean {
    return this.#draining || this.isWanted();
  }

  /** True while a request waits for a place, here or in another thread. It may be passed on without the server. */
  readonly isWanted = (): boolean =>
    this.#waiting.length > 0 || this.options.semaphore?.isWanted === true;

  /** True if one more connection may be accepted. */
  get hasRoom(): boolean {
    return this.#regular + this.#overLimit < this.limits.connectionsMax + this.#reserve;
  }

  /** Resolves as soon as one more connection may be accepted. */
  async room(): Promise<void> {
    while (!this.hasRoom) await this.#change();
  }

  /** Serves one connection until it ends. Owns `conn` from here. Never rejects. */
  serve(conn: Conn, peer: string): Promise<void> {
    const { clientLimit } = this.options;
    if (clientLimit === undefined) return this.#serve(conn, peer);
    const place = clientLimit.enter(peer);
    if (place !== undefined) {
      return this.#serve(conn, peer).finally(() => clientLimit.leave(place));
    }
    this.accepted++;
    conn.close();
    return Promise.resolve();
  }

  #serve(conn: Conn, peer: string): Promise<void> {
    this.accepted++;
    const connection = new ServerConnection(conn, peer, this);
    this.#enter(connection);
    this.#connections.add(connection);
    return connection.run().then(() => this.#leave(connection), (error) => {
      connection.cut();
      this.options.onError?.(error, peer);
      this.#leave(connection);
    });
  }

  /**
   * True if there is a place for one more connection, if need be because an idle one was closed. A place that
   * is shared with other threads is taken then.
   */
  makeRoom(): boolean {
    const { options: { semaphore, others, deadlines }, limits: { connectionsMax } } = this;
    const hasPlace = this.#takePlace();
    const count = hasPlace ? Math.min(this.#regular, connectionsMax - 1) : connectionsMax;
    this.#full.isReached(count, deadlines.now);
    if (hasPlace) return true;
    if (this.giveWay() || others?.giveWay() === true) return semaphore?.tryAcquire() ?? true;
    semaphore?.askForRelease();
    return false;
  }

  #takePlace(): boolean {
    return this.options.semaphore?.tryAcquire() ?? this.#regular < this.limits.connectionsMax;
  }

  /** Must be called when permits may have become free in other threads, or are wanted there. */
  permitsChanged(): void {
    while (this.#waiting.length > 0 && this.makeRoom()) this.#waiting[0]!.end(true);
    if (this.#waiting.length === 0 && this.options.semaphore?.isWanted === true) this.giveWay();
    this.changed();
  }

  /**
   * Closes the connection that has been idle for longest, else the one that has taken longest over a head; false
   * if there is neither.
   */
  giveWay(): boolean {
    const { now } = this.options.deadlines;
    if (this.#closable.length === 0 && this.#lookedAt !== now) this.#lookForClosable(now);
    for (let one = this.#closable.pop(); one !== undefined; one = this.#closable.pop()) {
      if (!giveWay(one, now)) continue;
      this.#remove(one);
      return true;
    }
    return false;
  }

  /**
   * Waits for a place for a connection beyond the limit that has a request; false if the request must be
   * refused. `onGone` receives the function to call if the client leaves meanwhile.
   */
  waitForPlace(connection: Placed, onGone: (leave: () => void) => void): Promise<boolean> {
    return new Promise((resolve) => {
      const waiting: WaitingRequest = {
        since: this.options.deadlines.now,
        end: (hasPlace) => {
          const at = this.#waiting.indexOf(waiting);
          if (at < 0) return;
          this.#waiting.splice(at, 1);
          if (hasPlace) this.#removeOverLimit(connection);
          resolve(hasPlace);
        },
      };
      this.#waiting.push(waiting);
      onGone(() => waiting.end(false));
      if (this.#draining) this.#end(waiting);
      else if (this.makeRoom()) this.#waiting[0]!.end(true);
    });
  }

  /** Must be called when there may be room again. */
  changed(): void {
    for (const resolve of this.#changes) resolve();
    this.#changes.clear();
  }

  /** A connection that counts among the `others` has begun. Without a place, its requests wait by `waitForPlace`. */
  otherEntered(): Placed {
    const other = { isOverLimit: false };
    this.#enter(other);
    return other;
  }

  /** It has ended. */
  otherLeft(other: Placed): void {
    if (!other.isOverLimit) this.options.semaphore?.release();
    this.#removeOverLimit(other);
    this.permitsChanged();
  }

  tick(now: number): void {
    const { others } = this.options;
    while (this.#waiting.length > 0 && this.makeRoom()) this.#waiting[0]!.end(true);
    // Those of `others` leave their places a moment later, so each request that waits needs one.
    for (let left = this.#waiting.length; left > 0 && others?.giveWay() === true; left--);
    const isCrowded = !this.hasRoom;
    for (const { since, end } of this.#waiting.slice()) {
      const hadMs = now - since;
      if (hadMs >= WAIT_MS_MAX || (isCrowded && hadMs >= WAIT_MS)) end(false);
    }
    if (!isCrowded) return;
    while (others?.giveWay(true) === true);
    for (const connection of this.#connections.all()) {
      if (connection.isOverLimit && giveWay(connection, now)) this.#remove(connection);
    }
  }

  /**
   * Closes idle connections after a moment, in which their clients may still send a request, and the others
   * after their response. Aborting `now` cuts the rest. Resolves when all have ended, with how many were cut.
   */
  async drain(now: AbortSignal): Promise<number> {
    this.#draining = true;
    for (const waiting of this.#waiting.slice()) this.#end(waiting);
    for (const connection of this.#connections.all()) connection.lastCall();
    let cut = 0;
    const cutAll = () => {
      for (const connection of this.#connections.all()) {
        if (connection.isHandedOver || connection.giveWay()) continue;
        cut++;
        connection.cut();
      }
    };
    if (now.aborted) cutAll();
    now.addEventListener("abort", cutAll, { once: true });
    while (this.#connections.size > 0) await this.#change();
    now.removeEventListener("abort", cutAll);
    return cut;
  }

  /**
   * Offers the connections that wait for a request to `pass`, with their descriptors and clients, a few at a time. One
   * that another process goes on with is closed here only. The others stay as they are.
   */
  async passIdle(pass: (descriptor: number, peer: string) => Promise<boolean>): Promise<void> {
    const left = this.#connections.all();
    const passOne = async () => {
      for (let one = left.pop(); one !== undefined; one = left.pop()) {
        const io = one.idleIo;
        const descriptor = io?.freeze() ?? -1;
        if (descriptor === -1) continue;
        if (await pass(descriptor, one.peer)) io!.close();
        else io!.thaw();
      }
    };
    await Promise.all(Array.from({ length: PASSED_AT_ONCE }, passOne));
  }

  /** Ends a wait because the server drains, whether or not there is a place. */
  #end(waiting: WaitingRequest): void {
    this.options.semaphore?.acquireAnyway();
    waiting.end(true);
  }

  /** Connections that count against the limit. */
  get #regular(): number {
    const { semaphore, others } = this.options;
    return semaphore?.acquired ?? this.#connections.size - this.#overLimit + (others?.count() ?? 0);
  }

  /** Gives a new connection a place if there is one; else it is beyond the limit. */
  #enter(connection: Placed): void {
    if (this.#draining) return this.options.semaphore?.acquireAnyway();
    if (this.#waiting.length === 0 && this.makeRoom()) return;
    connection.isOverLimit = true;
    if (this.#overLimit++ === 0) this.options.deadlines.add(this);
  }

  #removeOverLimit(connection: Placed): void {
    if (!connection.isOverLimit) return;
    connection.isOverLimit = false;
    if (--this.#overLimit === 0) this.options.deadlines.delete(this);
  }

  /** Frees the place of a connection and gives it to the request that has waited longest. */
  #leave(connection: ServerConnection): void {
    if (!this.#remove(connection)) return;
    this.#full.noteCount(this.#regular);
    if (this.#waiting.length > 0 && this.#takePlace()) this.#waiting[0]!.end(true);
  }

  #remove(connection: ServerConnection): boolean {
    if (!this.#connections.delete(connection)) return false;
    if (!connection.isOverLimit) this.options.semaphore?.release();
    this.#removeOverLimit(connection);
    this.changed();
    return true;
  }

  /** At most once a tick, so that at the limit not every new connection costs a search of all. */
  #lookForClosable(now: number): void {
    this.#lookedAt = now;
    const all = this.#connections.all().filter((one) => !one.isOverLimit);
    const slow = all.filter((one) => isSlow(one, now)).sort((a, b) => b.headSince - a.headSince);
    const idle = all.filter((one) => isIdle(one, now)).sort((a, b) => b.idleSince - a.idleSince);
    this.#closable = [...slow, ...idle];
  }

  /** Resolves when a connection has ended. */
  #change(): Promise<void> {
    return new Promise((resolve) => this.#changes.add(resolve));
  }
}
