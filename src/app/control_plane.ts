/**
 * The control plane of one service, the same in both modes: checks, the operator's programs and the
 * controller for one data plane. It is part of the composition root.
 */
import type {
  DrillFindings,
  DrillOrder,
  ServiceCounters,
  ServiceView,
  UpstreamRequestTimes,
} from "../admin/view.ts";
import type { Histogram } from "../base/histogram.ts";
import type { ServiceConfig } from "../config/options.ts";
import { HELD_MS } from "../failover/cluster.ts";
import { Controller } from "../failover/controller.ts";
import type { Memory } from "../failover/memory.ts";
import type { DataPlane, Doubt, Probe, Triggers } from "../failover/ports.ts";
import { activeOf, type Policy, type State } from "../failover/state.ts";
import type { Input } from "../failover/steps.ts";
import { phaseForChecks, trustedFor } from "../failover/trust.ts";
import type { Upstream } from "../failover/upstream.ts";
import { Checker, type CheckerContext, type CheckerSettings, DOUBT_MS } from "../health/checker.ts";
import { guardStandstill } from "../health/standstill.ts";
import type { TriggerFiles } from "../hooks/trigger_files.ts";
import { checkClockOf } from "./check_clock.ts";
import {
  hasSameTriggers,
  paceOf,
  policyOf,
  probeKeyOf,
  probeMaxOf,
  triggerFilesOf,
  triggersOf,
  wholeProbeOf,
  worstDetection,
} from "./control_parts.ts";
import { Drills, type DrillsContext, NO_PROGRAMS } from "./drills.ts";
import { Membership } from "./membership.ts";
import type { ServiceContext } from "./service.ts";

/** The parts that differ between the modes. */
export interface ControlPlaneParts {
  /** In rank order. */
  readonly upstreams: readonly Upstream[];
  /** Checks an upstream over the network. The check program, if any, runs after it. */
  readonly probe: Probe;
  readonly triggers: Policy["triggers"];
  readonly failOpen: boolean;
  /**
   * Puts the promotion of a server before the triggers, if this program is to promote it. `leftMs` says how long this
   * proxy may still act as the leader.
   */
  readonly promote?: (triggers: Triggers, leftMs: () => number) => Triggers;
  /** Called with each new state, before anything follows from it. */
  readonly onState?: (state: State) => void;
}

/** What the data plane of a service counts, read when somebody asks. */
export interface DataPlaneCounts {
  readonly counters: () => ServiceCounters;
  /** How long clients waited for an upstream. */
  readonly holdTimes: () => Histogram;
  /** How long requests took; none in TCP mode. */
  readonly requestTimes?: () => readonly UpstreamRequestTimes[];
}

/** Checks and decides from `begin` until it is disposed of. */
export class ControlPlane implements AsyncDisposable {
  /** Rejects if a part fails, which is a bug. Resolves after disposal only. */
  readonly finished: Promise<unknown>;
  #config: ServiceConfig;
  #parts: ControlPlaneParts;
  #context: ServiceContext;
  #policy: Policy;
  readonly #controller: Controller;
  readonly #drills: Drills;
  #triggers: Triggers;
  #triggerFiles: TriggerFiles | undefined;
  /** The end of the triggers that were started last. */
  #lastRun: Promise<unknown> = Promise.resolve();
  readonly #failed = Promise.withResolvers<never>();
  readonly #membership: Membership | undefined;
  #checker: Checker | undefined;
  #isOver = false;

