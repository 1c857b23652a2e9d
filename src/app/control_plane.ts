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
  WorstDetection,
} from "../admin/view.ts";
import type { Histogram } from "../base/histogram.ts";
import type { ServiceConfig } from "../config/options.ts";
import { Controller } from "../failover/controller.ts";
import type { Memory } from "../failover/memory.ts";
import type { DataPlane, Doubt, Probe, Triggers } from "../failover/ports.ts";
import type { Policy, State } from "../failover/state.ts";
import { phaseForChecks, trustedFor } from "../failover/trust.ts";
import type { Upstream } from "../failover/upstream.ts";
import { allOf } from "../health/all_of.ts";
import { Checker, DOUBT_MS } from "../health/checker.ts";
import { guardStandstill } from "../health/standstill.ts";
import { scriptProbe } from "../hooks/check.ts";
import { KILL_GRACE_MS } from "../hooks/program.ts";
import { TriggerFiles } from "../hooks/trigger_files.ts";
import { ProgramTriggers } from "../hooks/trigger.ts";
import { checkClockOf } from "./check_clock.ts";
import { Drills, NO_PROGRAMS } from "./drills.ts";
import type { ServiceContext } from "./service.ts";

/** How many milliseconds a probe may exceed its deadlines: more than it takes to kill a program. */
const PROBE_SLACK_MS = 2 * KILL_GRACE_MS + 1_000;

/** The parts that differ between the modes. */
export interface ControlPlaneParts {
  /** In rank order. */
  readonly upstreams: readonly Upstream[];
  /** Checks an upstream over the network. The check program, if any, runs after it. */
  readonly probe: Probe;
  readonly triggers: Policy["triggers"];
  readonly failOpen: boolean;
  /** Called with each new state, before anything follows from it. */
  readonly onState?: (state: State) => void;
}

/** What the data plane of a service counts, read when somebody asks. */
export interface DataPlaneCounts {
  readonly counters: () => ServiceCounters;
  /** How long clients waited for an upstream. */
  readonly holdTimes: () => Histogram;
  /** How long requests took, by the rank of the upstream; none in TCP mode. */
  readonly requestTimes?: () => readonly (Omit<UpstreamRequestTimes, "upstream"> & {
    readonly rank: number | undefined;
  })[];
}

/** Checks and decides from `begin` until it is disposed of. */
export class ControlPlane implements AsyncDisposable {
  readonly policy: Policy;
  /** Rejects if a part fails, which is a bug. Resolves after disposal only. */
  readonly finished: Promise<unknown>;
  readonly #config: ServiceConfig;
  readonly #controller: Controller;
  readonly #drills: Drills;
  readonly #triggerFiles: TriggerFiles | undefined;
  readonly #failed = Promise.withResolvers<never>();
  readonly #makeChecker: () => Checker;
  #checker: Checker | undefined;

