/** The triggers of a simulation, in virtual time: they take a while, fail, or cannot be started. */
import type { TriggerOutcome } from "../../src/failover/ports.ts";
import type { Settings } from "./settings.ts";

export interface SimulatedTriggersDeps {
  readonly settings: Settings;
  readonly random: () => number;
  /** Calls `run` in `delayMs` milliseconds, unless the process has ended meanwhile. */
  after(delayMs: number, run: () => void): void;
  post(epoch: number, outcome: TriggerOutcome): void;
}

/** How long it takes to end triggers, in milliseconds. */
const CANCEL_MS = 10;

export class SimulatedTriggers {
  /** By epoch: the last outcome of its triggers. */
  readonly outcomes = new Map<number, TriggerOutcome["how"]>();
  readonly #deps: SimulatedTriggersDeps;
  /** The run that is under way. */
  #run: { readonly epoch: number } | undefined;

  constructor(deps: SimulatedTriggersDeps) {
    this.#deps = deps;
  }

  /** A newer run cancels the one under way, as in the controller. */
  run(epoch: number): void {
    if (this.#run !== undefined) this.#callOff(this.#run);
    const run = this.#run = { epoch };
    const { random, settings } = this.#deps;
    const outcome = this.#draw();
    const tookMs = outcome.how === "short" ? 0 : random() * settings.triggerMaxMs;
    this.#deps.after(tookMs, () => this.#end(run, outcome));
  }

  cancel(epoch: number): void {
    if (this.#run?.epoch === epoch) this.#callOff(this.#run);
  }

  /** The process has begun again: nothing is under way. */
  restart(): void {
    this.#run = undefined;
  }

  #callOff(run: { readonly epoch: number }): void {
    this.#deps.after(CANCEL_MS, () => this.#end(run, { how: "cancelled" }));
  }

  #end(run: { readonly epoch: number }, outcome: TriggerOutcome): void {
    if (this.#run === run) this.#run = undefined;
    else if (outcome.how !== "cancelled") return;
    this.outcomes.set(run.epoch, outcome.how);
    this.#deps.post(run.epoch, outcome);
  }

  #draw(): TriggerOutcome {
    const { random, settings } = this.#deps;
    const roll = random() / (settings.triggerTrouble || 1e-9);
    if (roll > 1) return { how: "ran" };
    if (roll > 0.5) return { how: "failed", reason: "trigger exited with 1" };
    return { how: "short", reason: "too many open files", hasBegun: random() < 0.3 };
  }
}
