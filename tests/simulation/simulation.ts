/**
 * A simulation of everything around the failover machine, in virtual time. Upstreams start, stop and
 * freeze. The checker has jitter, late results and times without a verdict. Triggers take time, fail or
 * cannot be started. The data plane only records its orders. All randomness comes from one seed. After each
 * step `check` is called with the simulation.
 */
import { Dice } from "../../src/base/testing/dice.ts";
import type { Event } from "../../src/events/events.ts";
import { whyNotReconfigured } from "../../src/failover/configure.ts";
import { handedOver } from "../../src/failover/handing_over.ts";
import { policyAfter, step } from "../../src/failover/machine.ts";
import { type Memory, memoryOf } from "../../src/failover/memory.ts";
import type { OperatorOrder, OrderOutcome } from "../../src/failover/orders.ts";
import type {
  DrainOrder,
  ProbeResult,
  Promotion,
  TriggerOutcome,
} from "../../src/failover/ports.ts";
import { initialState, type Policy, type State, wakeAt } from "../../src/failover/state.ts";
import type { Effect, Input } from "../../src/failover/steps.ts";
import type { Upstream } from "../../src/failover/upstream.ts";
import { settingsFor } from "./settings.ts";

export type Condition = "well" | "refusing" | "denying" | "silent";

export interface Settings {
  readonly seed: number;
  readonly upstreams: number;
  readonly policy: Policy;
  readonly checkIntervalMs: number;
  readonly checkTimeoutMs: number;
  readonly triggerMaxMs: number;
  readonly lengthMs: number;
  /** Mean time between two changes of one upstream's condition, in milliseconds. */
  readonly meanChangeMs: number;
  /** The longest time of a slow check, in milliseconds; 0 if there are no slow checks. */
  readonly slowCheckMs: number;
  /** The share of the time, from 0 to 1, in which checks give no verdict. */
  readonly shortage: number;
  /** The share of the triggers, from 0 to 1, that fail or cannot be started. */
  readonly triggerTrouble: number;
  /** Whether the clock jumps at random, by up to a minute, in both directions. */
  readonly jumps: boolean;
  /** Mean time between two orders of the operator beside failbacks, in milliseconds; 0 without them. */
  readonly meanOrderMs: number;
  /** Mean time between two ends of the process by kill -9, in milliseconds; 0 without them. */
  readonly meanRestartMs: number;
  /** Mean time between two changes of the list of upstreams and the policy, in milliseconds; 0 without them. */
  readonly meanReloadMs: number;
}

/** An order and the outcomes that its caller got. */
export interface Ordered {
  readonly order: OperatorOrder;
  readonly at: number;
  readonly outcomes: OrderOutcome["is"][];
}

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

interface Probing {
  underWay: boolean;
  again: boolean;
  pace: "steady" | "doubt";
  /** The number of the newest timer for a regular probe; older timers are ignored. */
  timer: number;
}

/** The epoch on disk is so much larger, since the last step may not have been saved when power is lost. */
const EPOCHS_AHEAD = 10;
/** Upstreams that are not listed at the start, where the list changes. */
const SPARE_UPSTREAMS = 1;
/** The most steps at one moment: a schedule whose time does not advance fails instead of hanging. */
const STEPS_MAX = 10_000;
/** The resolution of the timer of the machine, in milliseconds. */
const TIMER_MS = 0.001;

