/**
 * What the machine would have decided with other options. As long as its effects are those that were recorded, it
 * gets the recorded inputs. From the first other effect on, a simulated world produces its inputs from the record:
 * an upstream answers as it did at the nearest time, and triggers take as long and end as they did. After the last
 * input the record is extrapolated for a while. Pure.
 */
import { policyAfter, step } from "../failover/machine.ts";
import { rebase } from "../failover/rebase.ts";
import { letsClientsThrough, type Policy, type State, wakeAt } from "../failover/state.ts";
import type { Effect, Input } from "../failover/steps.ts";
import { factsOf } from "./facts.ts";
import { SimulatedWorld } from "./simulated_world.ts";
import type { Recorded } from "./recording.ts";
import { type Decided, decisionsOf, type Entry } from "./input_log.ts";

/** The result of a replay with other options. Times are the machine's, in milliseconds. */
export interface WhatIf {
  readonly decided: readonly Decided[];
  /** The time of the last recorded input: what was decided later is extrapolated. */
  readonly knownUntil: number;
  /** When its effects first differed from the recorded ones; undefined if they never did. */
  readonly divergedAt: number | undefined;
  /** Whether clients are let through at the end. */
  readonly isServed: boolean;
}

/** The machine of the other policy, and what it has decided so far. */
export class Machine {
  readonly decided: Decided[] = [];
  /** When each stage began, oldest first. */
  readonly #stages: { readonly at: number; readonly stage: number }[];
  #policy: Policy;
  state: State;

  constructor(start: State, policy: Policy) {
    this.state = start;
    this.#policy = policy;
    this.#stages = [{ at: -Infinity, stage: start.stage }];
  }

  /** Applies one input; returns the effects. */
  take(input: Input, now: number): readonly Effect[] {
    const before = this.state;
    const next = step(before, input, now, this.#policy);
    this.state = next.state;
    this.#policy = policyAfter(input, this.#policy);
    this.decided.push(...decisionsOf({ step: next }));
    if (next.state.stage !== before.stage) {
      this.#stages.push({ at: next.state.now, stage: next.state.stage });
    }
    return next.effects;
  }

  /** The stage of the machine at a time. */
  stageAt(at: number): number {
    return this.#stages.findLast((each) => each.at <= at)!.stage;
  }
}

/** The decisions with another policy. */
export function whatIf(original: Recorded, policy: Policy): WhatIf {
  const recorded = { ...original, entries: original.entries.map(changed(original.policy, policy)) };
  const { entries, start } = recorded;
  const knownUntil = entries.at(-1)?.at ?? start.now;
  const machine = new Machine(rebase(start, recorded.policy, policy), policy);
  const divergence = follow(original, recorded.entries, machine);
  if (divergence !== undefined) {
    const world = new SimulatedWorld(recorded, factsOf(recorded), machine, divergence.paces);
    world.run(divergence);
  }
  return {
    decided: machine.decided,
    knownUntil,
    divergedAt: divergence?.at,
    isServed: letsClientsThrough(machine.state),
  };
}

/** Puts the other options into those that the operator put into force during the recording, too. */
function changed(from: Policy, to: Policy): (entry: Entry) => Entry {
  const isOther = ([key, value]: readonly [string, unknown]) =>
    JSON.stringify(value) !== JSON.stringify(from[key as keyof Policy]);
  const others = Object.fromEntries(Object.entries(to).filter(isOther));
  return (entry) => {
    if (entry.input.type !== "configured") return entry;
    const policy = { ...entry.input.policy, ...others };
    return { ...entry, input: { ...entry.input, policy } };
  };
}

/** The moment at which the two machines part. */
export interface Divergence {
  /** When they part, in the machine's time, in milliseconds. */
  readonly at: number;
  /** The first recorded entry that the other machine has not taken. */
  readonly index: number;
  /** The effects that it requests now. */
  readonly effects: readonly Effect[];
  /** By upstream: how often it is checked. */
  readonly paces: ReadonlyMap<string, "steady" | "doubt">;
}

/** Gives the machine the recorded inputs, until its effects differ from those of that time. */
function follow(
  { start, entries, policy }: Recorded,
  own: readonly Entry[],
  machine: Machine,
): Divergence | undefined {
  const paces = new Map<string, "steady" | "doubt">();
  let was = start;
  let inForce = policy;
  for (const [index, { at, input }] of entries.entries()) {
    const wake = wakeAt(machine.state);
    // A timer that both have may be late: then it was late.
    if (wake !== undefined && wake < at && wake < (wakeAt(was) ?? Infinity)) {
      const effects = machine.take({ type: "ticked" }, wake);
      return { at: wake, index, effects, paces };
    }
    const then = step(was, input, at, inForce);
    was = then.state;
    inForce = policyAfter(input, inForce);
    const effects = machine.take(own[index]!.input, at);
    const parts = !isSame(then.effects, effects);
    for (const effect of effects) if (effect.do === "pace") paces.set(effect.upstream, effect.pace);
    if (parts) return { at, index: index + 1, effects, paces };
  }
  const wakes = [was, machine.state].map(wakeAt);
  // Nothing differs yet, but it will.
  if (wakes[0] === wakes[1]) return undefined;
  return { at: machine.state.now, index: entries.length, effects: [], paces };
}

/** Whether two lists of effects do the same to the world; events and answers to orders do nothing to it. */
function isSame(a: readonly Effect[], b: readonly Effect[]): boolean {
  const wanted = (effects: readonly Effect[]) =>
    effects.flatMap((effect) => {
      switch (effect.do) {
        case "publish":
        case "settle":
          return [];
        case "open":
          return [`open ${effect.upstream.name} ${effect.epoch}`];
        case "runTriggers":
          return [`triggers ${effect.promotion.to} ${effect.promotion.epoch}`];
        case "drain":
          return [`drain ${effect.order.upstream} ${effect.order.throughEpoch}`];
        default:
          return [JSON.stringify(effect)];
      }
    }).join("\n");
  return wanted(a) === wanted(b);
}
