/**
 * The data plane of one loop: its sessions, and what each order does to them. Runs in a worker with the
 * real kernel, and in tests with a fake one; uses neither threads nor promises.
 */
import { Histogram, HOLD_BOUNDS } from "../../base/histogram.ts";
import { describe } from "../../base/describe.ts";
import { LogLimiter } from "../../base/log_limiter.ts";
import type { Event } from "../../events/events.ts";
import type { DrainRunner } from "../../failover/drain_runner.ts";
import { type DrainOrder, type DrainScope, QUIET_MS } from "../../failover/ports.ts";
import { errnoWords } from "../../linux/errno.ts";
import type { Loop } from "../../linux/loop.ts";
import { timed } from "../../linux/timer_wheel.ts";
import type { RelaySettings } from "../engine.ts";
import { FairShare } from "../../threads/fair_share.ts";
import type { Shard, ShardKind } from "../../threads/shard.ts";
import type { ProxiedAddresses } from "../../net/proxy_protocol.ts";
import { HeaderWaits } from "./header_wait.ts";
import { BUSY, holdCells } from "../../threads/memory.ts";
import type { Addresses, ShardOrder, ShardReport } from "../../threads/messages.ts";
import { SpliceAcceptor } from "./acceptor.ts";
import { headerFor, hostOf, missingHeaders, UNCOUNTED } from "./clients.ts";
import { counted, isConcerned, timesOf } from "./relay_parts.ts";
import { COUNT } from "./counters.ts";
import { Dialer } from "./dialer.ts";
import type { FlowDeps } from "./flow.ts";
import { Permits, type PermitsParts } from "./permits.ts";
import { Pools } from "./pools.ts";
import { SpliceSession } from "./session.ts";
import type { DialerOwner, SpliceSessionOwner } from "./owners.ts";
import { Passing, restore, type ToSpliceShard } from "./passing.ts";
import type { PassedSession } from "./parcel.ts";
import { ResolvedRoute } from "./resolved_route.ts";
import { spliceDrains } from "./splice_drains.ts";

const BUG_PAUSE_MS = 10_000;
/** Records kept for the next sessions. */
const RECORDS_KEPT = 1_024;

/** What a worker's relay gets from its thread. */
export interface WorkerRelayParts extends PermitsParts {
  readonly report: (report: ShardReport) => void;
  /** Leaves clients to other threads that have fewer; without it this one takes all. */
  readonly fairShare?: FairShare;
}

/** The relay as a shard; its limits are `connections` and `held` of `WorkerRelayParts`, in this order. */
export const relayShard: ShardKind = {
  hasPromises: false,
  make(settings, { loop, counters, limits: [connections, held], report }) {
    const fairShare = new FairShare(connections!);
    const parts = { loop, counters, connections: connections!, held: held!, report, fairShare };
    return new WorkerRelay(parts, settings as RelaySettings);
  },
};

/** The relay of one service in one thread. */
export class WorkerRelay implements Shard {
  readonly loop: Loop;
  readonly deps: FlowDeps;
  #settings: RelaySettings;
  readonly #report: (report: ShardReport) => void;
  readonly #sessions: SpliceSession[] = [];
  readonly #records: SpliceSession[] = [];
  readonly #dialer: Dialer;
  readonly #dialing: DialerOwner;
  readonly #acceptor: SpliceAcceptor;
  readonly #owner: SpliceSessionOwner;
  readonly #drains: DrainRunner<SpliceSession>;
  readonly #permits: Permits;
  /** Clients whose PROXY protocol header has not come yet; undefined if they have none. */
  readonly #headers: HeaderWaits | undefined;
  /** The newest decision seen; orders of older ones are ignored. */
  #epoch = 0;
  /** Limits how often the same bug is reported. */
  readonly #bugs = new LogLimiter(BUG_PAUSE_MS);
  #isStopping = false;
  /** It has reported its end. */
  #isOver = false;
  #cutAtStop = 0;
  /** Set while another process takes over. */
  #passing: Passing | undefined;

