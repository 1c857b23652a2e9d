/**
 * One proxy of the simulated cluster: the real controller, the real machine and the real coordinator, with
 * checks, triggers and a data plane that exist in virtual time only. The process can be stopped (it gets no
 * timer and no answer until it goes on), and killed.
 */
import type { Clock, ManualClock } from "../../src/base/clock.ts";
import { ClusterCoordinator } from "../../src/cluster/coordinator.ts";
import type { Etcd } from "../../src/cluster/etcd.ts";
import type { Event } from "../../src/events/events.ts";
import { Controller } from "../../src/failover/controller.ts";
import type {
  Coordinator,
  DataPlane,
  ProbeResult,
  Promotion,
  TriggerOutcome,
} from "../../src/failover/ports.ts";
import type { Policy } from "../../src/failover/state.ts";
import type { Upstream } from "../../src/failover/upstream.ts";

/** The clock of one process: its callbacks wait while it is stopped, and time goes on. */
export class ProcessClock implements Clock {
  readonly #world: ManualClock;
  #isStopped = false;
  #isDead = false;
  #due: (() => void)[] = [];
  /** How far its clock on the wall is ahead, in milliseconds. */
  skewMs = 0;

  constructor(world: ManualClock) {
    this.#world = world;
  }

  now(): number {
    return this.#world.now();
  }

  recent(): number {
    return this.#world.now();
  }

  wall(): number {
    return this.#world.wall() + this.skewMs;
  }

