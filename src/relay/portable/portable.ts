/**
 * The relay engine that runs wherever Deno does, on `Deno.listen`, `Deno.connect` and `pipeTo`. This file
 * carries out the orders and keeps the counters; `port.ts` accepts, `session.ts` serves one client,
 * `streams.ts` moves the bytes. A periodic sweep finds idle sessions, so there is no timer per message.
 */
import { whenAborted, withDeadline } from "../../base/deadline.ts";
import { Histogram, HOLD_BOUNDS } from "../../base/histogram.ts";
import { LimitWatch } from "../../base/limit_watch.ts";
import { Slab } from "../../base/slab.ts";
import { LogLimiter } from "../../base/log_limiter.ts";
import { DrainRunner } from "../../failover/drain_runner.ts";
import { type DrainOrder, QUIET_MS, type Route } from "../../failover/ports.ts";
import type { Upstream } from "../../failover/upstream.ts";
import type { Relay, RelayContext, RelayCounters, RelaySettings } from "../engine.ts";
import { ClientLimit } from "../../net/client_limit.ts";
import { MissingHeaders } from "../../net/accept_proxy.ts";
import type { Conn } from "../../net/conn.ts";
import {
  type ProxiedAddresses,
  type ProxyVersions,
  readProxyHeader,
} from "../../net/proxy_protocol.ts";
import { closeConn, denoConn, peerOf } from "../../net/deno/conn.ts";
import { PortableListener } from "./port.ts";
import { PortableSession, type PortableSessionOwner, type Tally } from "./session.ts";

/** The interval of the sweep for idle sessions: the longest, and the shortest. */
const SWEEP_MAX_MS = 1_000;
const SWEEP_MIN_MS = 10;
/** The same failure is reported at most once in this time. */
const LOG_INTERVAL_MS = 1_000;
/** The same for what this machine is short of. */
const SHORTAGE_INTERVAL_MS = 10_000;

type PortableState = "closed" | "open" | "held" | "stopped";

class PortableRelay implements Relay, PortableSessionOwner {
  readonly engine = "stream";
  settings: RelaySettings;
  readonly context: RelayContext;
  readonly tally: Tally = {
    accepted: 0,
    active: 0,
    held: 0,
    released: 0,
    lost: 0,
    abandoned: 0,
    cut: 0,
    clientSentBytes: 0,
    clientReceivedBytes: 0,
    longestHoldMs: 0,
    overLimit: 0,
    unannounced: 0,
  };
  readonly waits = new Histogram(HOLD_BOUNDS);
  route: Route | undefined;
  #starved = 0;
  #state: PortableState = "closed";
  readonly #port: PortableListener;
  readonly #sessions = new Slab<PortableSession>();
  readonly #drains: DrainRunner<PortableSession>;
  readonly #connections: LimitWatch;
  readonly #held: LimitWatch;
  readonly #clientLimit: ClientLimit | undefined;
  /** Connections whose PROXY protocol header has not come yet. */
  readonly #reading = new Set<Conn>();
  readonly #missing: MissingHeaders;
  readonly #failures = new LogLimiter(LOG_INTERVAL_MS);
  readonly #shortages = new LogLimiter(SHORTAGE_INTERVAL_MS);
  readonly #finished = Promise.withResolvers<void>();
  #stopping: Promise<number> | undefined;
  #cancelSweep = () => {};
  #onEmpty = () => {};