  constructor(parts: WorkerRelayParts, settings: RelaySettings) {
    const { loop, counters, held, report } = parts;
    this.loop = loop;
    this.#settings = settings;
    this.#report = report;
    const { kernel } = loop;
    const pools = new Pools(kernel, settings.pipesMax);
    const holdTimes = new Histogram(HOLD_BOUNDS, holdCells(counters));
    const deps = this.deps = { kernel, pools, counters, holdTimes, held: counted(held, counters) };
    const publish = (event: Event) => report({ is: "event", event });
    this.#permits = new Permits(parts, settings, publish);
    this.#headers = this.#makeHeaders(publish);
    this.#drains = spliceDrains(this.#sessions, loop, counters, publish);
    const times = timesOf(settings);
    const short = (reason: string) => {
      deps.pools.trim();
      this.#acceptor.pause(reason);
    };
    const dialing = this.#dialing = {
      loop,
      deps,
      publish,
      ...times.dialing,
      doubt: (doubt) => report({ is: "doubt", doubt }),
      waitOver: () => this.#acceptor.resume(),
      headerFor: (session) => headerFor(session, this.#settings.sendProxy, loop.kernel),
      short,
    };
    const dialer = this.#dialer = new Dialer(dialing);
    this.#acceptor = new SpliceAcceptor({
      loop,
      publish,
      yields: () => parts.fairShare?.yields(loop.now) ?? false,
      acquire: () => !dialer.hasStarved && this.#permits.acquire(),
      giveBack: () => this.#permits.giveBack(),
      admit: (client) => this.#admit(client),
      short,
    });
    this.#owner = {
      loop,
      deps,
      ...times.sessions,
      early: (session, fd, flags) => dialer.early(session, fd, flags),
      expired: (session, now) => dialer.expired(session, now),
      onBug: (error) => this.#onBug(error),
      endedUnused: (session, how) => dialer.endedUnused(session, how),
      resetUnanswered: (session) => dialer.resetUnanswered(session),
      release: (session) => this.#release(session),
    };
  }

  /** Carries an order out; it is in force when this returns. */
  execute(order: ShardOrder): void {
    switch (order.do) {
      case "open":
        return this.#open(order.upstream, order.epoch, order.addresses);
      case "hold":
        return this.#hold();
      case "refuse":
        return this.#refuse();
      case "confirm":
        return this.#dialer.confirm(order.upstream, this.#sessions);
      case "drain":
        return this.#drain(order.order);
      case "spare":
        return this.#drains.spare(order.upstream);
      case "count":
        return this.#countBusy(order);
      case "configure":
        return this.#configure(order.settings as RelaySettings);
      case "listen":
        return this.#isStopping ? undefined : this.#acceptor.open(order.listener);
      case "addresses":
        return this.#dialer.setAddresses(order.upstream, order.addresses, this.#sessions);
      case "stop":
        return order.isLeft ? this.#leave(order.drainMs) : this.#stop(order.drainMs);
      case "cutAll":
        return this.#cutAll();
      case "message":
        return this.#hear(order.what as ToSpliceShard);
    }
  }

  look(): void {
    this.#acceptor.look();
  }

  #open(upstream: string, epoch: number, addresses: Addresses): void {
    if (this.#isStopping || epoch < this.#epoch) return;
    this.#epoch = epoch;
    this.#dialer.setRoute(new ResolvedRoute(upstream, epoch, addresses));
    for (const session of this.#unjoined()) {
      if (session.phase !== "joined" || session.epoch < epoch) this.#dialer.dial(session);
    }
    this.#acceptor.resume();
  }

  /** The limits are changed already. */
  #configure(settings: RelaySettings): void {
    const { idleTimeoutMs } = this.#owner;
    this.#settings = settings;
    const times = timesOf(settings);
    Object.assign(this.#dialing, times.dialing);
    Object.assign(this.#owner, times.sessions);
    this.deps.pools.setMax(settings.pipesMax);
    this.#permits.configure(settings);
    if (this.#owner.idleTimeoutMs !== idleTimeoutMs) {
      const joined = this.#sessions.filter((session) => session.phase === "joined");
      for (const session of joined) session.expire(this.loop.now);
    }
    this.#acceptor.resume(); // there may be more room
  }

  #hold(): void {
    this.#dialer.setRoute(undefined);
    for (const session of this.#unjoined()) this.#dialer.park(session);
    this.#acceptor.resume(); // no client waits for a descriptor any more
  }

  #refuse(): void {
    this.#acceptor.close();
    this.#dialer.setRoute(undefined);
    this.#dropUnannounced();
    for (const session of this.#unjoined()) this.#dialer.lose(session);
  }

  #drain(order: DrainOrder): void {
    for (const session of this.#unjoined()) {
      if (isConcerned(session, order)) this.#dialer.dial(session);
    }
    this.#drains.begin(order);
  }

  #countBusy(order: DrainScope): void {
    const { loop, deps: { counters } } = this;
    const isBusy = (session: SpliceSession) =>
      isConcerned(session, order) && loop.now - session.lastMoved < QUIET_MS;
    counters[BUSY] = this.#sessions.filter(isBusy).length;
  }

  #stop(drainMs: number): void {
    this.#isStopping = true;
    this.#acceptor.close();
    this.#dialer.setRoute(undefined);
    this.#dropUnannounced();
    const waiting = this.#sessions.filter((session) => session.phase !== "joined");
    for (const session of waiting) this.#dialer.lose(session);
    this.loop.after(timed(() => this.#cutAll()), drainMs);
    this.#endIfEmpty();
  }

  /** As a stop, but each session is offered to another process, and clients that have no upstream stay until then. */
  #leave(drainMs: number): void {
    this.#isStopping = true;
    this.#acceptor.leave();
    const { loop, deps } = this;
    const passing = this.#passing = new Passing({
      loop,
      deps,
      report: this.#report,
      mayPass: (session) => !this.#drains.orders.some((order) => isConcerned(session, order)),
      dial: (session) => this.#dialer.dial(session),
      cutLate: (session) => {
        this.#cutAtStop++;
        session.cut();
      },
    });
    passing.offer(this.#sessions);
    loop.after(timed(() => this.#cutAll()), drainMs);
    this.#endIfEmpty();
  }

  #hear(what: ToSpliceShard): void {
    if (what.is === "answered") this.#passing?.answered(what.id, what.isTaken);
    else this.#receive(what.session);
  }

  /** Goes on with a session of another process, whose sockets belong to this thread now. */
  #receive({ client, addresses, joined }: PassedSession): void {
    const { loop, deps } = this;
    // It exists already, so the limits do not keep it out.
    this.#permits.acquireAnyway();
    const session = this.#begin(
      client,
      this.#permits.placeFor(client, addresses) ?? UNCOUNTED,
      addresses,
    );
    if (joined !== undefined) {
      restore(session, joined, deps);
      if (loop.watch(joined.upstream, session) < 0) return session.cut();
    }
    if (loop.watch(client, session) < 0 || this.#isStopping) return session.cut();
    if (joined === undefined) this.#dialer.dial(session);
    else session.proceed(loop.now - joined.idleMs);
  }

  #cutAll(): void {
    const standing = this.#passing?.end() ?? 0;
    this.#cutAtStop += this.#sessions.length - standing;
    this.#dropUnannounced();
    for (const session of [...this.#sessions]) if (session.phase !== "passing") session.cut();
  }

  /** Sessions through which no byte has passed: orders for new clients apply to them too. */
  #unjoined(): SpliceSession[] {
    return this.#sessions.filter(({ phase, isUnused }) =>
      phase !== "passing" && (phase !== "joined" || isUnused)
    );
  }

  #admit(client: number): void {
    this.deps.counters[COUNT.accepted]!++;
    if (this.#headers === undefined) return this.#let(client, undefined);
    // Until its header has come, it counts as a connection, and not as a client that waits.
    const result = this.#headers.add(client);
    if (result === 0) return this.#permits.releaseWait();
    this.loop.kernel.close(client);
    this.#permits.giveBack();
    this.#acceptor.pause(errnoWords(result));
  }

  /** Begins a session. `addresses`: those that a balancer has named, in the place of the connection's own. */
  #let(client: number, addresses: ProxiedAddresses | undefined): void {
    const place = this.#permits.placeFor(client, addresses);
    if (place === undefined) {
      this.deps.counters[COUNT.overLimit]!++;
      this.loop.kernel.close(client);
      return this.#permits.giveBack();
    }
    const session = this.#begin(client, place, addresses);
    const result = this.loop.watch(client, session);
    if (result === 0) this.#dialer.dial(session);
    // Its header came late; the clients of this process go to another one.
    if (result === 0) this.#passing?.offer([session]);
    // The permit was taken in case the client has to wait. If it does, the dialer has taken another one.
    this.#permits.releaseWait();
    if (result === 0) return;
    // There is no memory to watch it: it is closed, and the next ones stay in the accept queue for a while.
    this.#dialer.lose(session);
    this.#acceptor.pause(errnoWords(result));
  }

  #begin(
    client: number,
    place: number,
    addresses: ProxiedAddresses | undefined,
  ): SpliceSession {
    const session = this.#records.pop() ?? new SpliceSession(this.#owner);
    session.begin(client);
    session.limitPlace = place;
    session.index = this.#sessions.push(session) - 1;
    session.addresses = addresses;
    return session;
  }

  #makeHeaders(publish: (event: Event) => void): HeaderWaits | undefined {
    const { acceptProxy } = this.#settings;
    if (acceptProxy === undefined) return undefined;
    const { loop } = this;
    const missing = missingHeaders(loop, publish);
    const onHeader = (client: number, addresses: ProxiedAddresses | undefined) => {
      this.#permits.acquireWait();
      this.#let(client, addresses);
    };
    return new HeaderWaits(loop, acceptProxy, onHeader, (client) => {
      this.deps.counters[COUNT.unannounced]!++;
      missing.add(hostOf(loop.kernel.peerAddress(client)));
      this.#drop(client);
    });
  }

  /** Closes a client that is no session yet. */
  #drop(client: number): void {
    this.loop.kernel.close(client);
    this.#permits.release();
    if (!this.#dialer.feed()) this.#acceptor.resume();
    this.#endIfEmpty();
  }

  /** Turns away the clients whose headers have not come yet. */
  #dropUnannounced(): void {
    for (const client of this.#headers?.cancelAll() ?? []) {
      this.deps.counters[COUNT.lost]!++;
      this.#drop(client);
    }
  }

  #release(session: SpliceSession): void {
    this.#permits.leave(session.limitPlace);
    const last = this.#sessions.pop()!;
    if (last !== session) {
      this.#sessions[session.index] = last;
      last.index = session.index;
    }
    if (this.#records.length < RECORDS_KEPT) this.#records.push(session);
    this.#permits.release();
    if (!this.#dialer.feed()) this.#acceptor.resume();
    this.#endIfEmpty();
  }

  #onBug(error: unknown): void {
    this.deps.counters[COUNT.cut]!++;
    const reason = describe(error);
    if (!this.#bugs.allow(reason, this.loop.now)) return;
    this.#report({ is: "event", event: { type: "proxy.faulted", reason } });
  }

  #endIfEmpty(): void {
    if (!this.#isStopping || this.#isOver || this.#sessions.length > 0) return;
    if (this.#passing !== undefined && (this.#headers?.size ?? 0) > 0) return;
    this.#isOver = true;
    this.deps.pools.trim();
    this.#report({ is: "stopped", cut: this.#cutAtStop });
  }
}
