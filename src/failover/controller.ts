/**
 * Drives the machine of one service: takes inputs, calls `step`, and performs the effects one after
 * another through the ports. It is the only caller of `step` and decides nothing itself. An input is
 * applied at once when it is posted; effects are queued, since the data plane takes time for an order.
 */
import type { Clock } from "../base/clock.ts";
import type { Publish } from "../events/events.ts";
import { whyNotReconfigured } from "./configure.ts";
import { handedOver } from "./handing_over.ts";
import { isInDoubt } from "./health.ts";
import type { Decision } from "./cluster.ts";
import { History } from "./history.ts";
import { policyAfter, step } from "./machine.ts";
import { isSameMemory, type Memory, memoryOf, type MemoryPort } from "./memory.ts";
import type { OperatorOrder, OrderOutcome, OrderSource } from "./orders.ts";
import type { Checks, Coordinator, DataPlane, Promotion, Triggers } from "./ports.ts";
import {
  awaitsQuiet,
  awaitsTriggers,
  initialState,
  type Policy,
  type State,
  wakeAt,
} from "./state.ts";
import type { Effect, Input, Step } from "./steps.ts";
import type { Upstream } from "./upstream.ts";

/** One step that was taken: its input, the state that it found, and what came of it. */
export interface Taken {
  readonly input: Input;
  readonly before: State;
  /** The policy that was in force before the input. */
  readonly policy: Policy;
  readonly step: Step;
}

/** What the controller drives, and who learns of its steps. `ports.ts` has the contracts. */
export interface ControllerPorts {
  readonly clock: Clock;
  readonly publish: Publish;
  readonly plane: DataPlane;
  readonly checks: Checks;
  readonly triggers: Triggers;
  /** Shares the decisions with other proxies; without it this one is alone. */
  readonly coordinator?: Coordinator;
  /** What is remembered over a restart; without it nothing is. */
  readonly memory?: MemoryPort;
  /** Called with each new state, before anything follows from it. Must not throw. */
  readonly onState?: (state: State) => void;
  /** Called with each step, before its effects are performed. Must not throw. */
  readonly onStep?: (taken: Taken) => void;
}

/** More queued effects than this mean that a data plane hangs, which is a bug. */
const EFFECTS_MAX = 100_000;

/** Pause, in milliseconds, between two questions to the data plane whether sessions are quiet. */
const QUIET_POLL_MS = 50;
/** More orders than this are not under way at one time: further ones are refused. */
const ORDERS_MAX = 64;

/** Receives each outcome of one order; the last one is final. */
export type OnOutcome = (outcome: OrderOutcome) => void;

/**
 * One service's machine with its effects. Nothing happens before the input `begun`. Inputs, orders and effects
 * may come at any time until disposal.
 */
export class Controller implements AsyncDisposable {
  /** Resolves after disposal; rejects when a step or a port failed, which only a bug can cause. */
  readonly finished: Promise<void>;
  /** The last results of each upstream, for reports only. */
  readonly history: History;
  #policy: Policy;
  readonly #ports: ControllerPorts;
  readonly #done = Promise.withResolvers<void>();
  /** In order, with the revision of the newest shared decision that was known when they were decided. */
  readonly #effects: { readonly effect: Effect; readonly fence: number }[] = [];
  #state: State;
  #memory: Memory;
  #performing: Promise<void> | undefined;
  #cancelWake = () => {};
  #triggers: { readonly epoch: number; readonly abort: AbortController } | undefined;
  #triggersEnded: Promise<void> = Promise.resolve();
  readonly #orders = new Map<number, OnOutcome>();
  #lastOrder = 0;
  #quieting: Promise<void> = Promise.resolve();
  #cancelPoll = () => {};
  /** The newest epoch that could not be stored; nothing is opened under it. */
  #refusedEpoch = -1;
  #stopped = false;
  /** Nothing is decided, because another process is about to take over. */
  #isSuspended = false;

  constructor(upstreams: readonly Upstream[], policy: Policy, ports: ControllerPorts) {
    this.#policy = policy;
    this.#ports = ports;
    this.history = new History(upstreams, ports.clock);
    this.#state = initialState(upstreams, ports.clock.now(), ports.memory?.remembered);
    this.#memory = memoryOf(this.#state);
    this.finished = this.#done.promise;
    // The owner may await it later; a rejection before that must not count as unhandled.
    this.finished.catch(() => {});
  }

  /** The present state; replaced with each step. */
  get state(): State {
    return this.#state;
  }

  /** Whether triggers run, or are about to. */
  get runsTriggers(): boolean {
    return this.#triggers !== undefined;
  }

