/**
 * Shares one decision with other proxies through etcd: the implementation of `Coordinator` in
 * `failover/ports.ts`, which explains what each call means. It keeps the membership of this proxy
 * (`session.ts`) and turns what is stored into the view of the machine (`failover/cluster.ts`).
 */
import type { Clock } from "../base/clock.ts";
import type { Publish } from "../events/events.ts";
import {
  type ClusterReport,
  type ClusterView,
  CUT_OFF,
  type Decision,
  HELD_MS,
  mayLead,
  voteOf,
} from "../failover/cluster.ts";
import type { OperatorOrder, OrderOutcome, OrderSource } from "../failover/orders.ts";
import type { Coordinator, Grant, Promotion } from "../failover/ports.ts";
import { activeOf, awaitsTriggers } from "../failover/state.ts";
import type { CoordinatedService, CoordinatorSettings } from "./coordinated_service.ts";
import { DifferenceLog, proxiesOf } from "./cluster_report.ts";
import { type Etcd, EtcdError } from "./etcd.ts";
import { ordersText, type Seen, seenText } from "./keys.ts";
import { DecisionStore } from "./decision_store.ts";
import { Lead } from "./lead.ts";
import { OrderPost } from "./order_post.ts";
import { Session } from "./session.ts";
import { StandingOrders } from "./standing_orders.ts";
import { TrafficWatch } from "./traffic_watch.ts";
import { WatchKeeper } from "./watch_keeper.ts";
import { viewOf, viewText } from "./cluster_view.ts";

/** How long the service waits for the first answer of etcd before it begins without, in milliseconds. */
export const FIRST_ANSWER_MS = 5_000;
/** Pause after a call that failed, in milliseconds. */
const RETRY_MS = 300;
/** Changes within this time are read together, in milliseconds. */
const TOGETHER_MS = 5;

/** The coordination of one service, from `begin` until disposal, which gives the lead to another proxy and closes etcd. */
export class ClusterCoordinator implements Coordinator, AsyncDisposable {
  readonly #settings: CoordinatorSettings;
  readonly #etcd: Etcd;
  readonly #clock: Clock;
  readonly #publish: Publish;
  readonly #service: CoordinatedService;
  readonly #session: Session;
  readonly #post: OrderPost;
  readonly #decisions: DecisionStore;
  readonly #orders: StandingOrders;
  readonly #traffic: TrafficWatch;
  readonly #differences: DifferenceLog;
  readonly #lead: Lead;
  readonly #stop = new AbortController();
  #work: Promise<unknown> = Promise.resolve();
  #wake = Promise.withResolvers<void>();
  #roundEnded = Promise.withResolvers<void>();
  #isWoken = false;
  #watch: WatchKeeper | undefined;
  #cancelEnd = () => {};
  /** Each ends one pause. */
  readonly #pauses = new Set<() => void>();
  #view: ClusterView | undefined;
  #shown = "";
  /** What this proxy told the others, and the orders that stand, at the last change. */
  #known = "";
  #beganAt = 0;
  #reason: string | undefined;
  #lostAt: number | undefined;
  #aloneAt = Infinity;
  #held = 0;
  #isAlone = false;

