/**
 * One proxy of the simulated cluster: the real controller, the real machine and the real coordinator, with
 * checks, triggers, clients and a data plane that exist in virtual time only. The process can be stopped (it gets no
 * timer and no answer until it goes on), and killed; its machine can be suspended.
 */
import type { ManualClock } from "../../src/base/clock.ts";
import { whenAborted } from "../../src/base/deadline.ts";
import { ClusterCoordinator } from "../../src/cluster/coordinator.ts";
import type { Etcd } from "../../src/cluster/etcd.ts";
import type { Event } from "../../src/events/events.ts";
import { Controller } from "../../src/failover/controller.ts";
import type { MemoryPort } from "../../src/failover/memory.ts";
import type { OperatorOrder, OrderSource } from "../../src/failover/orders.ts";
import type {
  Coordinator,
  DataPlane,
  DrainOrder,
  ProbeResult,
  Promotion,
  TriggerOutcome,
} from "../../src/failover/ports.ts";
import type { Policy } from "../../src/failover/state.ts";
import type { Upstream } from "../../src/failover/upstream.ts";
import { PromotionFirst } from "../../src/health/promotion.ts";
import { ProcessClock } from "./process_clock.ts";

/** What surrounds a proxy. */
export interface Surroundings {
  readonly world: ManualClock;
  readonly random: () => number;
  readonly upstreams: readonly Upstream[];
  readonly policy: Policy;
  readonly ttlS: number;
  /** What it remembers over a restart; undefined without a state folder. */
  readonly memory: MemoryPort | undefined;
  etcdFor(proxy: SimulatedProxy): Etcd;
  /** The answer of `upstream` to a check of this proxy now. */
  ask(proxy: SimulatedProxy, upstream: string): ProbeResult;
  /** Whether a client of this proxy gets an answer of `upstream` to a write. */
  write(proxy: SimulatedProxy, upstream: string): boolean;
  /** The order to make `upstream` the primary, as `PromotionSettings.promote`; see there. */
  promote(proxy: SimulatedProxy, promotion: { to: string }, signal: AbortSignal): Promise<void>;
  /** What a program changes at a server; false if it fails. */
  act(proxy: SimulatedProxy, promotion: Promotion): boolean;
  onTriggers(proxy: SimulatedProxy, promotion: Promotion, what: "begin" | "end" | "callOff"): void;
  /** It has decided for a promotion, which it stores before its triggers begin. */
  onDecide(proxy: SimulatedProxy, promotion: Promotion): void;
  /** The answer of a check has arrived that counts. */
  learned(proxy: SimulatedProxy, upstream: string, result: ProbeResult): void;
  /** A decision of it could not be stored. */
  onRefused(proxy: SimulatedProxy, epoch: number): void;
  onOpen(proxy: SimulatedProxy, upstream: string, epoch: number): void;
  onEvent(proxy: SimulatedProxy, event: Event): void;
  onOrder(proxy: SimulatedProxy, order: OperatorOrder, source: OrderSource): void;
}

/** Pause between two checks, in milliseconds. */
const CHECK_MS = 500;
/** How long a check waits for an answer, in milliseconds. */
const CHECK_TIMEOUT_MS = 1_000;
/** Pause between two writes of a client, in milliseconds. */
const CLIENT_MS = 1_000;
/** The longest run of most triggers, in milliseconds. */
const TRIGGERS_MAX_MS = 6_000;
/** The longest run of one in eight, which can be longer than a lease, in milliseconds. */
const LONG_TRIGGERS_MAX_MS = 16_000;
/** How often the guard of a trigger hears of a later deadline, in milliseconds. */
const GUARD_MS = 250;
/** How long a program has to end after SIGTERM, in milliseconds. */
const KILL_MS = 2_000;
/** How long one attempt to promote a server may take, in milliseconds. */
const PROMOTE_MS = 5_000;

/** Connections of clients to one upstream. */
interface Sessions {
  readonly upstream: string;
  readonly epoch: number;
}

