/**
 * A simulation of everything around the failover machine, in virtual time: upstreams (`upstream_conditions.ts`), the
 * checker, triggers, the operator, clients, and a process that ends and begins again. The data plane only records its
 * orders. All randomness comes from one seed. After each step `check` is called with the simulation.
 */
import { Dice } from "../../src/base/testing/dice.ts";
import type { Event } from "../../src/events/events.ts";
import { whyNotReconfigured } from "../../src/failover/configure.ts";
import { handedOver } from "../../src/failover/handing_over.ts";
import { policyAfter, step } from "../../src/failover/machine.ts";
import { type Memory, memoryOf } from "../../src/failover/memory.ts";
import type { OperatorOrder, OrderOutcome } from "../../src/failover/orders.ts";
import type { DrainOrder, Promotion, TriggerOutcome } from "../../src/failover/ports.ts";
import { initialState, type Policy, type State, wakeAt } from "../../src/failover/state.ts";
import type { Effect, Input } from "../../src/failover/steps.ts";
import type { Upstream } from "../../src/failover/upstream.ts";
import type { Settings } from "./settings.ts";
import { SimulatedChecker } from "./simulated_checker.ts";
import { SimulatedOperator } from "./simulated_operator.ts";
import { SimulatedTriggers } from "./simulated_triggers.ts";
import { UpstreamConditions } from "./upstream_conditions.ts";
import { VirtualTime } from "./virtual_time.ts";

/** An order and the outcomes that its caller got. */
export interface Ordered {
  readonly order: OperatorOrder;
  readonly at: number;
  readonly outcomes: OrderOutcome["is"][];
}

/** The epoch on disk is so much larger, since the last step may not have been saved when power is lost. */
const EPOCHS_AHEAD = 10;
/** Upstreams that are not listed at the start, where the list changes. */
const SPARE_UPSTREAMS = 1;
/** The resolution of the timer of the machine, in milliseconds. */
const TIMER_MS = 0.001;

