/**
 * Recorded inputs of random schedules, converted to JSON and back: a replay without changes decides exactly
 * what was decided, and other options never make the machine throw.
 */
import { assert, assertEquals } from "@std/assert";
import { chosenSeed, Dice, firstSeed, seeds } from "../../src/base/testing/dice.ts";
import { decode, encode } from "../../src/incidents/codec.ts";
import { type Recorded, Recording } from "../../src/incidents/recording.ts";
import { replay } from "../../src/incidents/replay.ts";
import { type Decided, InputLog } from "../../src/incidents/input_log.ts";
import { whatIf } from "../../src/incidents/what_if.ts";
import { settingsFor } from "./settings.ts";
import { Simulation } from "./simulation.ts";

const SCHEDULES = 150;

/** A recording that begins at a random moment of the schedule. */
function recordedOf(seed: number): Recorded | undefined {
  // A restart creates a new machine, whose inputs do not continue the recording.
  const settings = { ...settingsFor(seed), meanRestartMs: 0 };
  const dice = new Dice(seed);
  const simulation = new Simulation(settings);
  const log = new InputLog();
  const beginsAt = dice.fraction() * settings.lengthMs * 0.9;
  const pace = { steadyMs: 2_000, doubtMs: 500 };
  let recording: Recording | undefined;
  simulation.run(({ input, before, state, effects, now, policyBefore: policy }) => {
    const taken = { input, before, policy, step: { state, effects } };
    log.add(taken);
    recording?.add(taken);
    if (recording !== undefined || now < beginsAt) return;
    const range = log.since(before.now - dice.fraction() * 60_000);
    if (range !== undefined) recording = new Recording(range, pace, 0);
  });
  const recorded = recording?.recorded;
  return recorded && decode(JSON.parse(JSON.stringify(encode(recorded))));
}

Deno.test("a replay without changes decides exactly what was decided", () => {
  let decided = 0;
  for (const seed of seeds(SCHEDULES, firstSeed)) {
    const recorded = recordedOf(seed);
    if (recorded === undefined) continue;
    assertEquals(plain(replay(recorded)), plain(recorded.decided), `FAILOVER_SEED=${seed}`);
    // The same options are no change either.
    const { decided: same, divergedAt } = whatIf(recorded, recorded.policy);
    assertEquals([divergedAt, plain(same).length], [undefined, recorded.decided.length]);
    decided += recorded.decided.length;
  }
  if (chosenSeed === undefined) assert(decided > 1_000, `only ${decided} decisions were compared`);
});

Deno.test("other options make other decisions, and none of them violates the table of transitions", () => {
  for (const seed of seeds(SCHEDULES, firstSeed)) {
    const recorded = recordedOf(seed);
    if (recorded === undefined) continue;
    const other = { ...settingsFor(seed + 1).policy, instance: recorded.policy.instance };
    // The machine throws on a transition that is not in its table.
    const { decided } = whatIf(recorded, other);
    const times = decided.map(({ at }) => at);
    assertEquals(times, times.toSorted((a, b) => a - b), `FAILOVER_SEED=${seed}`);
  }
});

/** Without properties that are undefined, which JSON leaves out. */
function plain(value: readonly Decided[]): readonly unknown[] {
  return JSON.parse(JSON.stringify(value));
}