export class SimulatedProxy {
  readonly clock: ProcessClock;
  /** Where its new clients go; undefined while they are held or refused. */
  route: string | undefined;
  /** Where they went last, and since when. */
  opened: (Sessions & { readonly at: number }) | undefined;
  isDead = false;
  controller!: Controller;
  coordinator!: ClusterCoordinator;
  sessions: readonly Sessions[] = [];
  readonly #around: Surroundings;
  readonly #hasClients: boolean;
  /** By upstream: the drain under way. */
  readonly #drains = new Map<string, { order: DrainOrder; cancel: () => void }>();
  /** When sessions of an upstream moved bytes last, by upstream. */
  readonly #movedAt = new Map<string, number>();
  /** Since when they have done so without a long pause. */
  readonly #movesSince = new Map<string, number>();
  #lastRun: Promise<unknown> = Promise.resolve();

  constructor(readonly name: string, around: Surroundings) {
    this.#around = around;
    this.clock = new ProcessClock(around.world);
    this.#hasClients = around.random() < 0.7;
    const { policy, upstreams, memory } = around;
    const port: Coordinator = {
      decide: (promotion) => this.coordinator.decide(promotion),
      conclude: (decision) => this.coordinator.conclude(decision),
      acknowledge: (epoch) => this.coordinator.acknowledge(epoch),
      passOn: (...order) => this.coordinator.passOn(...order),
    };
    const publish = (event: Event) => around.onEvent(this, event);
    this.controller = new Controller(upstreams, { ...policy, instance: `run-${name}` }, {
      clock: this.clock,
      ...memory === undefined ? {} : { memory },
      publish,
      plane: this.#plane(),
      checks: { now: (upstream) => this.#check(upstream, false), pace: () => {} },
      triggers: this.#triggers(publish),
      coordinator: port,
      onState: () => this.coordinator.changed(),
      onStep: ({ input, step: { effects } }) => {
        if (input.type === "triggersEnded" && input.outcome.how === "denied") {
          around.onRefused(this, input.epoch);
        }
        for (const effect of effects) {
          if (effect.do === "runTriggers") around.onDecide(this, effect.promotion);
        }
      },
    });
    this.controller.finished.catch((error) => {
      throw error;
    });
    this.coordinator = this.#coordinator(publish);
    this.coordinator.begin();
    for (const { name } of upstreams) this.#check(name, true);
    if (this.#hasClients) this.#clients();
  }

  /** Ends it as kill -9 does: its guards end its triggers when the lease would end. */
  kill(): void {
    this.isDead = true;
    this.clock.kill();
    this.route = undefined;
    this.sessions = [];
  }

  /** An upstream has died, and all connections to it. */
  lose(name: string): void {
    this.sessions = this.sessions.filter(({ upstream }) => upstream !== name);
  }

  #coordinator(publish: (event: Event) => void): ClusterCoordinator {
    const { policy, ttlS } = this.#around;
    return new ClusterCoordinator(
      { instance: this.name, version: "1", ttlS, without: "serve-last" },
      this.#around.etcdFor(this),
      {
        state: () => this.controller.state,
        policy: () => policy,
        post: (input) => {
          if (!this.isDead) this.controller.post(input);
        },
        order: (order, source, onOutcome) => {
          this.#around.onOrder(this, order, source);
          this.controller.order(order, source, onOutcome);
        },
        runsTriggers: () => this.controller.runsTriggers,
        busy: (upstream) => Promise.resolve(this.moves(upstream) ? 1 : 0),
      },
      { clock: this.clock, publish },
    );
  }

  #check(upstream: string, isRepeated: boolean): void {
    const { stage } = this.controller.state;
    const { world, random } = this.#around;
    const startedAt = this.clock.now();
    world.after(random() * 10, () => {
      const answer = this.#around.ask(this, upstream);
      const backMs = answer.evidence === "silent" ? CHECK_TIMEOUT_MS : random() * 10;
      this.clock.after(backMs, () => {
        const tookMs = this.clock.now() - startedAt;
        // As `health/standstill.ts` has it.
        const stood = answer.evidence === "silent" && tookMs > CHECK_TIMEOUT_MS * 2;
        const result = { ...answer, tookMs, ...stood ? { evidence: "no_verdict" as const } : {} };
        if (stage === this.controller.state.stage) this.#around.learned(this, upstream, result);
        this.controller.post({ type: "probed", upstream, result, stage });
        if (!isRepeated) return;
        const pauseMs = CHECK_MS * (0.9 + random() * 0.2);
        this.clock.after(pauseMs, () => this.#check(upstream, true));
      });
    });
  }

  /** Whether more of the other proxies see an upstream down than up, as far as this one has read their votes. */
  readsDown(upstream: string): boolean {
    const votes = [...this.controller.state.cluster?.others.values() ?? []];
    const [down, up] = (["down", "up"] as const).map((verdict) =>
      votes.filter((vote) => vote[verdict].includes(upstream)).length
    );
    return down! > up!;
  }

  // ---- Clients

  /** Whether clients have written to an upstream for so many milliseconds, and still do. */
  movesFor(upstream: string, ms: number): boolean {
    return this.moves(upstream) && this.clock.now() - this.#movesSince.get(upstream)! >= ms;
  }

  /** Whether clients have written to an upstream a moment ago. */
  moves(upstream: string): boolean {
    return this.#moves(upstream, CLIENT_MS * 2);
  }

  #moves(upstream: string, withinMs: number): boolean {
    return this.#movedAt.get(upstream)! > this.clock.now() - withinMs;
  }