  constructor(
    settings: CoordinatorSettings,
    etcd: Etcd,
    service: CoordinatedService,
    { clock, publish }: { readonly clock: Clock; readonly publish: Publish },
  ) {
    this.#settings = settings;
    this.#etcd = etcd;
    this.#clock = clock;
    this.#publish = publish;
    this.#service = service;
    this.#traffic = new TrafficWatch(clock);
    this.#differences = new DifferenceLog(publish);
    const { instance, ttlS } = settings;
    this.#lead = new Lead(instance, publish);
    this.#session = new Session({
      ...{ etcd, clock, instance, ttlS },
      ...{ seen: () => this.#seen(), fence: () => service.state().fence },
      mayLead: (seen) => {
        const others = [...seen].filter(([name]) => name !== instance).map(([, each]) => each);
        // Nobody else may lead before the triggers of this proxy have ended.
        return service.runsTriggers() || mayLead(this.#seen(), others);
      },
    });
    this.#decisions = new DecisionStore({
      ...{ etcd, session: this.#session, instance, clock, triesMs: ttlS * 1_000 },
      failed: async (reason) => {
        this.#reason = reason;
        await this.#pause(RETRY_MS);
      },
      nextRound: () => this.#nextRound(),
      reason: () => this.#reason,
      isAwaited: (epoch) => awaitsTriggers(service.state(), epoch),
    });
    this.#orders = new StandingOrders({
      ...{ etcd, clock, instance, service, session: this.#session, keptMs: ttlS * 1_000 },
      nextRound: () => this.#nextRound(),
      lead: () => this.#stop.signal.aborted ? undefined : this.#lead.number,
      whyNot: () => this.#reason ?? this.#decisions.whyNotLeading(),
    });
    this.#post = new OrderPost({
      ...{ etcd, clock, instance },
      ...{ lease: () => this.#session.lease, isMember: () => this.#session.isMember },
      leads: () => this.#session.leads,
      leaseEnded: () => this.#session.leaseEnded(),
      carryOut: (...order) => this.#orders.carryOut(...order),
    });
  }

  /** Joins the cluster. Posts the first view, and then `begun`, as soon as etcd answers, or does not. */
  begin(): void {
    this.#beganAt = this.#clock.now();
    this.#armEnd();
    this.#watch = new WatchKeeper(this.#etcd, this.#clock, () => this.#look());
    this.#work = this.#run();
    // The owner may await it later; a rejection before that must not count as unhandled.
    this.#work.catch(() => {});
  }

  /** Settles with the work: rejects only if a part of it failed, which is a bug. */
  get finished(): Promise<unknown> {
    return this.#work;
  }

  /** The state of the machine has changed: what this proxy tells may be different now. */
  changed(): void {
    const { paused, drained, pinned } = this.#service.state();
    const text = seenText(this.#seen()) + ordersText({ paused, drained, pinned });
    if (text === this.#known) return;
    this.#known = text;
    this.#look();
  }

  /** A connection of a client to the active upstream failed. */
  doubted(upstream: string): void {
    this.#traffic.failed(upstream);
  }

  report(): ClusterReport {
    const { stored, leftMs, isMember } = this.#session;
    const role = this.#isAlone ? "alone" : this.#role();
    return {
      instance: this.#settings.instance,
      role,
      leader: role === "cutOff" || role === "alone" ? undefined : stored?.leader?.instance,
      isReachable: this.#reason === undefined && isMember,
      reason: isMember ? this.#reason : this.#whyCutOff,
      leaseLeftMs: leftMs,
      decision: stored?.decision,
      proxies: proxiesOf(stored?.seen ?? new Map(), this.#seen()),
    };
  }

  async decide(promotion: Promotion): Promise<Grant> {
    if (this.#isAlone) return { fence: undefined };
    const { epoch, to, from, move, reason } = promotion;
    if (this.#decisions.fenceOf(epoch) === undefined) {
      const by = this.#settings.instance;
      const decision: Decision = { epoch, to, from, phase: "promoting", move, reason, by };
      const denied = await this.#decisions.store(decision);
      if (denied !== undefined) return { denied };
      await this.#othersHold(epoch);
    }
    const isLeading = await this.#decisions.isLeading();
    const fence = this.#decisions.fenceOf(epoch);
    return isLeading && fence !== undefined
      ? { fence }
      : { denied: this.#decisions.whyNotLeading() };
  }

  /** Whether this proxy leads for certain; asks etcd if its lease is in doubt. */
  readonly confirmLead = (): Promise<boolean> => this.#decisions.isLeading();

  async conclude(decision: Omit<Decision, "phase" | "by">): Promise<string | undefined> {
    if (this.#isAlone) return undefined;
    return await this.#decisions.store({ ...decision, phase: "done", by: this.#settings.instance });
  }

  acknowledge(epoch: number): void {
    if (epoch <= this.#held) return;
    this.#held = epoch;
    this.#look();
  }

  passOn(
    order: OperatorOrder,
    source: OrderSource,
    onOutcome: (outcome: OrderOutcome) => void,
  ): boolean {
    if (order.name === "hold" || order.name === "release" || this.#isAlone) return false;
    if (this.#session.leads) {
      this.#orders.carryOut(order, source, onOutcome);
      return true;
    }
    const by = `${source.by} at ${this.#settings.instance}`;
    this.#post.send(order, { ...source, by }, onOutcome);
    return true;
  }

  /** Leaves the cluster: the lead is free at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#cancelEnd();
    this.#post.stop();
    for (const end of this.#pauses) end();
    this.#look();
    await this.#watch?.[Symbol.asyncDispose]();
    await this.#work.catch(() => {});
    await this.#session.end();
    this.#etcd[Symbol.dispose]?.();
  }

  // ---- The membership

  /** Repeats the rounds of the membership until disposal. */
  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      this.#isWoken = false;
      this.#wake = Promise.withResolvers();
      await this.#sample();
      const pauseMs = await this.#round();
      this.#roundEnded.resolve();
      this.#roundEnded = Promise.withResolvers();
      if (signal.aborted) return;
      await this.#pause(TOGETHER_MS);
      if (!this.#isWoken) await this.#pause(pauseMs, this.#wake.promise);
    }
  }

  /** One round. Resolves with how long the next one has time, in milliseconds. */
  async #round(): Promise<number> {
    try {
      const stored = await this.#session.round();
      this.#reached();
      this.#show();
      this.#differences.look(proxiesOf(stored.seen, this.#seen()));
      await this.#post.look(stored);
      if (this.#view?.role === "leads" && await this.#orders.keep()) this.#look();
      return Math.max(0, this.#session.renewAt - this.#clock.now());
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      this.#reason = error.message;
      this.#watch?.renew();
      this.#show();
      return RETRY_MS;
    } finally {
      this.#armEnd();
    }
  }

  /** Waits; ends early when `early` settles or the coordinator is disposed of. */
  async #pause(ms: number, early?: Promise<void>): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const over = Promise.withResolvers<void>();
    const cancel = this.#clock.after(ms, over.resolve);
    this.#pauses.add(over.resolve);
    await (early === undefined ? over.promise : Promise.race([over.promise, early]));
    this.#pauses.delete(over.resolve);
    cancel();
  }

  #look(): void {
    this.#isWoken = true;
    this.#wake.resolve();
  }

  /** Looks whether sessions of the active upstream move bytes, which this round tells the others. */
  async #sample(): Promise<void> {
    const active = activeOf(this.#service.state());
    if (active === undefined) return;
    const { name } = active.upstream;
    await this.#traffic.look(name, this.#service.busy(name, active.epoch));
  }

  #seen(): Seen {
    const state = this.#service.state();
    const active = activeOf(state)?.upstream.name ?? state.lastServed?.to;
    return {
      ...voteOf(state, this.#service.policy(), this.#traffic.of(active)),
      version: this.#settings.version,
      list: state.upstreams.map(({ name }) => name),
      held: this.#held,
    };
  }

  #reached(): void {
    this.#reason = undefined;
    if (this.#isAlone) {
      // What this proxy decided alone does not count any more.
      this.#isAlone = false;
      this.#service.post({ type: "coordinated", view: CUT_OFF });
    }
    if (this.#lostAt === undefined) return;
    this.#publish({ type: "coordinator.reached", lostMs: this.#clock.now() - this.#lostAt });
    [this.#lostAt, this.#aloneAt] = [undefined, Infinity];
  }

  // ---- The view

  #role(): ClusterView["role"] {
    return this.#session.leads ? "leads" : this.#session.isMember ? "follows" : "cutOff";
  }

  /** Posts the view to the machine if it has changed. */
  #show(): void {
    const role = this.#role();
    const isFirst = this.#view === undefined;
    if (this.#stop.signal.aborted) return;
    if (isFirst && role === "cutOff" && this.#clock.now() - this.#beganAt < FIRST_ANSWER_MS) return;
    if (role === "cutOff") this.#lost();
    const { traffic } = this.#seen();
    const stored = this.#isAlone ? undefined : this.#session.stored;
    const view = viewOf(stored, this.#isAlone ? "leads" : role, this.#settings.instance, traffic);
    const { lease } = this.#session;
    const text = `${this.#isAlone} ${lease} ${viewText(view)}`;
    if (text === this.#shown) return;
    this.#shown = text;
    this.#view = view;
    const whyNot = () => this.#decisions.whyNotLeading();
    if (this.#lead.show(role === "leads", lease, view.others.size + 1, whyNot)) {
      this.#service.post({ type: "coordinated", view: { ...view, role: "follows" } });
    }
    this.#service.post({ type: "coordinated", view });
    if (isFirst) this.#service.post({ type: "begun" });
  }

  /** For a person; a call that tries one endpoint after another may still be under way. */
  get #whyCutOff(): string {
    return this.#reason ?? this.#etcd.trouble ?? "etcd has not answered in time";
  }

  /** This proxy is cut off: says so once, and decides alone after a while if its settings allow it. */
  #lost(): void {
    const now = this.#clock.now();
    const reason = this.#whyCutOff;
    if (this.#lostAt === undefined) {
      const { without, ttlS } = this.#settings;
      this.#lostAt = now;
      if (without === "decide-alone") this.#aloneAt = now + ttlS * 1_000;
      this.#publish({ type: "coordinator.lost", reason });
      this.#armEnd();
    }
    // The first view is the one of a proxy that is cut off, so that what was decided last is served.
    if (this.#isAlone || this.#view === undefined || now < this.#aloneAt) return;
    this.#isAlone = true;
    this.#publish({ type: "coordinator.ignored", reason });
  }

  /** Shows what ends by time, as the lease does, when it ends, even while a call of a round is waiting. */
  #armEnd(): void {
    this.#cancelEnd();
    if (this.#stop.signal.aborted) return;
    const firstMs = this.#beganAt + FIRST_ANSWER_MS - this.#clock.now();
    const endMs = this.#view === undefined ? firstMs : this.#session.leftMs;
    const waitMs = endMs > 0 ? endMs : this.#aloneAt - this.#clock.now();
    if (waitMs <= 0 || waitMs === Infinity) return;
    this.#cancelEnd = this.#clock.after(waitMs, () => this.#show());
  }

  // ---- Decisions

  /** Resolves after a round that begins from now on, or at the disposal. */
  async #nextRound(): Promise<void> {
    // The round under way may have read before; the one after it has not.
    for (let rounds = 0; rounds < 2 && !this.#stop.signal.aborted; rounds++) {
      this.#look();
      await this.#roundEnded.promise;
    }
  }

  /** Waits until all other live proxies hold their clients for the promotion `epoch`, or for `HELD_MS`. */
  async #othersHold(epoch: number): Promise<void> {
    if (this.#service.policy().triggers === "beside") return;
    const until = this.#clock.now() + HELD_MS;
    const { instance } = this.#settings;
    const wait = () =>
      [...this.#session.stored?.seen ?? []].some(([name, { held }]) =>
        name !== instance && held < epoch
      );
    this.#look();
    while (wait() && this.#clock.now() < until && this.#session.leads) {
      await this.#pause(until - this.#clock.now(), this.#roundEnded.promise);
      if (this.#stop.signal.aborted) return;
    }
  }
}