  /** Connects the parts. Nothing is checked or decided before `begin`. */
  constructor(
    config: ServiceConfig,
    parts: ControlPlaneParts,
    plane: DataPlane,
    context: ServiceContext,
  ) {
    const { clock, publish, observer } = context;
    const { upstreams } = parts;
    this.#config = config;
    this.policy = policyOf(config, parts, context);
    observer.begin({ steadyMs: config.checkInterval, doubtMs: DOUBT_MS });
    const { onFailover } = config;
    this.#triggerFiles = onFailover === undefined ? undefined : new TriggerFiles(onFailover, clock);
    this.#makeChecker = () =>
      new Checker({
        upstreams,
        probe: probeOf(config, parts.probe, context),
        connection: guardStandstill(parts.probe, config.checkTimeout),
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
          };
        },
        stage: () => this.state.stage,
        post: (upstream, result, stage) =>
          this.#controller.post({ type: "probed", upstream, result, stage }),
      });
    this.#controller = new Controller(upstreams, this.policy, {
      clock,
      publish,
      plane,
      checks: {
        now: (upstream) => this.#checker?.now(upstream),
        pace: (upstream, pace) => this.#checker?.pace(upstream, pace),
      },
      triggers: triggersOf(config, context, this.#triggerFiles),
      memory: context.memory,
      ...parts.onState === undefined ? {} : { onState: parts.onState },
      onStep: (taken) => {
        observer.step(taken);
        this.#drills.decided(taken.step.state);
      },
    });
    this.#drills = new Drills(config, {
      ...{ clock, publish, programs: context.programs, policy: this.policy },
      instance: context.instance,
      state: () => this.state,
      probe: probeOf(config, parts.probe, context),
      probeMaxMs: probeMaxOf(config),
      findTriggers: () => this.#triggerFiles?.current() ?? Promise.resolve(NO_PROGRAMS),
    });
    this.finished = Promise.race([this.#controller.finished, this.#failed.promise]);
  }

  /** The present state of the failover machine. */
  get state(): State {
    return this.#controller.state;
  }

  /** Starts the checks and the first selection. Must be called once. */
  begin(): void {
    this.#startChecks();
    this.#controller.post({ type: "begun" });
  }

  #startChecks(): void {
    this.#checker = this.#makeChecker();
    this.#checker.finished.catch(this.#failed.reject);
  }

  /**
   * Stops checking and deciding, so that another process can take over. Resolves with what that one must know, or
   * with the reason why it is not possible now; nothing has changed then.
   */
  async suspend(): Promise<Memory | string> {
    if (this.#drills.isRunning) return "a drill is under way";
    const memory = this.#controller.suspend();
    if (typeof memory === "string") return memory;
    const checker = this.#checker;
    this.#checker = undefined;
    await checker?.[Symbol.asyncDispose]();
    return memory;
  }

  /** Checks and decides again, after `suspend`. */
  resume(): void {
    if (this.#checker === undefined) this.#startChecks();
    this.#controller.resume();
  }

  async #drill(order: DrillOrder): Promise<DrillFindings | string> {
    return this.#checker === undefined
      ? "another process is taking over"
      : await this.#drills.run(order);
  }

  /** Reports a failure on a live connection to the active upstream. */
  doubt(doubt: Doubt): void {
    this.#controller.post({ type: "doubted", doubt });
  }

  /** The view of the service for reports and metrics, with what its data plane counts. */
  view({ counters, holdTimes, requestTimes }: DataPlaneCounts): ServiceView {
    const nameOf = (rank: number | undefined) =>
      rank === undefined ? "_OTHER" : this.state.upstreams[rank]?.name ?? "none";
    return {
      name: this.#config.name,
      mode: this.#config.mode,
      policy: this.policy,
      state: () => this.state,
      checkDurations: (upstream) => this.#controller.history.durations(upstream),
      history: (upstream) => this.#controller.history.of(upstream),
      counters,
      holdTimes,
      requestTimes: () =>
        requestTimes?.().map(({ rank, ...rest }) => ({ ...rest, upstream: nameOf(rank) })) ?? [],
      worstDetection: () => worstDetection(this.#config),
      nextCheckAt: (upstream) => this.#checker?.nextAt(upstream),
      drill: (order) => this.#drill(order),
      order: (order, asker, onOutcome) => this.#controller.order(order, asker, onOutcome),
    };
  }

  /** Stops the checks, takes no more decisions, and ends running triggers. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#drills[Symbol.asyncDispose]();
    this.#triggerFiles?.[Symbol.dispose]();
    await this.#checker?.[Symbol.asyncDispose]();
    await this.#controller[Symbol.asyncDispose]();
  }
}

function probeMaxOf({ checkTimeout, checkScriptTimeout }: ServiceConfig): number {
  return checkTimeout + checkScriptTimeout + PROBE_SLACK_MS;
}

/** Loaded when somebody looks at it. */
async function worstDetection(config: ServiceConfig): Promise<readonly WorstDetection[]> {
  const { explain } = await import("../explain/explain.ts");
  return explain(config, { triggers: 0 }).faults
    .filter(({ worstMs }) => worstMs !== Infinity)
    .map(({ name, worstMs }) => ({ fault: name, ms: worstMs }));
}

function probeOf(config: ServiceConfig, bare: Probe, context: ServiceContext): Probe {
  const probe = guardStandstill(bare, config.checkTimeout);
  if (config.checkHost === undefined) return probe;
  const settings = {
    path: config.checkHost,
    timeoutMs: config.checkScriptTimeout,
    service: config.name,
  };
  const program = scriptProbe(settings, context.programs, context.publish);
  return allOf(probe, guardStandstill(program, config.checkScriptTimeout + 2 * KILL_GRACE_MS));
}

function triggersOf(
  config: ServiceConfig,
  context: ServiceContext,
  files: TriggerFiles | undefined,
): Triggers {
  if (config.onFailover === undefined) return { run: () => Promise.resolve({ how: "ran" }) };
  const settings = {
    path: config.onFailover,
    timeoutMs: config.triggerTimeout,
    goOn: config.onTriggerFailure === "continue",
    service: config.name,
    warnings: context.triggerWarnings,
  };
  const find = files === undefined ? undefined : () => files.current();
  return new ProgramTriggers(settings, context.programs, context.publish, find);
}

function policyOf(
  config: ServiceConfig,
  parts: ControlPlaneParts,
  { instance, drainMs }: ServiceContext,
): Policy {
  // A service with a trigger or a check program probably has a state, as a database has, which clients
  // must not change on two servers at the same time.
  const hasState = config.mode === "tcp" &&
    (config.onFailover !== undefined || config.checkHost !== undefined);
  return {
    rise: config.recoverThreshold,
    fall: config.failThreshold,
    holdMs: config.hold,
    holdWhile: config.holdWhile,
    failback: config.failback,
    damping: config.failbackDamping,
    maxBackoffMs: config.maxBackoff,
    sessionsOnDown: config.sessionsOnDown,
    sessionsOnMove: config.sessionsOnMove ?? (hasState ? "cut" : "drain"),
    graceMs: config.grace,
    drainMs,
    onTriggerFailure: config.onTriggerFailure,
    triggers: parts.triggers,
    failOpen: parts.failOpen,
    instance,
  };
}