  /** Applies one input and starts its effects. Does nothing after disposal, or while it is suspended. */
  post(input: Input): void {
    if (this.#stopped || this.#isSuspended) return;
    const { clock } = this.#ports;
    if (input.type === "probed") this.history.add(input.upstream, input.result);
    else if (input.type === "configured") this.history.list(input.upstreams);
    try {
      const [before, policy] = [this.#state, this.#policy];
      const next = step(before, input, clock.now(), policy);
      this.#state = next.state;
      this.#policy = policyAfter(input, policy);
      this.#ports.onState?.(next.state);
      this.#ports.onStep?.({ input, before, policy, step: next });
      this.#remember();
      const { fence } = next.state;
      for (const effect of next.effects) this.#effects.push({ effect, fence });
      if (this.#effects.length > EFFECTS_MAX) {
        throw new Error("Effects pile up: a data plane hangs");
      }
    } catch (error) {
      return this.#fail(error);
    }
    this.#setWake();
    // With an empty queue `#performAll` would end before its promise is assigned, and the field would
    // never be cleared.
    if (this.#effects.length > 0) this.#performing ??= this.#performAll();
  }

  /**
   * Takes an operator's order, and passes it on if another proxy decides. `onOutcome` is called as for `order`.
   */
  orderForAll(order: OperatorOrder, source: OrderSource, onOutcome: OnOutcome = () => {}): void {
    const isPassedOn = !this.#stopped &&
      this.#ports.coordinator?.passOn(order, source, onOutcome) === true;
    if (!isPassedOn) this.order(order, source, onOutcome);
  }

  /** Carries out an operator's order. `onOutcome` is called at once, or later, until a final outcome. */
  order(order: OperatorOrder, source: OrderSource, onOutcome: OnOutcome = () => {}): void {
    if (this.#stopped) return onOutcome({ is: "refused", reason: "the service is stopping" });
    if (this.#isSuspended) {
      return onOutcome({ is: "refused", reason: "another process is taking over" });
    }
    if (this.#orders.size >= ORDERS_MAX) {
      return onOutcome({ is: "refused", reason: `${ORDERS_MAX} orders are under way already` });
    }
    const id = ++this.#lastOrder;
    this.#orders.set(id, onOutcome);
    this.post({ type: "ordered", id, order, ...source });
  }

  /** Why another list of upstreams cannot be put into force now, for a person; undefined if it can. */
  whyNotReconfigured(upstreams: readonly Upstream[]): string | undefined {
    if (this.#stopped) return "the service is stopping";
    if (this.#isSuspended) return "another process is taking over";
    return whyNotReconfigured(this.#state, upstreams);
  }

  /**
   * Decides nothing until `resume`, and returns what another process must know to take over; or returns why that is
   * not possible at this moment, and goes on. What is learned meanwhile is lost: the next checks show it again.
   */
  suspend(): Memory | string {
    const memory = this.#handedOver();
    if (typeof memory === "string") return memory;
    this.#isSuspended = true;
    this.#cancelWake();
    return memory;
  }

  /** Why `suspend` is not possible at this moment, for a person; undefined if it is. */
  get busyWith(): string | undefined {
    const memory = this.#handedOver();
    return typeof memory === "string" ? memory : undefined;
  }

  /** Decides again, with checks that have begun anew: no other process has taken over. */
  resume(): void {
    if (!this.#isSuspended || this.#stopped) return;
    this.#isSuspended = false;
    for (const [upstream, health] of this.#state.health) {
      if (isInDoubt(health, this.#policy)) this.#ports.checks.pace(upstream, "doubt");
    }
    this.#setWake();
  }

  /** Ignores further inputs, ends running triggers, and resolves when no effect is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop("the service is stopping");
    this.#triggers?.abort.abort();
    await this.#performing;
    await this.#triggersEnded;
    await this.#quieting;
    this.#done.resolve();
  }

  #handedOver(): Memory | string {
    if (this.#stopped) return "it is stopping";
    if (this.#orders.size > 0) return "an order is under way";
    if (this.#performing !== undefined) return "a decision is being put into force";
    return handedOver(this.#state, this.#policy);
  }

  #remember(): void {
    const { memory } = this.#ports;
    if (memory === undefined) return;
    const now = memoryOf(this.#state);
    if (isSameMemory(now, this.#memory)) return;
    this.#memory = now;
    memory.keep(now);
  }

  #setWake(): void {
    this.#cancelWake();
    const at = wakeAt(this.#state);
    if (at === undefined) return;
    const { clock } = this.#ports;
    this.#cancelWake = clock.after(at - clock.now(), () => this.post({ type: "ticked" }));
  }

  #fail(error: unknown): void {
    this.#stop("a fault of the proxy itself");
    this.#done.reject(error);
  }

  #stop(reason: string): void {
    this.#stopped = true;
    this.#cancelWake();
    this.#cancelPoll();
    for (const onOutcome of this.#orders.values()) onOutcome({ is: "failed", reason });
    this.#orders.clear();
  }

  async #performAll(): Promise<void> {
    try {
      for (let next = this.#effects.shift(); next; next = this.#effects.shift()) {
        await this.#perform(next.effect, next.fence);
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#performing = undefined;
    }
  }

  #perform(effect: Effect, fence: number): Promise<void> | void {
    const { plane, checks, publish } = this.#ports;
    switch (effect.do) {
      case "publish":
        return publish(effect.event);
      case "probe":
        return checks.now(effect.upstream);
      case "pace":
        return checks.pace(effect.upstream, effect.pace);
      case "hold":
        return plane.hold();
      case "refuse":
        return plane.refuse();
      case "open":
        // The decision is not stored, so that another proxy may have decided otherwise.
        if (effect.epoch === this.#refusedEpoch) return;
        return plane.open(effect.upstream, effect.epoch);
      case "confirm":
        return plane.confirm(effect.upstream);
      case "drain":
        return plane.drain(effect.order);
      case "spare":
        return plane.spare(effect.upstream);
      case "runTriggers":
        return this.#runTriggers(effect.promotion, fence);
      case "cancelTriggers":
        if (this.#triggers?.epoch === effect.epoch) this.#triggers.abort.abort();
        return;
      case "conclude":
        return this.#conclude(effect.decision, fence);
      case "acknowledge":
        return this.#ports.coordinator?.acknowledge(effect.epoch);
      case "awaitQuiet":
        this.#cancelPoll();
        return this.#pollQuiet(effect.upstream, effect.epoch);
      case "settle":
        return this.#settle(effect.id, effect.outcome);
    }
  }

  async #conclude(
    decision: Omit<Decision, "phase" | "by">,
    known: number,
  ): Promise<void> {
    const reason = this.#overtaken(known) ?? await this.#ports.coordinator?.conclude(decision);
    if (reason !== undefined) this.#deny(decision.epoch, reason);
  }

  #deny(epoch: number, reason: string): void {
    this.#refusedEpoch = epoch;
    this.post({ type: "triggersEnded", epoch, outcome: { how: "denied", reason } });
  }

  /**
   * Why a decision of this proxy must not be stored any more that was made when the revision `known` was the newest:
   * while it waited behind slow effects, another proxy led and decided, and this one may lead again.
   */
  #overtaken(known: number): string | undefined {
    const { fence, cluster } = this.#state;
    const { decision, instance } = cluster ?? {};
    if (fence <= known || decision === undefined || decision.by === instance) return undefined;
    const { epoch, by } = decision;
    return `epoch ${epoch} was decided by ${by}`;
  }

  #settle(id: number, outcome: OrderOutcome): void {
    const onOutcome = this.#orders.get(id);
    if (outcome.is !== "accepted") this.#orders.delete(id);
    onOutcome?.(outcome);
  }

  /** Asks the data plane until no session is busy, or until the machine no longer waits for that. */
  #pollQuiet(upstream: string, epoch: number): void {
    const isAwaited = () => !this.#stopped && awaitsQuiet(this.#state, epoch);
    if (!isAwaited()) return;
    this.#quieting = this.#ports.plane.busy(upstream, epoch - 1).then((count) => {
      if (!isAwaited()) return;
      if (count === 0) return this.post({ type: "quieted", epoch });
      const again = () => this.#pollQuiet(upstream, epoch);
      this.#cancelPoll = this.#ports.clock.after(QUIET_POLL_MS, again);
    }, (error) => this.#fail(error));
  }

  /** Starts the triggers and returns; their end is an input. A newer promotion cancels an older one. */
  async #runTriggers(promotion: Promotion, known: number): Promise<void> {
    // A number that scripts have seen must not come again, even if the machine loses power now.
    await this.#ports.memory?.kept();
    this.#triggers?.abort.abort();
    const abort = new AbortController();
    const { epoch } = promotion;
    this.#triggers = { epoch, abort };
    if (this.#stopped) return;
    const denied = this.#overtaken(known);
    const grant = denied === undefined
      ? await this.#ports.coordinator?.decide(promotion) ?? { fence: undefined }
      : { denied };
    if (this.#stopped) return;
    if ("denied" in grant) {
      this.#triggers = undefined;
      return this.#deny(epoch, grant.denied);
    }
    // The machine may have given the promotion up while it was being stored.
    if (!awaitsTriggers(this.#state, epoch)) {
      this.#triggers = undefined;
      return this.post({ type: "triggersEnded", epoch, outcome: { how: "cancelled" } });
    }
    const { fence } = grant;
    const fenced = fence === undefined ? promotion : { ...promotion, fence };
    this.#triggersEnded = this.#ports.triggers.run(fenced, abort.signal).then(
      (outcome) => {
        if (this.#triggers?.abort === abort) this.#triggers = undefined;
        this.post({ type: "triggersEnded", epoch, outcome });
      },
      (error) => this.#fail(error),
    );
  }
}