  after(ms: number, callback: () => void): () => void {
    let isCancelled = false;
    const run = () => {
      if (isCancelled || this.#isDead) return;
      if (this.#isStopped) this.#due.push(run);
      else callback();
    };
    const cancel = this.#world.after(ms, run);
    return () => {
      isCancelled = true;
      cancel();
    };
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Everything that became due meanwhile runs now, in the order in which it became due. */
  goOn(): void {
    this.#isStopped = false;
    const due = this.#due;
    this.#due = [];
    for (const run of due) this.#world.after(0, run);
  }

  kill(): void {
    this.#isDead = true;
  }
}

/** What surrounds a proxy. */
export interface Surroundings {
  readonly world: ManualClock;
  readonly random: () => number;
  readonly upstreams: readonly Upstream[];
  readonly policy: Policy;
  readonly ttlS: number;
  etcdFor(proxy: SimulatedProxy): Etcd;
  /** Whether a check of `upstream` by this proxy passes now. */
  reaches(proxy: SimulatedProxy, upstream: string): ProbeResult;
  onTriggers(proxy: SimulatedProxy, promotion: Promotion, what: "begin" | "end"): void;
  onOpen(proxy: SimulatedProxy, upstream: string | undefined): void;
}

/** Pause between two checks, in milliseconds. */
const CHECK_MS = 500;
/** The longest run of triggers, in milliseconds. */
const TRIGGERS_MAX_MS = 6_000;
/** How often the guard of a trigger looks at its deadline, in milliseconds. */
const GUARD_MS = 50;

export class SimulatedProxy {
  readonly clock: ProcessClock;
  readonly events: Event[] = [];
  /** Where its new clients go; undefined while they are held or refused. */
  route: string | undefined;
  isDead = false;
  controller!: Controller;
  coordinator!: ClusterCoordinator;
  readonly #around: Surroundings;
  #guardUntil = 0;
  #killRun = () => {};

  constructor(readonly name: string, around: Surroundings) {
    this.#around = around;
    this.clock = new ProcessClock(around.world);
    const { policy, upstreams } = around;
    const port: Coordinator = {
      decide: (promotion) => this.coordinator.decide(promotion),
      conclude: (decision) => this.coordinator.conclude(decision),
      acknowledge: (epoch) => this.coordinator.acknowledge(epoch),
      passOn: (...order) => this.coordinator.passOn(...order),
    };
    this.controller = new Controller(upstreams, { ...policy, instance: name }, {
      clock: this.clock,
      publish: (event) => this.events.push(event),
      plane: this.#plane(),
      checks: { now: (upstream) => this.#check(upstream, false), pace: () => {} },
      triggers: { run: (promotion, signal) => this.#run(promotion, signal) },
      coordinator: port,
      onState: () => this.coordinator.changed(),
    });
    this.controller.finished.catch((error) => {
      throw error;
    });
    this.coordinator = new ClusterCoordinator(
      { instance: name, version: "1", ttlS: around.ttlS, without: "serve-last" },
      around.etcdFor(this),
      {
        state: () => this.controller.state,
        policy: () => policy,
        post: (input) => {
          if (!this.isDead) this.controller.post(input);
        },
        order: (...order) => this.controller.order(...order),
        runsTriggers: () => this.controller.runsTriggers,
        busy: () => Promise.resolve(this.route === undefined ? 0 : 1),
      },
      { clock: this.clock, publish: (event) => this.events.push(event) },
    );
    this.coordinator.begin();
    for (const { name } of upstreams) this.#check(name, true);
  }

  /** Ends it as kill -9 does: its guards end its triggers when the lease would end. */
  kill(): void {
    this.isDead = true;
    this.clock.kill();
    this.route = undefined;
  }

  #check(upstream: string, isRepeated: boolean): void {
    const { stage } = this.controller.state;
    const tookMs = 1 + this.#around.random() * 20;
    this.clock.after(tookMs, () => {
      const result = { ...this.#around.reaches(this, upstream), tookMs };
      this.controller.post({ type: "probed", upstream, result, stage });
      if (isRepeated) {
        const pauseMs = CHECK_MS * (0.9 + this.#around.random() * 0.2);
        this.clock.after(pauseMs, () => this.#check(upstream, true));
      }
    });
  }

  #plane(): DataPlane {
    const set = (upstream: string | undefined) => {
      if (this.isDead) return Promise.resolve();
      this.route = upstream;
      this.#around.onOpen(this, upstream);
      return Promise.resolve();
    };
    const nothing = () => Promise.resolve();
    return {
      open: ({ name }) => set(name),
      hold: () => set(undefined),
      refuse: () => set(undefined),
      confirm: nothing,
      drain: nothing,
      spare: nothing,
      busy: () => Promise.resolve(0),
    };
  }

  /** The programs run in the time of the world. Their guard ends them when the lease of the proxy ends. */
  #run(promotion: Promotion, signal: AbortSignal): Promise<TriggerOutcome> {
    const { world, random, onTriggers } = this.#around;
    if (signal.aborted) return Promise.resolve({ how: "cancelled" });
    // A guard that starts after the deadline starts no program.
    this.#guardUntil = this.clock.now() + this.coordinator.report().leaseLeftMs;
    if (this.#guardUntil <= world.now()) return Promise.resolve({ how: "cancelled" });
    return new Promise((resolve) => {
      onTriggers(this, promotion, "begin");
      let isOver = false;
      const over = (outcome: TriggerOutcome) => {
        if (isOver) return;
        isOver = true;
        cancelEnd();
        cancelGuard();
        onTriggers(this, promotion, "end");
        this.clock.after(0, () => resolve(outcome));
      };
      const isGood = random() < 0.9;
      const cancelEnd = world.after(
        random() * TRIGGERS_MAX_MS,
        () => over(isGood ? { how: "ran" } : { how: "failed", reason: "exited with 1" }),
      );
      let cancelGuard = () => {};
      const guard = () => {
        if (!this.isDead && !this.clock.isStopped) {
          this.#guardUntil = world.now() + this.coordinator.report().leaseLeftMs;
        }
        if (world.now() >= this.#guardUntil) return over({ how: "cancelled" });
        cancelGuard = world.after(GUARD_MS, guard);
      };
      guard();
      signal.addEventListener("abort", () => over({ how: "cancelled" }), { once: true });
      this.#killRun = () => over({ how: "cancelled" });
    });
  }
}
