/**
 * The checker of a simulation, in virtual time: it checks each upstream at its pace, with jitter. A result may be late,
 * come after a promotion or after its upstream was removed, or have no verdict.
 */
import type { ProbeResult } from "../../src/failover/ports.ts";
import type { Settings } from "./settings.ts";
import type { Condition, UpstreamConditions } from "./upstream_conditions.ts";

/** The checks of one upstream. A new object replaces it when the upstream is listed again, or the process begins again. */
interface Probing {
  underWay: boolean;
  /** Another check was asked for while one was under way. */
  again: boolean;
  pace: "steady" | "doubt";
  /** The number of the newest timer for a regular check; older timers are ignored. */
  timer: number;
}

export interface SimulatedCheckerDeps {
  readonly settings: Settings;
  readonly conditions: UpstreamConditions;
  readonly random: () => number;
  /** Calls `run` in `delayMs` milliseconds, unless the process has ended meanwhile. */
  after(delayMs: number, run: () => void): void;
  /** The stage of the machine, which each result reports. */
  stage(): number;
  post(upstream: string, result: ProbeResult, stage: number): void;
}

/** The share of the checks that give no verdict during a shortage. */
const SHORT_CHECKS = 0.9;
/** The share of the checks that are slow, where there are slow ones. */
const SLOW_CHECKS = 0.2;
const DOUBT_INTERVAL_MS = 500;

export class SimulatedChecker {
  readonly #probing = new Map<string, Probing>();
  readonly #deps: SimulatedCheckerDeps;

  constructor(names: readonly string[], deps: SimulatedCheckerDeps) {
    this.#deps = deps;
    for (const name of names) this.#probing.set(name, newProbing());
  }

  /** The process has begun again: nothing is under way. */
  restart(): void {
    for (const name of this.#probing.keys()) this.#probing.set(name, newProbing());
  }

  /** Takes another list of upstreams, and returns those that are new; the caller begins to check them. */
  list(names: readonly string[]): readonly string[] {
    for (const name of [...this.#probing.keys()]) {
      if (!names.includes(name)) this.#probing.delete(name);
    }
    const added = names.filter((name) => !this.#probing.has(name));
    for (const name of added) this.#probing.set(name, newProbing());
    return added;
  }

  /** Checks an upstream now, or as soon as the check that is under way has ended. */
  probe(name: string): void {
    const probing = this.#probing.get(name);
    if (probing === undefined) return;
    if (probing.underWay) {
      probing.again = true;
      return;
    }
    probing.underWay = true;
    probing.timer++;
    const stage = this.#deps.stage();
    const result = this.#draw(name);
    this.#deps.after(result.tookMs, () => {
      // The result of an upstream that was removed meanwhile may come, but not if it is listed again.
      const listed = this.#probing.get(name);
      if (listed !== undefined && listed !== probing) return;
      probing.underWay = false;
      this.#deps.post(name, result, stage);
      if (this.#probing.get(name) !== probing) return;
      if (probing.again) {
        probing.again = false;
        this.probe(name);
      } else this.#plan(name);
    });
  }

  setPace(name: string, pace: Probing["pace"]): void {
    const probing = this.#probing.get(name);
    if (probing === undefined) return;
    probing.pace = pace;
    this.#plan(name);
  }

  #plan(name: string): void {
    const probing = this.#probing.get(name);
    if (probing === undefined || probing.underWay) return;
    const { random, settings } = this.#deps;
    const timer = ++probing.timer;
    const intervalMs = probing.pace === "doubt" ? DOUBT_INTERVAL_MS : settings.checkIntervalMs;
    this.#deps.after(intervalMs * (0.95 + random() * 0.1), () => {
      if (this.#probing.get(name) === probing && probing.timer === timer) this.probe(name);
    });
  }

  #draw(name: string): ProbeResult {
    const { random, settings: { checkTimeoutMs, slowCheckMs }, conditions } = this.#deps;
    const condition = conditions.of(name);
    const isSlow = slowCheckMs > 0 && random() < SLOW_CHECKS;
    const tookMs = isSlow
      ? random() * slowCheckMs
      : condition === "silent"
      ? checkTimeoutMs
      : random() * checkTimeoutMs * 0.5;
    return conditions.shortage.isShort && random() < SHORT_CHECKS
      ? { passed: false, tookMs: 0, reason: "too many open files", evidence: "no_verdict" }
      : resultOf(condition, tookMs);
  }
}

function newProbing(): Probing {
  return { underWay: false, again: false, pace: "steady", timer: 0 };
}

function resultOf(condition: Condition, tookMs: number): ProbeResult {
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
