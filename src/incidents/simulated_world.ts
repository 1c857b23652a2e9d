/**
 * The world of a machine with other options, from the moment at which its decisions differ from the recorded ones:
 * its checks, its triggers and its timer in virtual time. Pure.
 */
import type { TriggerOutcome } from "../failover/ports.ts";
import { activeOf, awaitsQuiet, wakeAt } from "../failover/state.ts";
import type { Effect, Input } from "../failover/steps.ts";
import { answerAt, type RecordedFacts } from "./facts.ts";
import type { Recorded } from "./recording.ts";
import type { Entry } from "./input_log.ts";
import type { Divergence, Machine } from "./what_if.ts";

/** How far the time after the last input is extrapolated, in milliseconds. */
const BEYOND_MS = 5 * 60_000;
/** The most steps of a simulation, so that one whose events never end is cut off. */
const STEPS_MAX = 20_000;

interface Due {
  readonly at: number;
  readonly run: () => void;
}

/** The checks of one upstream. */
interface UpstreamChecks {
  pace: "steady" | "doubt";
  begun: number;
  isUnderWay: boolean;
  isWanted: boolean;
  /** The number of the newest timer; older ones are ignored. */
  timer: number;
}

function newChecks(begun: number, pace: UpstreamChecks["pace"] = "steady"): UpstreamChecks {
  return { pace, begun, isUnderWay: false, isWanted: false, timer: 0 };
}

/**
 * The world of one machine. It takes what the record says about upstreams and triggers from `facts`, and
 * drives `machine` until the end.
 */
export class SimulatedWorld {
  readonly #recorded: Recorded;
  readonly #facts: RecordedFacts;
  readonly #machine: Machine;
  readonly #checks = new Map<string, UpstreamChecks>();
  /** The latest first. */
  readonly #agenda: Due[] = [];
  #now = 0;
  /** The epoch of the triggers that run. */
  #running: number | undefined;
  readonly #ran = new Map<string, number>();
  #quietings = 0;

  constructor(
    recorded: Recorded,
    facts: RecordedFacts,
    machine: Machine,
    paces: ReadonlyMap<string, "steady" | "doubt">,
  ) {
    this.#recorded = recorded;
    this.#facts = facts;
    this.#machine = machine;
    for (const { name } of machine.state.upstreams) {
      this.#checks.set(name, newChecks(machine.state.now, paces.get(name)));
    }
  }