export class Simulation {
  now = 0;
  state: State;
  readonly conditions: Map<string, { condition: Condition; since: number }>;
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
  /** Whether checks give no verdict at present, and since when that is so. */
  shortage: { readonly isShort: boolean; readonly since: number } = { isShort: false, since: 0 };
  /** The epochs in which an upstream went on serving after a failed move away from it, or a restart. */
  readonly returned = new Set<number>();
  /** By epoch: the last outcome of its triggers. */
  readonly outcomes = new Map<number, TriggerOutcome["how"]>();
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
  readonly #probing = new Map<string, Probing>();
  /** The upstreams that may be listed. */
  readonly #pool: readonly Upstream[];
  readonly #timerQueue: Timer[] = [];
  /** The run of triggers that is under way. */
  #run: { readonly epoch: number } | undefined;
  #timers = 0;
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
    this.conditions = new Map(
      pool.map((u) => [u.name, { condition: this.#draw(), since: 0 }]),
    );
    this.#pool = pool;
    for (const { name } of upstreams) this.#probing.set(name, newProbing());
  }

  run(check: (simulation: Simulation) => void): void {
    this.#check = check;
    for (const name of this.conditions.keys()) this.#planChange(name);
    this.#planDoubt();
    this.#planShortage();
    this.#planOrder();
    this.#planOrders();
    this.#planRestart();
    this.#planReload();
    this.#input({ type: "begun" });
    let stepsNow = 0;
    while (this.now < this.#settings.lengthMs) {
      const next = this.#takeNext();
      if (next === undefined) break;
      stepsNow = next.at > this.now ? 0 : stepsNow + 1;
      if (stepsNow > STEPS_MAX) throw new Error(`the time does not advance at ${this.now} ms`);
      this.now = Math.max(this.now, next.at);
      next.run();
    }
  }

  #check: (simulation: Simulation) => void = () => {};

  #at(delayMs: number, run: () => void): void {
    this.#timerQueue.push({ at: this.now + delayMs, order: this.#timers++, run });
  }

  #takeNext(): Timer | undefined {
    let best = 0;
    this.#timerQueue.forEach((a, i) => {
      const b = this.#timerQueue[best]!;
      if (a.at < b.at || (a.at === b.at && a.order < b.order)) best = i;
    });
    return this.#timerQueue.splice(best, 1)[0];
  }

  #draw(): Condition {
    const roll = this.#random();
    return roll < 0.55 ? "well" : roll < 0.75 ? "refusing" : roll < 0.88 ? "silent" : "denying";
  }

  #planChange(name: string): void {
    this.#at(-Math.log(1 - this.#random()) * this.#settings.meanChangeMs, () => {
      const condition = this.#draw();
      if (this.conditions.get(name)!.condition !== condition) {
        this.conditions.set(name, { condition, since: this.now });
      }
      this.#planChange(name);
    });
  }

  #planShortage(): void {
    const { shortage } = this.#settings;
    if (shortage === 0) return;
    const { isShort } = this.shortage;
    const meanMs = 20_000 * (isShort ? shortage : 1 - shortage);
    this.#at(-Math.log(1 - this.#random()) * meanMs, () => {
      this.shortage = { isShort: !isShort, since: this.now };
      this.#planShortage();
    });
  }

  /**
   * The process is killed, its triggers end with it, and it begins again with what is on disk; or another process
   * takes over, if that is possible at the moment.
   */
  #planRestart(): void {
    const { meanRestartMs } = this.#settings;
    if (meanRestartMs === 0) return;
    this.#at(-Math.log(1 - this.#random()) * meanRestartMs, () => {
      const { policy } = this.#settings;
      const handed = this.#random() < 0.5 ? handedOver(this.state, policy) : "it is killed";
      const memory = typeof handed === "string" ? this.saved : handed;
      this.life++;
      this.#run = undefined;
      this.orders.clear();
      this.drains.clear();
      this.admission = "closed";
      for (const probing of this.#probing.values()) {
        Object.assign(probing, { underWay: false, again: false, pace: "steady" });
        probing.timer++;
      }
      this.state = initialState(this.state.upstreams, this.now + this.#skew, memory);
      this.restarted = this.state;
      this.#forgetUnlisted();
      this.#save(this.state);
      this.#input({ type: "begun" });
      // The checker of the new process begins by itself.
      for (const { name } of this.state.upstreams) this.#probe(name);
      this.#planRestart();
    });
  }

  /** The operator changes the list, or options, at random times. */
  #planReload(): void {
    const { meanReloadMs } = this.#settings;
    if (meanReloadMs === 0) return;
    this.#at(-Math.log(1 - this.#random()) * meanReloadMs, () => {
      this.#reload();
      this.#planReload();
    });
  }

  #reload(): void {
    const listed = this.#pool.map((upstream) => ({ upstream, place: this.#random() }))
      .filter(() => this.#random() < 0.7).toSorted((a, b) => a.place - b.place)
      .map(({ upstream }, rank) => ({ ...upstream, rank }));
    const upstreams = this.#random() < 0.3 ? this.state.upstreams : listed;
    if (upstreams.length === 0) return;
    const { rise, fall, failback, damping, maxBackoffMs } =
      settingsFor(Math.floor(this.#random() * 2 ** 31)).policy;
    const policy = this.#random() < 0.5
      ? this.policy
      : { ...this.policy, rise, fall, failback, damping, maxBackoffMs };
    // As the composition root does.
    if (whyNotReconfigured(this.state, upstreams) !== undefined) return;
    const names = upstreams.map(({ name }) => name);
    for (const name of [...this.#probing.keys()]) {
      if (!names.includes(name)) this.#probing.delete(name);
    }
    const added = names.filter((name) => !this.#probing.has(name));
    for (const name of added) this.#probing.set(name, newProbing());
    this.reloadedAt = this.now;
    this.#input({ type: "configured", upstreams, policy });
    if (this.before.remembered !== undefined) this.#forgetUnlisted();
    for (const name of added) this.#probe(name);
  }

  /** What is remembered from before a restart is forgotten with the upstream that it is about. */
  #forgetUnlisted(): void {
    if (this.served.some((name) => !this.state.health.has(name))) this.served = [];
  }

  /** An operator who orders a failback at random times. */
  #planOrder(): void {
    this.#at(this.#random() * 600_000, () => {
      this.#order({ name: "failback" });
      this.#planOrder();
    });
  }

  /** Orders of every other kind at random times, with a mean interval that differs between simulations. */
  #planOrders(): void {
    const { meanOrderMs } = this.#settings;
    if (meanOrderMs === 0) return;
    this.#at(-Math.log(1 - this.#random()) * meanOrderMs, () => {
      this.#order(this.#drawOrder());
      this.#planOrders();
    });
  }

  #drawOrder(): OperatorOrder {
    const upstream = this.#pool[Math.floor(this.#random() * this.#pool.length)]!.name;
    const { holdMs } = this.#settings.policy;
    const roll = Math.floor(this.#random() * 12);
    // Pauses and drains are ended more often than begun, so that most of the time decisions are made.
    if (roll < 4) {
      const isDefault = this.#random() < 0.5;
      return isDefault
        ? { name: "switchover", to: upstream }
        : { name: "switchover", to: upstream, maxWaitMs: this.#random() * holdMs };
    }
    if (roll < 5) return { name: "pause" };
    if (roll < 7) return { name: "resume" };
    if (roll < 8) return { name: "hold", maxMs: this.#random() * holdMs };
    if (roll < 9) return { name: "release" };
    return roll < 10 ? { name: "drain", upstream } : { name: "undrain", upstream };
  }

  #order(order: OperatorOrder): void {
    const id = ++this.#lastOrder;
    this.orders.set(id, { order, at: this.now, outcomes: [] });
    this.#input({ type: "ordered", id, order, by: "ann", reason: "" });
  }

  /** Sessions become quiet at a random time after they are waited for, or never. */
  #awaitQuiet(epoch: number): void {
    if (this.#random() < 0.3) return;
    const { life } = this;
    this.#at(this.#random() * 8_000, () => {
      if (life === this.life) this.#input({ type: "quieted", epoch });
    });
  }

  /** Clients that find the active upstream failed, and jumps of the clock, at random times. */
  #planDoubt(): void {
    this.#at(this.#random() * 3_000, () => {
      if (typeof this.admission === "object") {
        const { upstream, epoch } = this.admission;
        const { condition } = this.conditions.get(upstream)!;
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

  #probe(name: string): void {
    const probing = this.#probing.get(name);
    if (probing === undefined) return;
    if (probing.underWay) {
      probing.again = true;
      return;
    }
    probing.underWay = true;
    probing.timer++;
    const { stage } = this.state;
    const { condition } = this.conditions.get(name)!;
    const { checkTimeoutMs, slowCheckMs } = this.#settings;
    const isSlow = slowCheckMs > 0 && this.#random() < 0.2;
    const tookMs = isSlow
      ? this.#random() * slowCheckMs
      : condition === "silent"
      ? checkTimeoutMs
      : this.#random() * checkTimeoutMs * 0.5;
    const result = this.shortage.isShort && this.#random() < 0.9
      ? { passed: false, tookMs: 0, reason: "too many open files", evidence: "no_verdict" as const }
      : answer(condition, tookMs);
    const { life } = this;
    this.#at(result.tookMs, () => {
      if (life !== this.life) return;
      // The result of an upstream that was removed meanwhile may come, but not if it is listed again.
      const listed = this.#probing.get(name);
      if (listed !== undefined && listed !== probing) return;
      probing.underWay = false;
      this.#input({ type: "probed", upstream: name, result, stage });
      if (this.#probing.get(name) !== probing) return;
      if (probing.again) {
        probing.again = false;
        this.#probe(name);
      } else this.#planProbe(name);
    });
  }

  #planProbe(name: string): void {
    const probing = this.#probing.get(name);
    if (probing === undefined || probing.underWay) return;
    const timer = ++probing.timer;
    const interval = probing.pace === "doubt" ? 500 : this.#settings.checkIntervalMs;
    this.#at(interval * (0.95 + this.#random() * 0.1), () => {
      if (this.#probing.get(name) === probing && probing.timer === timer) this.#probe(name);
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
    this.#at(waitMs > 0 ? Math.max(waitMs, TIMER_MS) : 0, () => {
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
        return this.#probe(effect.upstream);
      case "pace":
        this.#setPace(effect.upstream, effect.pace);
        return;
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
        if (this.#run?.epoch === effect.epoch) this.#callOff(this.#run);
        return;
      case "awaitQuiet":
        return this.#awaitQuiet(effect.epoch);
      case "settle":
        this.orders.get(effect.id)!.outcomes.push(effect.outcome.is);
    }
  }

  #setPace(name: string, pace: Probing["pace"]): void {
    const probing = this.#probing.get(name);
    if (probing === undefined) return;
    probing.pace = pace;
    this.#planProbe(name);
  }

  /** A newer run cancels the one under way, as in the controller. */
  #runTriggers({ epoch, to }: Promotion): void {
    if (this.#run !== undefined) this.#callOff(this.#run);
    const run = this.#run = { epoch };
    this.#save(this.state);
    this.begun.push({ epoch, life: this.life });
    this.#begunTo = to;
    if (this.served.length > 0) this.served = [...this.served, to];
    const outcome = this.#outcome();
    const tookMs = outcome.how === "short" ? 0 : this.#random() * this.#settings.triggerMaxMs;
    const { life } = this;
    this.#at(tookMs, () => {
      if (life === this.life) this.#endTriggers(run, outcome);
    });
  }

  #callOff(run: { readonly epoch: number }): void {
    const { life } = this;
    this.#at(10, () => {
      if (life === this.life) this.#endTriggers(run, { how: "cancelled" });
    });
  }

  #endTriggers(run: { readonly epoch: number }, outcome: TriggerOutcome): void {
    if (this.#run === run) this.#run = undefined;
    else if (outcome.how !== "cancelled") return;
    this.outcomes.set(run.epoch, outcome.how);
    this.#input({ type: "triggersEnded", epoch: run.epoch, outcome });
  }

  #outcome(): TriggerOutcome {
    const roll = this.#random() / (this.#settings.triggerTrouble || 1e-9);
    if (roll > 1) return { how: "ran" };
    if (roll > 0.5) return { how: "failed", reason: "trigger exited with 1" };
    return { how: "short", reason: "too many open files", hasBegun: this.#random() < 0.3 };
  }
}

function newProbing(): Probing {
  return { underWay: false, again: false, pace: "steady", timer: 0 };
}

function answer(condition: Condition, tookMs: number): ProbeResult {
  switch (condition) {
    case "well":
      return { passed: true, tookMs, reason: "connected", evidence: "passed" };
    case "refusing":
      return { passed: false, tookMs, reason: "connection refused", evidence: "refused" };
    case "denying":
      return { passed: false, tookMs, reason: "check exited with 1", evidence: "denied" };
    case "silent":
      return { passed: false, tookMs, reason: "no answer", evidence: "silent" };
  }
}