  /** Each session writes, and so does a new client. */
  #clients(): void {
    this.clock.after(CLIENT_MS * (0.8 + this.#around.random() * 0.4), () => {
      const { route } = this;
      const upstreams = new Set(this.sessions.map(({ upstream }) => upstream));
      if (route !== undefined) upstreams.add(route);
      this.#connect();
      for (const upstream of upstreams) {
        if (this.#around.write(this, upstream)) this.#moved(upstream);
        else if (upstream === route) this.#doubt(upstream);
      }
      this.#clients();
    });
  }

  #moved(upstream: string): void {
    const now = this.clock.now();
    if (!this.moves(upstream)) this.#movesSince.set(upstream, now);
    this.#movedAt.set(upstream, now);
  }

  /** A new client, whose connection stays. */
  #connect(): void {
    const { route, opened, sessions } = this;
    if (route === undefined || this.#around.ask(this, route).evidence !== "passed") return;
    const { epoch } = opened!;
    const isThere = sessions.some((each) => each.upstream === route && each.epoch === epoch);
    if (!isThere) this.sessions = [...sessions, { upstream: route, epoch }];
  }

  #doubt(upstream: string): void {
    const { phase } = this.controller.state;
    const { evidence } = this.#around.ask(this, upstream);
    if (evidence === "passed" || phase.name !== "serving") return;
    this.coordinator.doubted(upstream);
    const doubt = { upstream, epoch: phase.epoch, hard: evidence === "refused", reason: evidence };
    this.controller.post({ type: "doubted", doubt });
  }

  #plane(): DataPlane {
    const hold = () => {
      this.route = undefined;
      return Promise.resolve();
    };
    const nothing = () => Promise.resolve();
    return {
      open: ({ name }, epoch) => {
        if (this.isDead) return nothing();
        this.route = name;
        this.opened = { upstream: name, epoch, at: this.clock.now() };
        this.#around.onOpen(this, name, epoch);
        return nothing();
      },
      ...{ hold, refuse: hold, confirm: nothing },
      drain: (order) => Promise.resolve(this.#drain(order)),
      spare: (upstream) => Promise.resolve(this.#spare(upstream)),
      busy: () => Promise.resolve(this.#around.random() < 0.3 ? 1 : 0),
    };
  }

  #drain(order: DrainOrder): void {
    const { upstream, graceMs, sparedIfMovedMs } = order;
    const before = this.#drains.get(upstream);
    before?.cancel();
    this.#drains.delete(upstream);
    if (before?.order.revocable === false) this.#end(before.order);
    const later = { ...order, graceMs: 0 };
    const after = (ms: number) => {
      const cancel = this.clock.after(ms, () => this.#drain(later));
      this.#drains.set(upstream, { order: later, cancel });
    };
    if (graceMs > 0) return after(graceMs);
    const isSpared = sparedIfMovedMs !== undefined && this.#moves(upstream, sparedIfMovedMs);
    if (isSpared) return after(sparedIfMovedMs);
    this.#end(order);
  }

  #end({ upstream, throughEpoch }: DrainOrder): void {
    this.sessions = this.sessions.filter((each) =>
      each.upstream !== upstream || each.epoch > throughEpoch
    );
  }

  #spare(upstream: string): void {
    const drain = this.#drains.get(upstream);
    if (drain?.order.revocable !== true) return;
    drain.cancel();
    this.#drains.delete(upstream);
  }

  // ---- Triggers

  #triggers(publish: (event: Event) => void) {
    const programs = {
      run: (promotion: Promotion, signal: AbortSignal) => {
        const run = this.#lastRun.then(() => this.#program(promotion, signal));
        this.#lastRun = run;
        return run;
      },
    };
    if (this.#around.policy.roles?.promotedBy !== "us") return programs;
    return new PromotionFirst({
      promote: (to, signal) => this.#around.promote(this, { to }, signal),
      timeoutMs: PROMOTE_MS,
      leftMs: () => this.coordinator.report().leaseLeftMs,
      ...{ clock: this.clock, publish },
    }, programs);
  }

  /** A program runs in the time of its machine. Its guard ends it when the lease of the proxy ends. */
  async #program(promotion: Promotion, signal: AbortSignal): Promise<TriggerOutcome> {
    const { random, onTriggers } = this.#around;
    const { clock, clock: { machine } } = this;
    const leftMs = () => this.coordinator.report().leaseLeftMs;
    if (signal.aborted) return { how: "cancelled" };
    // A process that stands still begins nothing.
    await new Promise<void>((resolve) => clock.after(0, resolve));
    const leads = await this.coordinator.confirmLead();
    if (signal.aborted || this.isDead) return { how: "cancelled" };
    // A guard that starts after the deadline starts no program.
    if (!leads || leftMs() <= 0) return { how: "calledOff", reason: "not begun" };
    return await new Promise((resolve) => {
      onTriggers(this, promotion, "begin");
      const timers: (() => void)[] = [];
      let isOver = false;
      const over = (outcome: TriggerOutcome, what: "end" | "callOff" = "end") => {
        if (isOver) return;
        isOver = true;
        for (const cancel of timers) cancel();
        onTriggers(this, promotion, what);
        clock.after(0, () => resolve(outcome));
      };
      const end = () => over({ how: "cancelled" });
      const kill = () => over({ how: "calledOff", reason: "killed" }, "callOff");
      const durationMs = random() * (random() < 0.125 ? LONG_TRIGGERS_MAX_MS : TRIGGERS_MAX_MS);
      let isGood = random() < 0.9;
      timers.push(machine.after(durationMs * random(), () => {
        if (!this.#around.act(this, promotion)) isGood = false;
      }));
      timers.push(machine.after(durationMs, () => {
        over(isGood ? { how: "ran" } : { how: "failed", reason: "exited with 1" });
      }));
      // Its watcher hears of later deadlines too late, though this proxy leads on.
      const isDeaf = random() < 0.125;
      let until = 0;
      let cancelGuard = () => {};
      const look = () => {
        const next = clock.now() + leftMs();
        if (next > until && !(isDeaf && until > 0)) {
          until = next;
          cancelGuard();
          cancelGuard = machine.after(until - clock.now(), kill);
        }
        timers.push(clock.after(GUARD_MS, look));
      };
      look();
      timers.push(() => cancelGuard());
      void whenAborted(signal).then(() => {
        if (isOver) return;
        // Half of the programs ignore SIGTERM.
        if (random() < 0.5) timers.push(machine.after(20, end));
        timers.push(clock.after(KILL_MS, end));
      });
    });
  }
}