export class Simulation {
  state: State;
  /** The last order of admission to the data plane. */
  admission: "closed" | "holding" | { readonly upstream: string; readonly epoch: number } =
    "closed";
  readonly opened: number[] = [];
  /** By upstream: the last drain that was ordered and not cancelled. */
  readonly drains = new Map<string, DrainOrder>();
  /** The state before the last input, and that input. */
  before: State;
  input: Input = { type: "ticked" };
  /** The result. */
  effects: readonly Effect[] = [];
  /** The epochs in which an upstream went on serving after a failed move away from it, or a restart. */
  readonly returned = new Set<number>();
  readonly events: { readonly at: number; readonly event: Event }[] = [];
  readonly orders = new Map<number, Ordered>();
  readonly moves = new Set<string>();
  /** What is on disk: the memory of the last step or of the one before, but that of the last triggers. */
  saved: Memory;
  /** The epochs whose triggers have begun, each with the number of the run of the process. */
  readonly begun: { readonly epoch: number; readonly life: number }[] = [];
  /** The upstream that served clients last, the one before, and those whose triggers have begun since. */
  served: readonly string[] = [];
  /** The upstream whose triggers began last, also while nobody is known to have served. */
  #begunTo: string | undefined;
  /** Counts the runs of the process, from 1. */
  life = 1;
  /** The state with which the present run began. */
  restarted: State;
  /** The policy that is in force, and the one before the last input. */
  policy: Policy;
  policyBefore: Policy;
  /** When the list of upstreams or the policy changed last. */
  reloadedAt = 0;
  readonly #random: () => number;
  readonly #settings: Settings;
  readonly #time = new VirtualTime();
  readonly #conditions: UpstreamConditions;
  readonly #checker: SimulatedChecker;
  readonly #triggers: SimulatedTriggers;
  readonly #operator: SimulatedOperator;
  #lastOrder = 0;
  #wake = 0;
  /** The offset, in milliseconds, of the clock of the machine after jumps. */
  #skew = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
    const dice = new Dice(settings.seed);
    this.#random = () => dice.fraction();
    this.policy = this.policyBefore = settings.policy;
    const spare = settings.meanReloadMs > 0 ? SPARE_UPSTREAMS : 0;
    const pool = Array.from({ length: settings.upstreams + spare }, (_, rank) => ({
      name: `u${rank}`,
      rank,
      address: { kind: "tcp" as const, host: `u${rank}`, port: 1 },
    }));
    const upstreams = pool.slice(0, settings.upstreams);
    this.state = this.before = initialState(upstreams, 0);
    this.restarted = this.state;
    // As the state folder does when it is opened.
    this.saved = { ...memoryOf(this.state), epoch: EPOCHS_AHEAD };
    const names = pool.map(({ name }) => name);
    const [time, random] = [this.#time, this.#random];
    this.#conditions = new UpstreamConditions(names, settings, time, random);
    const process = {
      ...{ settings, random },
      after: (delayMs: number, run: () => void) => this.#afterInThisLife(delayMs, run),
    };
    this.#checker = new SimulatedChecker(upstreams.map(({ name }) => name), {
      ...process,
      conditions: this.#conditions,
      stage: () => this.state.stage,
      post: (upstream, result, stage) => this.#input({ type: "probed", upstream, result, stage }),
    });
    this.#triggers = new SimulatedTriggers({
      ...process,
      post: (epoch, outcome) => this.#input({ type: "triggersEnded", epoch, outcome }),
    });
    this.#operator = new SimulatedOperator({
      ...{ settings, time, random, pool },
      config: () => ({ upstreams: this.state.upstreams, policy: this.policy }),
      order: (order) => this.#order(order),
      reload: (upstreams, policy) => this.#reload(upstreams, policy),
    });
  }

  /** The time in milliseconds. The clock of the machine differs from it after jumps. */
  get now(): number {
    return this.#time.now;
  }

  /** By upstream: how it really is, and since when. */
  get conditions(): UpstreamConditions["all"] {
    return this.#conditions.all;
  }

  /** Whether checks give no verdict at present, and since when that is so. */
  get shortage(): UpstreamConditions["shortage"] {
    return this.#conditions.shortage;
  }

  /** By epoch: the last outcome of its triggers. */
  get outcomes(): ReadonlyMap<number, TriggerOutcome["how"]> {
    return this.#triggers.outcomes;
  }

  run(check: (simulation: Simulation) => void): void {
    this.#check = check;
    this.#conditions.planChanges();
    this.#planDoubt();
    this.#conditions.planShortage();
    this.#operator.planFailback();
    this.#operator.planOrder();
    this.#planRestart();
    this.#operator.planReload();
    this.#input({ type: "begun" });
    this.#time.runUntil(this.#settings.lengthMs);
  }

  #check: (simulation: Simulation) => void = () => {};

  /** Calls `run` in `delayMs` milliseconds, unless the process has ended meanwhile. */
  #afterInThisLife(delayMs: number, run: () => void): void {
    const { life } = this;
    this.#time.after(delayMs, () => {
      if (life === this.life) run();
    });
  }

  /**
   * The process is killed, its triggers end with it, and it begins again with what is on disk; or another process
   * takes over, if that is possible at the moment.
   */
  #planRestart(): void {
    const { meanRestartMs } = this.#settings;
    if (meanRestartMs === 0) return;
    this.#time.after(-Math.log(1 - this.#random()) * meanRestartMs, () => {
      const { policy } = this.#settings;
      const handed = this.#random() < 0.5 ? handedOver(this.state, policy) : "it is killed";
      const memory = typeof handed === "string" ? this.saved : handed;
      this.life++;
      this.#triggers.restart();
      this.#checker.restart();
      this.orders.clear();
      this.drains.clear();
      this.admission = "closed";
      this.state = initialState(this.state.upstreams, this.now + this.#skew, memory);
      this.restarted = this.state;
      this.#forgetUnlisted();
      this.#save(this.state);
      this.#input({ type: "begun" });
      // The checker of the new process begins by itself.
      for (const { name } of this.state.upstreams) this.#checker.probe(name);
      this.#planRestart();
    });
  }

  #reload(upstreams: readonly Upstream[], policy: Policy): void {
    // As the composition root does.
    if (whyNotReconfigured(this.state, upstreams) !== undefined) return;
    const added = this.#checker.list(upstreams.map(({ name }) => name));
    this.reloadedAt = this.now;
    this.#input({ type: "configured", upstreams, policy });
    if (this.before.remembered !== undefined) this.#forgetUnlisted();
    for (const name of added) this.#checker.probe(name);
  }

  /** What is remembered from before a restart is forgotten with the upstream that it is about. */
  #forgetUnlisted(): void {
    if (this.served.some((name) => !this.state.health.has(name))) this.served = [];
  }

  #order(order: OperatorOrder): void {
    const id = ++this.#lastOrder;
    this.orders.set(id, { order, at: this.now, outcomes: [] });
    this.#input({ type: "ordered", id, order, by: "ann", reason: "" });
  }

  /** Sessions become quiet at a random time after they are waited for, or never. */
  #awaitQuiet(epoch: number): void {
    if (this.#random() < 0.3) return;
    this.#afterInThisLife(
      this.#random() * 8_000,
      () => this.#input({ type: "quieted", epoch }),
    );
  }

  /** Clients that find the active upstream failed, and jumps of the clock, at random times. */
  #planDoubt(): void {
    this.#time.after(this.#random() * 3_000, () => {
      if (typeof this.admission === "object") {
        const { upstream, epoch } = this.admission;
        const condition = this.#conditions.of(upstream);
        if (condition === "refusing" || condition === "silent") {
          const hard = condition === "refusing";
          this.#input({ type: "doubted", doubt: { upstream, epoch, hard, reason: condition } });
        }
      }
      if (this.#settings.jumps && this.#random() < 0.005) {
        this.#skew = (this.#random() - 0.3) * 60_000;
      }
      this.#planDoubt();
    });
  }

  #save(state: State): void {
    this.saved = { ...memoryOf(state), epoch: state.epoch + EPOCHS_AHEAD };
  }

  #input(input: Input): void {
    const reported = this.now + this.#skew;
    this.before = this.state;
    this.input = input;
    const { state, effects } = step(this.state, input, reported, this.policy);
    this.policyBefore = this.policy;
    this.policy = policyAfter(input, this.policy);
    const move = `${this.state.phase.name}>${state.phase.name}`;
    if (this.state.phase.name !== state.phase.name) this.moves.add(move);
    if (this.#random() < 0.7) this.#save(this.before);
    this.state = state;
    this.effects = effects;
    for (const effect of effects) this.#perform(effect);
    if (this.#random() < 0.7) this.#save(state);
    this.#check(this);
    this.#planWake();
  }

  #planWake(): void {
    const at = wakeAt(this.state);
    const wake = ++this.#wake;
    if (at === undefined) return;
    // A difference smaller than the precision of `now` would not advance the time: the tick would come too
    // early, and again, without end. Real timers have a resolution as well.
    const waitMs = at - (this.now + this.#skew);
    this.#time.after(waitMs > 0 ? Math.max(waitMs, TIMER_MS) : 0, () => {
      if (this.#wake === wake) this.#input({ type: "ticked" });
    });
  }

  #perform(effect: Effect): void {
    switch (effect.do) {
      case "publish":
        this.events.push({ at: this.state.now, event: effect.event });
        if (effect.event.type === "service.returned" || effect.event.type === "service.continued") {
          this.returned.add(effect.event.epoch);
        }
        return;
      case "probe":
        return this.#checker.probe(effect.upstream);
      case "pace":
        return this.#checker.setPace(effect.upstream, effect.pace);
      case "hold":
        this.admission = "holding";
        return;
      case "refuse":
        this.admission = "closed";
        return;
      case "open": {
        const { upstream: { name: upstream }, epoch } = effect;
        // The end of the operator's hold opens to the same decision again, also while triggers run beside the traffic.
        const isSame = epoch === this.opened.at(-1);
        this.admission = { upstream, epoch };
        this.opened.push(epoch);
        if (this.state.admission.is === "open" && !isSame) {
          const before = this.served.at(-1) ?? this.#begunTo;
          this.served = [...before === undefined ? [] : [before], upstream];
        }
        return;
      }
      case "drain":
        this.drains.set(effect.order.upstream, effect.order);
        return;
      case "spare":
        if (this.drains.get(effect.upstream)?.revocable) this.drains.delete(effect.upstream);
        return;
      case "runTriggers":
        return this.#runTriggers(effect.promotion);
      case "cancelTriggers":
        return this.#triggers.cancel(effect.epoch);
      case "awaitQuiet":
        return this.#awaitQuiet(effect.epoch);
      case "settle":
        this.orders.get(effect.id)!.outcomes.push(effect.outcome.is);
    }
  }

  #runTriggers({ epoch, to }: Promotion): void {
    this.#save(this.state);
    this.begun.push({ epoch, life: this.life });
    this.#begunTo = to;
    if (this.served.length > 0) this.served = [...this.served, to];
    this.#triggers.run(epoch);
  }
}
