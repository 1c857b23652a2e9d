/**
 * Runs the operator's triggers of a promotion, one after another. A trigger that fails is said and
 * nothing else: traffic goes to the new upstream all the same.
 *
 * A directory of triggers is read anew at each promotion, so that a file put there works without a
 * restart; what is wrong with one is said once more only when it is news.
 */
import type { TriggerVariables } from "../base/program_variables.ts";
import type { Publish } from "../events/events.ts";
import type { Promotion, Triggers } from "../failover/ports.ts";
import { findTriggers, type Found } from "./find.ts";
import type { Programs } from "./program.ts";

export interface TriggerSettings {
  /** A program, or a directory of programs. */
  readonly path: string;
  /** For each program; 0 lets it run for as long as it likes. */
  readonly timeoutMs: number;
  /** Name of the service, told to the programs. */
  readonly service: string;
  /** What `findTriggers` warned of at the start. */
  readonly warnings: readonly string[];
}

/** The triggers of one service. Each gets the upstream as its only argument and the rest by `tell`. */
export class ProgramTriggers implements Triggers {
  readonly #settings: TriggerSettings;
  readonly #programs: Programs;
  readonly #publish: Publish;
  readonly #find: () => Promise<Found>;
  #warned: readonly string[];
  #turn: Promise<void> = Promise.resolve();

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

  run(promotion: Promotion, signal: AbortSignal): Promise<void> {
    const ended = this.#turn.then(() => this.#runAll(promotion, signal));
    // A bug in this run is its caller's to see, not the next one's.
    this.#turn = ended.catch(() => {});
    return ended;
  }

  async #runAll(promotion: Promotion, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { path } = this.#settings;
    const found = await this.#find();
    for (const warning of found.warnings) {
      if (!this.#warned.includes(warning)) this.#publish({ type: "config.warned", warning });
    }
    this.#warned = found.warnings;
    const { epoch } = promotion;
    for (const reason of found.mistakes) {
      this.#publish({ type: "trigger.failed", program: path, epoch, reason, tookMs: 0 });
    }
    for (const program of found.programs) {
      if (signal.aborted) return;
      await this.#runOne(program, promotion, signal);
    }
  }

  async #runOne(program: string, promotion: Promotion, signal: AbortSignal): Promise<void> {
    const { epoch, to } = promotion;
    this.#publish({ type: "trigger.started", program, epoch });
    const { code, reason, tookMs } = await this.#programs.run({
      path: program,
      args: [to],
      env: tell(promotion, this.#settings.service),
      timeoutMs: this.#settings.timeoutMs,
      leftovers: "stay",
      signal,
      say: (line) => this.#publish({ type: "program.said", program, upstream: to, line }),
    });
    if (code === 0) this.#publish({ type: "trigger.finished", program, epoch, tookMs });
    else this.#publish({ type: "trigger.failed", program, epoch, reason, tookMs });
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
