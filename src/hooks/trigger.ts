/**
 * Runs the operator's triggers for a promotion, one after another, and returns their outcome. The failover
 * machine decides what the outcome means for the promotion.
 *
 * A directory of triggers is read again for each promotion, so a new file works without a restart. A
 * warning about a file is published again only if the file had no such warning before.
 */
import type { TriggerVariables } from "../base/program_variables.ts";
import type { Publish } from "../events/events.ts";
import type { DrillCause } from "../failover/drill.ts";
import type { Promotion, TriggerOutcome, Triggers } from "../failover/ports.ts";
import type { Guard } from "./guard.ts";
import { findTriggers, type FoundPrograms } from "./find.ts";
import type { Ending, Programs } from "./program.ts";

/** Why triggers run: a promotion, or a drill. */
export type TriggerCause = Promotion | DrillCause;

/** Which programs run at a promotion, and how long they may take. */
export interface TriggerSettings {
  /** A program, or a directory of programs. */
  readonly path: string;
  /** The deadline of each program in milliseconds; 0 means none. */
  readonly timeoutMs: number;
  /** Whether the triggers after one that failed run nevertheless. */
  readonly goOn: boolean;
  /** The name of the service, which the programs get in their environment. */
  readonly service: string;
  /** Until when programs of a promotion with a fence may run; without it as long as they like. */
  readonly guard?: () => Promise<Guard | undefined>;
  /** The warnings of `findTriggers` at the start of the proxy, which have been published. */
  readonly warnings: readonly string[];
}

/** The triggers that have run for a promotion and do not run again for it. */
interface Progress {
  readonly epoch: number;
  /** The paths of those that exited with 0. */
  readonly done: Set<string>;
  /** By path: why a trigger failed, where a failure is only a warning. */
  readonly failed: Map<string, string>;
}

/** The triggers of one service. Each gets the upstream as its only argument, and `TriggerVariables`. */
export class ProgramTriggers implements Triggers {
  readonly #settings: TriggerSettings;
  readonly #programs: Programs;
  readonly #publish: Publish;
  readonly #find: () => Promise<FoundPrograms>;
  #warned: readonly string[];
  #previous: Promise<unknown> = Promise.resolve();
  /** For the newest promotion. */
  #progress: Progress | undefined;

  /** `find` returns the present programs. It must resolve in a short time, see `TriggerFiles`. */
  constructor(
    settings: TriggerSettings,
    programs: Programs,
    publish: Publish,
    find = () => findTriggers(settings.path),
  ) {
    this.#settings = settings;
    this.#programs = programs;
    this.#publish = publish;
    this.#find = find;
    this.#warned = settings.warnings;
  }

  /** See `Triggers` in `failover/ports.ts` for the contract. */
  run(promotion: TriggerCause, signal: AbortSignal): Promise<TriggerOutcome> {
    const ended = this.#previous.then(() => this.#runAll(promotion, signal));
    // An error of this run rejects for its caller only, and not for that of the next run.
    this.#previous = ended.catch(() => {});
    return ended;
  }

  async #runAll(promotion: TriggerCause, signal: AbortSignal): Promise<TriggerOutcome> {
    if (signal.aborted) return { how: "cancelled" };
    const { path, goOn } = this.#settings;
    const found = await this.#find();
    for (const warning of found.warnings) {
      if (!this.#warned.includes(warning)) this.#publish({ type: "config.warned", warning });
    }
    this.#warned = found.warnings;
    const { epoch } = promotion;
    if (found.isShort === true) {
      const { done, failed } = this.#progressOf(promotion);
      const hasBegun = done.size + failed.size > 0;
      return { how: "short", reason: found.errors.join("; "), hasBegun };
    }
    for (const reason of found.errors) {
      this.#publish({ type: "trigger.failed", program: path, epoch, reason, tookMs: 0 });
    }
    const { done, failed } = this.#progressOf(promotion);
    for (const program of found.programs) {
      if (signal.aborted) return { how: "cancelled" };
      if (done.has(program) || failed.has(program)) continue;
      const ending = await this.#runOne(program, promotion, signal);
      const { how, code, reason } = ending;
      if (how === "aborted") return { how: "cancelled" };
      const what = `trigger ${program} ${reason}`;
      if (ending.isCalledOff) return { how: "calledOff", reason: what };
      if (how === "short") return { how, reason: what, hasBegun: done.size + failed.size > 0 };
      if (code === 0) done.add(program);
      else if (goOn) failed.set(program, what);
      else return { how: "failed", reason: what };
    }
    const failures = [...found.errors, ...failed.values()];
    return failures.length === 0 ? { how: "ran" } : { how: "failed", reason: failures.join("; ") };
  }

  #progressOf({ epoch }: TriggerCause): Progress {
    if (this.#progress?.epoch !== epoch) {
      this.#progress = { epoch, done: new Set(), failed: new Map() };
    }
    return this.#progress;
  }

  async #runOne(program: string, promotion: TriggerCause, signal: AbortSignal): Promise<Ending> {
    const { epoch, to } = promotion;
    this.#publish({ type: "trigger.started", program, epoch });
    const isFenced = "fence" in promotion && promotion.fence !== undefined;
    const guard = isFenced ? await this.#settings.guard?.() : undefined;
    const ending = await this.#programs.run({
      path: program,
      args: [to],
      env: variablesOf(promotion, this.#settings.service),
      timeoutMs: this.#settings.timeoutMs,
      leftovers: "stay",
      ...guard === undefined ? {} : { guard },
      signal,
      onLine: (line) => this.#publish({ type: "program.said", program, upstream: to, line }),
    });
    const { how, code, reason, tookMs } = ending;
    if (code === 0) this.#publish({ type: "trigger.finished", program, epoch, tookMs });
    // The machine publishes `promotion.delayed` instead.
    else if (how !== "short") {
      this.#publish({ type: "trigger.failed", program, epoch, reason, tookMs });
    }
    return ending;
  }
}

/** A promotion as environment variables. An undefined `from` becomes the empty string. */
function variablesOf(promotion: TriggerCause, service: string): TriggerVariables {
  return {
    FAILOVER_EVENT: promotion.move,
    FAILOVER_EVENT_ID: promotion.id,
    FAILOVER_EPOCH: String(promotion.epoch),
    FAILOVER_FENCE: "fence" in promotion ? String(promotion.fence) : "",
    FAILOVER_FROM: promotion.from ?? "",
    FAILOVER_TO: promotion.to,
    FAILOVER_REASON: promotion.reason,
    FAILOVER_SERVICE: service,
  };
}
