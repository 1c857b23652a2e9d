/**
 * Runs the operator's triggers of a promotion, one after another, and says what became of them. What that
 * means for the promotion is decided elsewhere.
 *
 * A directory of triggers is read anew at each promotion, so that a file put there works without a
 * restart; what is wrong with one is said once more only when it is news.
 */
import type { TriggerVariables } from "../base/program_variables.ts";
import type { Publish } from "../events/events.ts";
import type { Promotion, TriggerOutcome, Triggers } from "../failover/ports.ts";
import { findTriggers, type Found } from "./find.ts";
import type { Ending, Programs } from "./program.ts";

export interface TriggerSettings {
  /** A program, or a directory of programs. */
  readonly path: string;
  /** For each program; 0 lets it run for as long as it likes. */
  readonly timeoutMs: number;
  /** Whether those after one that failed are run all the same. */
  readonly goOn: boolean;
  /** Name of the service, told to the programs. */
  readonly service: string;
  /** What `findTriggers` warned of at the start. */
  readonly warnings: readonly string[];
}

/** What has run for a promotion, and is not run again for it. */
interface Progress {
  readonly epoch: number;
  /** Those that exited with 0. */
  readonly done: Set<string>;
  /** Those that failed where that is a warning, and why. */
  readonly failed: Map<string, string>;
}

/** The triggers of one service. Each gets the upstream as its only argument and the rest by `tell`. */
export class ProgramTriggers implements Triggers {
  readonly #settings: TriggerSettings;
  readonly #programs: Programs;
  readonly #publish: Publish;
  readonly #find: () => Promise<Found>;
  #warned: readonly string[];
  #turn: Promise<unknown> = Promise.resolve();
  /** Of the newest promotion. */
  #progress: Progress | undefined;

  /** `find` says which programs there are, without keeping a promotion waiting. */
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

  run(promotion: Promotion, signal: AbortSignal): Promise<TriggerOutcome> {
    const ended = this.#turn.then(() => this.#runAll(promotion, signal));
    // A bug in this run is its caller's to see, not the next one's.
    this.#turn = ended.catch(() => {});
    return ended;
  }

  async #runAll(promotion: Promotion, signal: AbortSignal): Promise<TriggerOutcome> {
    if (signal.aborted) return { how: "calledOff" };
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
      return { how: "short", reason: found.mistakes.join("; "), hasBegun };
    }
    for (const reason of found.mistakes) {
      this.#publish({ type: "trigger.failed", program: path, epoch, reason, tookMs: 0 });
    }
    const { done, failed } = this.#progressOf(promotion);
    for (const program of found.programs) {
      if (signal.aborted) return { how: "calledOff" };
      if (done.has(program) || failed.has(program)) continue;
      const { how, code, reason } = await this.#runOne(program, promotion, signal);
      if (how === "aborted") return { how: "calledOff" };
      const what = `trigger ${program} ${reason}`;
      if (how === "short") return { how, reason: what, hasBegun: done.size + failed.size > 0 };
      if (code === 0) done.add(program);
      else if (goOn) failed.set(program, what);
      else return { how: "failed", reason: what };
    }
    const failures = [...found.mistakes, ...failed.values()];
    return failures.length === 0 ? { how: "ran" } : { how: "failed", reason: failures.join("; ") };
  }

  #progressOf({ epoch }: Promotion): Progress {
    if (this.#progress?.epoch !== epoch) {
      this.#progress = { epoch, done: new Set(), failed: new Map() };
    }
    return this.#progress;
  }

  async #runOne(program: string, promotion: Promotion, signal: AbortSignal): Promise<Ending> {
    const { epoch, to } = promotion;
    this.#publish({ type: "trigger.started", program, epoch });
    const ending = await this.#programs.run({
      path: program,
      args: [to],
      env: tell(promotion, this.#settings.service),
      timeoutMs: this.#settings.timeoutMs,
      leftovers: "stay",
      signal,
      say: (line) => this.#publish({ type: "program.said", program, upstream: to, line }),
    });
    const { how, code, reason, tookMs } = ending;
    if (code === 0) this.#publish({ type: "trigger.finished", program, epoch, tookMs });
    // Whoever waits for it says that it must.
    else if (how !== "short") {
      this.#publish({ type: "trigger.failed", program, epoch, reason, tookMs });
    }
    return ending;
  }
}

/** A promotion as environment variables. */
function tell(promotion: Promotion, service: string): TriggerVariables {
  return {
    FAILOVER_EVENT: promotion.move,
    FAILOVER_EVENT_ID: promotion.id,
    FAILOVER_EPOCH: String(promotion.epoch),
    FAILOVER_FROM: promotion.from ?? "",
    FAILOVER_TO: promotion.to,
    FAILOVER_REASON: promotion.reason,
    FAILOVER_SERVICE: service,
  };
}