  /** Connects the parts. Nothing is checked or decided before `begin`. */
  constructor(
    config: ServiceConfig,
    parts: ControlPlaneParts,
    plane: DataPlane,
    context: ServiceContext,
  ) {
    const { clock, publish, observer } = context;
    this.#config = config;
    this.#parts = parts;
    this.#context = context;
    this.#policy = policyOf(config, parts, context);
    observer.begin(paceOf(config));
    this.#triggerFiles = triggerFilesOf(config, clock);
    this.#membership = this.#membershipOf(plane, context);
    this.#triggers = this.#triggersOf(config, context);
    this.#controller = new Controller(parts.upstreams, this.#policy, {
      clock,
      publish,
      plane,
      checks: {
        now: (upstream) => this.#checker?.now(upstream),
        pace: (upstream, pace) => this.#checker?.pace(upstream, pace),
      },
      triggers: { run: (promotion, signal) => this.#runTriggers(promotion, signal) },
      memory: context.memory,
      ...this.#membership === undefined ? {} : { coordinator: this.#membership },
      onState: (state) => {
        this.#parts.onState?.(state);
        this.#membership?.changed();
      },
      onStep: (taken) => {
        observer.step(taken);
        this.#drills.decided(taken.step.state);
      },
    });
    this.#drills = new Drills(config, this.#drillsContext());
    this.finished = Promise.race([this.#controller.finished, this.#failed.promise]);
  }

  /** The policy that is in force. */
  get policy(): Policy {
    return this.#policy;
  }

  /**
   * Puts other options and another list of upstreams into force, whatever is under way. Triggers that run go on as
   * they began.
   */
  configure(config: ServiceConfig, parts: ControlPlaneParts, context: ServiceContext): void {
    const [before, policy] = [this.#policy, policyOf(config, parts, context)];
    const isListed = JSON.stringify(this.#parts.upstreams) === JSON.stringify(parts.upstreams);
    if (!hasSameTriggers(this.#config, config)) this.#replaceTriggers(config, context);
    this.#config = config;
    this.#parts = parts;
    this.#context = context;
    this.#policy = policy;
    context.observer.setPace(paceOf(config));
    this.#drills.configure(config, this.#drillsContext());
    this.#checker?.configure(...this.#checkerParts());
    if (isListed && JSON.stringify(before) === JSON.stringify(policy)) return;
    this.#controller.post({ type: "configured", upstreams: parts.upstreams, policy });
  }

  /** Why another list of upstreams cannot be put into force now, for a person; undefined if it can. */
  whyNotReconfigured(upstreams: readonly Upstream[]): string | undefined {
    return this.#controller.whyNotReconfigured(upstreams);
  }

  /** The promotion of the server, if this program makes it, and then the operator's programs. */
  #triggersOf(config: ServiceConfig, context: ServiceContext): Triggers {
    const programs = triggersOf(config, context, this.#triggerFiles, this.#membership);
    const leftMs = () => this.#membership?.leftMs() ?? Infinity;
    return this.#parts.promote?.(programs, leftMs) ?? programs;
  }

  #replaceTriggers(config: ServiceConfig, context: ServiceContext): void {
    const { onFailover } = this.#config;
    if (onFailover !== config.onFailover) {
      this.#triggerFiles?.[Symbol.dispose]();
      this.#triggerFiles = triggerFilesOf(config, context.clock);
    }
    this.#triggers = this.#triggersOf(config, context);
  }

  /** Triggers of two promotions never overlap, even if they are other ones since a reload. */
  #runTriggers(...[promotion, signal]: Parameters<Triggers["run"]>): ReturnType<Triggers["run"]> {
    const run = this.#lastRun.then(() => this.#triggers.run(promotion, signal));
    this.#lastRun = run.catch(() => {});
    return run;
  }

  #drillsContext(): DrillsContext {
    const { clock, publish, programs, instance, coordinate } = this.#context;
    return {
      ...{ clock, publish, programs, instance },
      shared: coordinate && { leaseMs: coordinate.leaseMs, heldMs: HELD_MS },
      policy: this.#policy,
      state: () => this.state,
      probe: wholeProbeOf(this.#config, this.#parts.probe, this.#context),
      probeMaxMs: probeMaxOf(this.#config),
      findTriggers: () => this.#triggerFiles?.current() ?? Promise.resolve(NO_PROGRAMS),
    };
  }

  #checkerParts(): [CheckerSettings, CheckerContext] {
    const [config, context, { upstreams, probe }] = [this.#config, this.#context, this.#parts];
    return [{
      upstreams,
      probe: wholeProbeOf(config, probe, context),
      probeKey: probeKeyOf(config),
      connection: guardStandstill(probe, config.checkTimeout),
      intervalMs: config.checkInterval,
      doubtMs: DOUBT_MS,
      probeMaxMs: probeMaxOf(config),
    }, {
      clock: checkClockOf(config, context),
      random: Math.random,
      context: (upstream) => {
        const { epoch } = this.state;
        return {
          lastChosen: trustedFor(this.state, upstream),
          phase: phaseForChecks(this.state),
          epoch,
          isDoubted: this.state.health.get(upstream)?.doubt !== "none",
        };
      },
      stage: () => this.state.stage,
      post: (upstream, result, stage) =>
        this.#controller.post({ type: "probed", upstream, result, stage }),
    }];
  }

  /** The present state of the failover machine. */
  get state(): State {
    return this.#controller.state;
  }

  /** Starts the checks and the first selection, as soon as it may. Must be called once. */
  begin(): void {
    const { mayBegin } = this.#context;
    if (mayBegin === undefined) this.#begin();
    else void mayBegin.then(() => this.#isOver || this.#begin());
  }

  #begin(): void {
    this.#startChecks();
    // The cluster begins the service, if there is one.
    if (this.#membership !== undefined) this.#membership.join();
    else this.#controller.post({ type: "begun" });
  }

  /** The membership in the cluster; undefined if this proxy is alone. */
  #membershipOf(
    plane: DataPlane,
    { coordinate, publish }: ServiceContext,
  ): Membership | undefined {
    if (coordinate === undefined) return undefined;
    const service = {
      state: () => this.state,
      policy: () => this.#policy,
      post: (input: Input) => this.#controller.post(input),
      order: (...order: Parameters<Controller["order"]>) => this.#controller.order(...order),
      runsTriggers: () => this.#controller.runsTriggers,
      busy: (upstream: string, throughEpoch: number) => plane.busy(upstream, throughEpoch),
    };
    const make = () => coordinate(service, this.#config.name, publish);
    return new Membership(make, this.#failed.reject);
  }

  #startChecks(): void {
    this.#checker = new Checker(...this.#checkerParts());
    this.#checker.finished.catch(this.#failed.reject);
  }

  /** Why `suspend` is not possible at this moment, for a person; undefined if it is. */
  get busyWith(): string | undefined {
    return this.#drills.isRunning ? "a drill is under way" : this.#controller.busyWith;
  }

  /**
   * Stops checking and deciding, so that another process can take over. Resolves with what that one must know, or
   * with the reason why it is not possible now; nothing has changed then.
   */
  async suspend(): Promise<Memory | string> {
    if (this.busyWith !== undefined) return this.busyWith;
    const memory = this.#controller.suspend();
    if (typeof memory === "string") return memory;
    const checker = this.#checker;
    this.#checker = undefined;
    await checker?.[Symbol.asyncDispose]();
    await this.#membership?.leave();
    return memory;
  }

  /** Checks and decides again, after `suspend`. */
  resume(): void {
    if (this.#checker === undefined) this.#startChecks();
    this.#controller.resume();
    this.#membership?.join();
  }

  async #drill(order: DrillOrder): Promise<DrillFindings | string> {
    return this.#checker === undefined
      ? "another process is taking over"
      : await this.#drills.run(order);
  }

  /** Reports a failure on a live connection to the active upstream. */
  doubt(doubt: Doubt): void {
    this.#membership?.doubted(doubt.upstream);
    this.#controller.post({ type: "doubted", doubt });
  }

  /** A connection that checks keep to an upstream has ended by itself, so it is asked again at once. */
  connectionEnded(upstream: string, reason: string): void {
    const active = activeOf(this.state);
    if (active?.upstream.name !== upstream) return this.#checker?.now(upstream);
    this.doubt({ upstream, epoch: active.epoch, hard: true, reason });
  }

  /** The view of the service for reports and metrics, with what its data plane counts. */
  view({ counters, holdTimes, requestTimes }: DataPlaneCounts): ServiceView {
    const policy = () => this.#policy;
    return {
      name: this.#config.name,
      mode: this.#config.mode,
      get policy() {
        return policy();
      },
      state: () => this.state,
      checkDurations: (upstream) => this.#controller.history.durations(upstream),
      history: (upstream) => this.#controller.history.of(upstream),
      counters,
      holdTimes,
      requestTimes: () => requestTimes?.() ?? [],
      worstDetection: () => worstDetection(this.#config),
      nextCheckAt: (upstream) => this.#checker?.nextAt(upstream),
      drill: (order) => this.#drill(order),
      order: (order, asker, onOutcome) => this.#controller.orderForAll(order, asker, onOutcome),
      cluster: () => this.#membership?.report(),
    };
  }

  /** Stops the checks, takes no more decisions, and ends running triggers. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#drills[Symbol.asyncDispose]();
    this.#triggerFiles?.[Symbol.dispose]();
    await this.#checker?.[Symbol.asyncDispose]();
    await this.#controller[Symbol.asyncDispose]();
    // No other proxy may lead before the triggers of this one have ended.
    await this.#membership?.leave();
  }
}