  /** Runs from the divergence until nothing is under way any more, or until `BEYOND_MS` after the record. */
  run({ at, index, effects }: Divergence): void {
    const { entries } = this.#recorded;
    const knownUntil = entries.at(-1)?.at ?? at;
    this.#now = at;
    this.#takeOver(entries.slice(0, index), entries.slice(index));
    for (const effect of effects) this.#perform(effect);
    for (let steps = 0; steps < STEPS_MAX; steps++) {
      const due = this.#takeNext();
      if (due === undefined || due.at > knownUntil + BEYOND_MS) return;
      if (due.at > knownUntil && this.#isQuiet()) return;
      this.#now = Math.max(this.#now, due.at);
      due.run();
    }
  }

  /** Checks and triggers that are under way end as recorded; doubts and orders arrive as recorded. */
  #takeOver(past: readonly Entry[], future: readonly Entry[]): void {
    for (const { at, input } of past) {
      if (input.type !== "probed") continue;
      const checks = this.#checks.get(input.upstream);
      if (checks !== undefined) checks.begun = at - input.result.tookMs;
    }
    const underWay = new Set<string>();
    for (const { at, input } of future) {
      switch (input.type) {
        case "probed": {
          const { upstream, result } = input;
          const begun = at - result.tookMs;
          if (begun >= this.#now || underWay.has(upstream)) break;
          const checks = this.#checks.get(upstream);
          if (checks === undefined) break; // it is listed later
          underWay.add(upstream);
          Object.assign(checks, { begun, isUnderWay: true });
          const { overtaken: _, ...own } = result;
          this.#at(at, () => this.#answered(upstream, own));
          break;
        }
        case "ordered":
        case "begun":
          this.#at(at, () => this.#input(input));
          break;
        case "configured":
          this.#at(at, () => this.#configured(input));
          break;
        case "doubted":
          this.#at(at, () => this.#doubted(input));
          break;
        case "triggersEnded":
        case "quieted":
          // Those of a promotion that both machines have begun.
          if (input.epoch <= this.#machine.state.epoch) this.#at(at, () => this.#input(input));
      }
    }
    for (const [upstream, checks] of this.#checks) {
      if (!checks.isUnderWay) this.#plan(upstream, checks);
    }
  }

  /** An upstream serves, and nothing is in doubt. */
  #isQuiet(): boolean {
    const { phase } = this.#machine.state;
    const isInDoubt = [...this.#checks.values()].some(({ pace }) => pace === "doubt");
    return phase.name === "serving" && phase.failbackPlan === undefined && !isInDoubt;
  }

  #at(at: number, run: () => void): void {
    const agenda = this.#agenda;
    let [low, high] = [0, agenda.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      // The first one due is the last of the list; of two at one time the older one comes first.
      if (agenda[middle]!.at > at) low = middle + 1;
      else high = middle;
    }
    agenda.splice(low, 0, { at, run });
  }

  /** The next thing that is due, the machine's own timer among them. */
  #takeNext(): Due | undefined {
    const wake = wakeAt(this.#machine.state);
    const next = this.#agenda.at(-1);
    if (wake !== undefined && (next === undefined || wake <= next.at)) {
      return { at: wake, run: () => this.#input({ type: "ticked" }) };
    }
    return this.#agenda.pop();
  }

  #input(input: Input): void {
    for (const effect of this.#machine.take(input, this.#now)) this.#perform(effect);
  }

  /** Upstreams that are new are checked at once, as the checker does. */
  #configured(input: Extract<Input, { type: "configured" }>): void {
    const names = input.upstreams.map(({ name }) => name);
    for (const name of this.#checks.keys()) if (!names.includes(name)) this.#checks.delete(name);
    const added = names.filter((name) => !this.#checks.has(name));
    for (const name of added) this.#checks.set(name, newChecks(this.#now));
    this.#input(input);
    for (const name of added) this.#wanted(name);
  }

  #perform(effect: Effect): void {
    switch (effect.do) {
      case "probe":
        return this.#wanted(effect.upstream);
      case "pace": {
        const checks = this.#checks.get(effect.upstream);
        if (checks === undefined) return;
        checks.pace = effect.pace;
        if (!checks.isUnderWay) this.#plan(effect.upstream, checks);
        return;
      }
      case "runTriggers":
        return this.#runTriggers(effect.promotion.epoch, effect.promotion.to);
      case "cancelTriggers":
        if (this.#running === effect.epoch) this.#endTriggers(effect.epoch, { how: "cancelled" });
        return;
      case "awaitQuiet":
        return this.#awaitQuiet(effect.epoch);
    }
  }

  // ---- Checks, as `health/checker.ts` makes them

  #wanted(upstream: string): void {
    const checks = this.#checks.get(upstream);
    if (checks === undefined) return;
    if (checks.isUnderWay) checks.isWanted = true;
    else this.#begin(upstream, checks);
  }

  #begin(upstream: string, checks: UpstreamChecks): void {
    const result = answerAt(this.#facts.answers.get(upstream) ?? [], this.#now);
    // An upstream that was never checked cannot be simulated.
    if (result === undefined) return;
    const { overtaken: _, ...own } = result;
    Object.assign(checks, { begun: this.#now, isUnderWay: true, isWanted: false });
    checks.timer++;
    this.#at(this.#now + own.tookMs, () => this.#answered(upstream, own));
  }

  #answered(upstream: string, own: Extract<Input, { type: "probed" }>["result"]): void {
    const checks = this.#checks.get(upstream);
    if (checks === undefined) return;
    const { begun, isWanted } = checks;
    checks.isUnderWay = false;
    checks.isWanted = false;
    const result = isWanted ? { ...own, overtaken: true as const } : own;
    const stage = this.#machine.stageAt(begun);
    this.#input({ type: "probed", upstream, result, stage });
    if (checks.isUnderWay) return;
    if (isWanted) this.#begin(upstream, checks);
    else this.#plan(upstream, checks);
  }

  #plan(upstream: string, checks: UpstreamChecks): void {
    const { doubtMs, steadyMs } = this.#recorded.pace;
    const pauseMs = Math.max(1, checks.pace === "doubt" ? Math.min(doubtMs, steadyMs) : steadyMs);
    const timer = ++checks.timer;
    this.#at(Math.max(this.#now, checks.begun + pauseMs), () => {
      const isCurrent = this.#checks.get(upstream) === checks && checks.timer === timer;
      if (isCurrent && !checks.isUnderWay) this.#begin(upstream, checks);
    });
  }

  // ---- Triggers, quiet sessions and doubts

  #runTriggers(epoch: number, to: string): void {
    if (this.#running !== undefined) this.#endTriggers(this.#running, { how: "cancelled" });
    this.#running = epoch;
    const runs = this.#facts.triggers.filter((run) => run.to === to);
    const number = this.#ran.get(to) ?? 0;
    this.#ran.set(to, number + 1);
    const run = runs[Math.min(number, runs.length - 1)];
    const tookMs = run?.tookMs ?? this.#facts.triggers[0]?.tookMs ?? 0;
    const outcome = run?.outcome ?? { how: "ran" as const };
    this.#at(this.#now + tookMs, () => {
      if (this.#running === epoch) this.#endTriggers(epoch, outcome);
    });
  }

  #endTriggers(epoch: number, outcome: TriggerOutcome): void {
    this.#running = undefined;
    this.#at(this.#now, () => this.#input({ type: "triggersEnded", epoch, outcome }));
  }

  #awaitQuiet(epoch: number): void {
    const ms = this.#facts.quietMs[this.#quietings++];
    if (ms === undefined) return;
    this.#at(this.#now + ms, () => {
      if (awaitsQuiet(this.#machine.state, epoch)) this.#input({ type: "quieted", epoch });
    });
  }

  /** A client's connection failed; only where clients would have been sent. */
  #doubted({ doubt }: Extract<Input, { type: "doubted" }>): void {
    const active = activeOf(this.#machine.state);
    if (active?.upstream.name !== doubt.upstream) return;
    this.#input({ type: "doubted", doubt: { ...doubt, epoch: active.epoch } });
  }
}
