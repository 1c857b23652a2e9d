/**
 * The last inputs of one machine, with states from which they can be replayed. An input that changed nothing,
 * such as a repeated doubt about an upstream, is left out.
 */
import type { Taken } from "../failover/controller.ts";
import type { Policy, State } from "../failover/state.ts";
import type { Effect, Input } from "../failover/steps.ts";

/** An input and when it was applied, in the machine's time, which never goes back. */
export interface Entry {
  /** In milliseconds. */
  readonly at: number;
  readonly input: Input;
}

/** A decision and when it was made. */
export interface Decided {
  /** A time of the machine, in milliseconds. */
  readonly at: number;
  readonly effect: Effect;
}

/** Consecutive inputs of a machine: `step`, applied to `start` and the entries in order, gives `decided`. */
export interface InputRange {
  readonly start: State;
  /** The policy that was in force at the start. */
  readonly policy: Policy;
  readonly entries: readonly Entry[];
  readonly decided: readonly Decided[];
}

interface Segment {
  readonly start: State;
  readonly policy: Policy;
  readonly entries: Entry[];
  readonly decided: Decided[];
}

/** Inputs in one segment. A range can only begin at the beginning of a segment. */
const SEGMENT_ENTRIES = 32;
/** Together they cover three minutes of three upstreams at the default interval, in about 60 KB per service. */
const SEGMENTS_MAX = 8;

/** The log of one machine, in memory only and bounded in time and number. */
export class InputLog {
  #segments: Segment[] = [];
  #last: State | undefined;

  /** Adds what one step took and decided. That of another machine takes the place of all before it. */
  add(taken: Taken): void {
    if (taken.before !== this.#last) this.#segments = [];
    this.#last = taken.step.state;
    const entry = entryOf(taken);
    if (entry === undefined) return;
    let last = this.#segments.at(-1);
    if (last === undefined || last.entries.length >= SEGMENT_ENTRIES) {
      last = { start: taken.before, policy: taken.policy, entries: [], decided: [] };
      this.#segments.push(last);
      if (this.#segments.length > SEGMENTS_MAX) this.#segments.shift();
    }
    last.entries.push(entry);
    last.decided.push(...decisionsOf(taken));
  }

  /** The entries since `at`, and some before it; undefined if there are none. `at` is a time of the machine. */
  since(at: number): InputRange | undefined {
    const begin = Math.max(0, this.#segments.findLastIndex(({ start }) => start.now <= at));
    const segments = this.#segments.slice(begin);
    if (segments.length === 0) return undefined;
    return {
      start: segments[0]!.start,
      policy: segments[0]!.policy,
      entries: segments.flatMap(({ entries }) => entries),
      decided: segments.flatMap(({ decided }) => decided),
    };
  }
}

/** The entry of a step; undefined if a replay is the same without it. */
export function entryOf(
  { input, before, step: { state, effects } }: Omit<Taken, "policy">,
): Entry | undefined {
  const isIdle = input.type === "doubted" && effects.length === 0 && state.health === before.health;
  return isIdle ? undefined : { at: state.now, input };
}

/** What a step decided: all its effects but those that only ask for the next check. */
export function decisionsOf({ step: { state, effects } }: Pick<Taken, "step">): readonly Decided[] {
  return effects.filter((effect) => effect.do !== "probe" && effect.do !== "pace").map((
    effect,
  ) => ({
    at: state.now,
    effect,
  }));
}
