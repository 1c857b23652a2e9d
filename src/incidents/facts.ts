/**
 * The facts of a recording that do not depend on the decisions: when and how each upstream answered, how long
 * triggers took, and when sessions became quiet. Pure.
 */
import type { ProbeResult, TriggerOutcome } from "../failover/ports.ts";
import type { Recorded } from "./recording.ts";
import { eachStep } from "./replay.ts";

/** An answer of an upstream to a check; times are the machine's. */
export interface Answered {
  /** When the check began. */
  readonly begun: number;
  /** When its result arrived. */
  readonly at: number;
  readonly result: ProbeResult;
}

/** Triggers that have ended. */
export interface Ran {
  readonly to: string;
  readonly tookMs: number;
  readonly outcome: TriggerOutcome;
}

/** What happened during one recording, whatever was decided. */
export interface RecordedFacts {
  /** By upstream, in the order of their arrival. */
  readonly answers: ReadonlyMap<string, readonly Answered[]>;
  readonly triggers: readonly Ran[];
  /** Each wait for quiet sessions: how long it was in milliseconds; undefined if they did not become quiet. */
  readonly quietMs: readonly (number | undefined)[];
}

/** Collects the facts of a recording by replaying it. */
export function factsOf(recorded: Recorded): RecordedFacts {
  const answers = new Map<string, Answered[]>();
  const triggers: Ran[] = [];
  const quietMs: (number | undefined)[] = [];
  const running = new Map<number, { to: string; at: number }>();
  const quieting = new Map<number, { index: number; at: number }>();
  for (const { at, input } of recorded.entries) {
    if (input.type !== "probed") continue;
    const { upstream, result } = input;
    push(answers, upstream, { begun: at - result.tookMs, at, result });
  }
  eachStep(recorded, ({ state, effects }, _, index) => {
    const { at, input } = recorded.entries[index]!;
    if (input.type === "triggersEnded") {
      const run = running.get(input.epoch);
      const { how } = input.outcome;
      if (run !== undefined && how !== "cancelled" && how !== "calledOff") {
        triggers.push({ to: run.to, tookMs: at - run.at, outcome: input.outcome });
      }
    }
    if (input.type === "quieted") {
      const wait = quieting.get(input.epoch);
      if (wait !== undefined) quietMs[wait.index] = at - wait.at;
    }
    for (const effect of effects) {
      if (effect.do === "runTriggers") {
        running.set(effect.promotion.epoch, { to: effect.promotion.to, at: state.now });
      } else if (effect.do === "awaitQuiet") {
        quieting.set(effect.epoch, { index: quietMs.push(undefined) - 1, at: state.now });
      }
    }
  });
  return { answers, triggers, quietMs };
}

function push<V>(map: Map<string, V[]>, key: string, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

/** How an upstream would have answered a check that begins at `at`: as it did nearest to that moment. */
export function answerAt(answers: readonly Answered[], at: number): ProbeResult | undefined {
  let best: Answered | undefined;
  for (const each of answers) {
    if (best === undefined || Math.abs(each.begun - at) <= Math.abs(best.begun - at)) best = each;
  }
  return best?.result;
}
