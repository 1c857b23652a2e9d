/**
 * The drills of one service: joins the checks, the triggers and the sums of `explain`. One drill at a time.
 * Part of the composition root.
 */
import type { DrillFindings, DrillOrder } from "../admin/view.ts";
import type { Clock } from "../base/clock.ts";
import { withDeadline } from "../base/deadline.ts";
import type { ServiceConfig } from "../config/options.ts";
import type { Event, Publish } from "../events/events.ts";
import { explain, type ExplainInput } from "../explain/explain.ts";
import { drill, type DrillCause, type DrillTrigger } from "../failover/drill.ts";
import type { Probe } from "../failover/ports.ts";
import type { Policy, State } from "../failover/state.ts";
import type { FoundPrograms } from "../hooks/find.ts";
import type { Programs } from "../hooks/program.ts";
import { ProgramTriggers } from "../hooks/trigger.ts";

/** How long a drill may take in all, in milliseconds: triggers may have no limit of their own. */
const DRILL_MS = 10 * 60_000;

/** The result for a service without triggers. */
export const NO_PROGRAMS: FoundPrograms = { programs: [], errors: [], warnings: [] };

/** What the drills of a service need from outside. */
export interface DrillsContext {
  readonly clock: Clock;
  readonly publish: Publish;
  readonly programs: Programs;
  readonly policy: Policy;
  /** The prefix of the ids of drills. */
  readonly instance: string;
  readonly state: () => State;
  readonly probe: Probe;
  /** How long a probe takes at most, in milliseconds. */
  readonly probeMaxMs: number;
  readonly findTriggers: () => Promise<FoundPrograms>;
  /** Set if several proxies share the decision. */
  readonly shared?: ExplainInput["shared"];
}

/** The drills of one service. A second one at the same time is refused. */
export class Drills implements AsyncDisposable {
  #config: ServiceConfig;
  #context: DrillsContext;
  readonly #stop = new AbortController();
  #underWay: Promise<unknown> | undefined;
  /** Ends the triggers of the drill that is under way. */
  #triggers: AbortController | undefined;
  /** The decision under which they run. */
  #epoch = 0;
  #count = 0;

  constructor(config: ServiceConfig, context: DrillsContext) {
    this.#config = config;
    this.#context = context;
  }

  /** The next drill is made with these options. */
  configure(config: ServiceConfig, context: DrillsContext): void {
    this.#config = config;
    this.#context = context;
  }

  /** Whether one is under way. */
  get isRunning(): boolean {
    return this.#underWay !== undefined;
  }

  /** Makes a drill; resolves with the reason if it is refused. */
  async run(order: DrillOrder): Promise<DrillFindings | string> {
    const refusal = this.#whyNot(order);
    if (refusal !== undefined) return refusal;
    const running = this.#run(order);
    this.#underWay = running.catch(() => {});
    try {
      return await running;
    } finally {
      this.#underWay = undefined;
    }
  }

  /** Must be called with each new state: after a decision, the triggers of a drill must not run beside real ones. */
  decided(state: State): void {
    if (this.#triggers === undefined) return;
    if (!mayRunTriggers(state) || state.epoch !== this.#epoch) this.#triggers.abort();
  }

  /** Ends the drill that is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#underWay;
  }

  #whyNot({ runTriggers }: DrillOrder): string | undefined {
    if (this.#stop.signal.aborted) return "the service is stopping";
    if (this.#underWay !== undefined) return "a drill is under way already";
    if (!runTriggers) return undefined;
    if (this.#config.onFailover === undefined) return "there are no triggers (--on-failover)";
    return mayRunTriggers(this.#context.state())
      ? undefined
      : "triggers cannot be rehearsed now: no upstream serves, or a promotion is not over";
  }

  async #run({ runTriggers, by, reason }: DrillOrder): Promise<DrillFindings> {
    const { clock, instance, policy, probe, publish, state } = this.#context;
    publish({ type: "drill.started", by, reason, runsTriggers: runTriggers });
    using deadline = withDeadline(this.#stop.signal, DRILL_MS + this.#context.probeMaxMs, clock);
    const found = await this.#context.findTriggers();
    const result = await drill({
      ...{ clock, policy, probe, state },
      runTriggers: runTriggers ? (cause, signal) => this.#runTriggers(cause, signal) : undefined,
    }, {
      id: `${instance}-drill-${++this.#count}`,
      reason: `a drill, ordered by ${by}${reason === "" ? "" : `: ${reason}`}`,
    }, deadline.signal);
    const { choiceMs, chosen, why, triggers } = result;
    const failure = triggers === undefined || triggers.outcome.how === "ran"
      ? {}
      : { triggersFailed: "reason" in triggers.outcome ? triggers.outcome.reason : "cancelled" };
    const to = chosen === undefined ? {} : { chosen };
    publish({ type: "drill.finished", ...to, why, choiceMs, ...failure });
    // Those that failed or were cancelled did not take as long as they would.
    const measured = triggers?.outcome.how === "ran" ? { triggersMs: triggers.tookMs } : {};
    const { faults } = explain(this.#config, {
      triggers: found.programs.length,
      shared: this.#context.shared,
      measured: { choiceMs, ...measured },
    });
    return { result, triggers: found.programs.length, faults };
  }

  /** Runs the triggers as a promotion does, but separately from those, so that a failover does not wait for a drill. */
  async #runTriggers(cause: DrillCause, signal: AbortSignal) {
    const { onFailover, triggerTimeout, onTriggerFailure, name } = this.#config;
    const { publish, programs, findTriggers } = this.#context;
    const ran: DrillTrigger[] = [];
    const settings = {
      path: onFailover!,
      timeoutMs: triggerTimeout,
      goOn: onTriggerFailure === "continue",
      service: name,
      warnings: [],
    };
    const triggers = new ProgramTriggers(settings, programs, (event) => {
      note(ran, event);
      // All other events are about promotions, and would be counted by metrics and incidents.
      if (event.type === "program.said") publish(event);
    }, findTriggers);
    this.#triggers = new AbortController();
    this.#epoch = cause.epoch;
    try {
      const both = AbortSignal.any([signal, this.#triggers.signal]);
      // The machine may have decided since the drill began.
      this.decided(this.#context.state());
      return { outcome: await triggers.run(cause, both), programs: ran };
    } finally {
      this.#triggers = undefined;
    }
  }
}

/** An upstream serves, and the triggers of its promotion have ended. */
function mayRunTriggers({ phase }: State): boolean {
  return phase.name === "serving" && phase.triggers.is !== "running" &&
    phase.triggers.is !== "retrying";
}

function note(ran: DrillTrigger[], event: Event): void {
  if (event.type === "trigger.finished") {
    ran.push({ program: event.program, reason: undefined, tookMs: event.tookMs });
  } else if (event.type === "trigger.failed") {
    ran.push({ program: event.program, reason: event.reason, tookMs: event.tookMs });
  }
}