  constructor(settings: RelaySettings, context: RelayContext) {
    this.settings = settings;
    this.context = context;
    this.#clientLimit = clientLimitOf(settings, context);
    this.#missing = new MissingHeaders(
      () => context.clock.now(),
      (client, count) => context.publish({ type: "proxyHeader.missing", client, count }),
    );
    const watchLimit = (limit: string, max: number) =>
      new LimitWatch(max, (max) => context.publish({ type: "limit.reached", limit, max }));
    this.#connections = watchLimit("connections", settings.connectionsMax);
    this.#held = watchLimit("held", settings.heldMax);
    this.#port = new PortableListener(
      settings.bind,
      {
        hasRoom: () => this.#hasRoom(),
        taken: (conn) => this.#take(conn),
      },
      context,
      { socketMode: settings.socketMode, received: context.received },
    );
    this.#drains = new DrainRunner({
      concerned: (order) => this.#sessions.all().filter((session) => isConcerned(session, order)),
      hasMoved: ({ movedAt }, ms) => context.clock.now() - movedAt < ms,
      cut: (session) => session.end(),
      after: (ms, run) => context.clock.after(ms, run),
      countCut: (count) => this.tally.cut += count,
      publish: context.publish,
    });
    if (settings.idleTimeoutMs > 0) this.#sweepLater();
  }

  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  get turningAway(): boolean {
    return this.#state === "closed" || this.#state === "stopped";
  }

  starve(reason: string, retryInMs: number): void {
    this.#starved++;
    if (this.#shortages.allow("", this.context.clock.now())) this.#port.stall(reason, retryInMs);
  }

  fed(): void {
    if (--this.#starved === 0) this.#port.recheck();
  }

  configure(settings: RelaySettings): Promise<void> {
    this.settings = settings;
    this.#connections.setMax(settings.connectionsMax);
    this.#held.setMax(settings.heldMax);
    if (settings.clientTables !== undefined) this.#clientLimit?.setMax(settings.clientTables.max);
    this.#cancelSweep();
    if (settings.idleTimeoutMs > 0) this.#sweepLater();
    this.#port.recheck(); // there may be more room
    return Promise.resolve();
  }

  counters(): RelayCounters {
    return { ...this.tally };
  }

  holdTimes(): Histogram {
    return this.waits;
  }

  async open(upstream: Upstream, epoch: number): Promise<void> {
    if (this.#state === "stopped") return;
    this.#state = "open";
    this.#reroute({ upstream, epoch });
    await this.#port.open();
  }

  hold(): Promise<void> {
    if (this.#state === "open") {
      this.#state = "held";
      this.#reroute(undefined);
    }
    return Promise.resolve();
  }

  async refuse(): Promise<void> {
    if (this.#state === "stopped") return;
    this.#state = "closed";
    this.route = undefined;
    for (const session of this.#sessions.all()) {
      if (!session.relayed) session.turnAway();
    }
    await this.#port.close();
  }

  confirm(upstream: string): Promise<void> {
    for (const session of this.#sessions.all()) session.confirm(upstream);
    return Promise.resolve();
  }

  drain(order: DrainOrder): Promise<void> {
    this.#drains.begin(order);
    return Promise.resolve();
  }

  spare(upstream: string): Promise<void> {
    this.#drains.spare(upstream);
    return Promise.resolve();
  }

  busy(upstream: string, throughEpoch: number): Promise<number> {
    const movedSince = this.context.clock.now() - QUIET_MS;
    const isBusy = (session: PortableSession) =>
      isConcerned(session, { upstream, throughEpoch }) && session.movedAt > movedSince;
    return Promise.resolve(this.#sessions.all().filter(isBusy).length);
  }

  stop(drainMs: number, now: AbortSignal): Promise<number> {
    this.#stopping ??= this.#stop(drainMs, now);
    return this.#stopping;
  }

  passed() {
    return this.#port.passed();
  }

  /** Sessions end here: their sockets are Deno's, which cannot be handed over. */
  leave(_passOn: unknown, drainMs: number, now: AbortSignal): Promise<number> {
    this.#stopping ??= this.#stop(drainMs, now, true);
    return this.#stopping;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0, AbortSignal.abort());
  }

  /** Reports a client that got no upstream, unless the same failure was reported a moment ago. */
  failed(upstream: string | undefined, client: string, reason: string): void {
    if (!this.#failures.allow(`${upstream} ${reason}`, this.context.clock.now())) return;
    const known = upstream === undefined ? {} : { upstream };
    this.context.publish({ type: "session.failed", ...known, client, reason });
  }

  #reroute(route: Route | undefined): void {
    this.route = route;
    for (const session of this.#sessions.all()) session.reroute();
    this.#port.recheck();
  }

  #hasRoom(): boolean {
    const now = this.context.clock.now();
    const clients = this.#sessions.size + this.#reading.size;
    if (this.#connections.isReached(clients, now)) return false;
    // Where no client may wait, there is no limit to reach: those that would have to wait are closed.
    const { heldMax } = this.settings;
    if (this.#starved > 0) return false;
    return heldMax === 0 || this.#state !== "held" || !this.#held.isReached(this.tally.held, now);
  }

  #take(conn: Deno.Conn): void {
    this.tally.accepted++;
    if (this.settings.acceptProxy === undefined) return this.#admit(conn, peerOf(conn));
    this.#readHeader(conn, this.settings.acceptProxy).catch((bug) => this.#finished.reject(bug));
  }

  /** Lets a client in when its PROXY protocol header has come. */
  async #readHeader(conn: Deno.Conn, versions: ProxyVersions): Promise<void> {
    const peer = peerOf(conn);
    // Closed by this object alone, which may be closed twice: by whoever stops the relay, and then by the reader.
    const reading = denoConn(conn);
    this.#reading.add(reading);
    const header = await readProxyHeader(reading, versions, this.context.clock);
    this.#reading.delete(reading);
    this.#port.recheck();
    if (header === undefined) {
      this.tally.unannounced++;
      this.#missing.add(peer);
    } else if (this.turningAway) {
      this.tally.lost++;
      closeConn(conn);
    } else {
      const { addresses } = header;
      const client = addresses?.client;
      this.#admit(conn, client?.kind === "tcp" ? client.host : peer, addresses);
    }
    if (this.#isEmpty) this.#onEmpty();
  }

  /** True while there is no client at all. */
  get #isEmpty(): boolean {
    return this.#sessions.size === 0 && this.#reading.size === 0;
  }

  #admit(conn: Deno.Conn, peer: string, addresses?: ProxiedAddresses): void {
    const place = this.#clientLimit?.enter(peer);
    if (this.#clientLimit !== undefined && place === undefined) {
      this.tally.overLimit++;
      return closeConn(conn);
    }
    const session = new PortableSession(conn, this, addresses);
    this.#sessions.add(session);
    session.run().catch((bug) => this.#finished.reject(bug)).finally(() => {
      this.#sessions.delete(session);
      if (place !== undefined) this.#clientLimit?.leave(place);
      this.#port.recheck();
      if (this.#isEmpty) this.#onEmpty();
    });
  }

  #sweepLater(): void {
    const { idleTimeoutMs } = this.settings;
    const everyMs = Math.max(SWEEP_MIN_MS, Math.min(SWEEP_MAX_MS, idleTimeoutMs / 4));
    this.#cancelSweep = this.context.clock.after(everyMs, () => {
      const movedBefore = this.context.clock.now() - idleTimeoutMs;
      for (const session of this.#sessions.all()) {
        if (session.joined !== undefined && session.movedAt <= movedBefore) session.end();
      }
      this.#sweepLater();
    });
  }

  /** `isLeft`: clients that have no upstream yet stay, as those who come later go to another process. */
  async #stop(drainMs: number, now: AbortSignal, isLeft = false): Promise<number> {
    if (!isLeft) {
      this.#state = "stopped";
      for (const conn of this.#reading) conn.close();
      for (const session of this.#sessions.all()) {
        if (session.joined === undefined) session.turnAway();
      }
    }
    await (isLeft ? this.#port.leave() : this.#port.close());
    const cut = await this.#emptied(drainMs, now);
    this.#state = "stopped";
    this.#cancelSweep();
    this.#drains.close();
    this.#finished.resolve();
    return cut;
  }

  /** Waits for the sessions to end, and ends those left when the time is up. */
  async #emptied(drainMs: number, now: AbortSignal): Promise<number> {
    if (this.#isEmpty) return 0;
    const empty = new Promise<void>((resolve) => this.#onEmpty = resolve);
    using deadline = withDeadline(now, drainMs, this.context.clock);
    await Promise.race([empty, whenAborted(deadline.signal)]);
    const left = this.#sessions.all().filter((session) => session.joined !== undefined).length;
    for (const session of this.#sessions.all()) session.end();
    for (const conn of this.#reading) conn.close();
    await empty;
    return left;
  }
}

function clientLimitOf(
  { clientTables }: RelaySettings,
  { clock, publish }: RelayContext,
): ClientLimit | undefined {
  if (clientTables === undefined) return undefined;
  return new ClientLimit(
    clientTables,
    0,
    () => clock.now(),
    (client, max, count) => publish({ type: "client.limited", client, max, count }),
  );
}

/** True for a session that relays bytes and that the order is about. */
function isConcerned(
  session: PortableSession,
  order: Pick<DrainOrder, "upstream" | "throughEpoch">,
): boolean {
  const { joined, relayed } = session;
  return relayed && joined !== undefined && joined.upstream.name === order.upstream &&
    joined.epoch <= order.throughEpoch;
}

/** Makes the portable engine, with its port closed. */
export function makePortableRelay(settings: RelaySettings, context: RelayContext): Relay {
  return new PortableRelay(settings, context);
}
