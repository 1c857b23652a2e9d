import { assert, assertEquals } from "@std/assert";
import type { Input } from "../failover/steps.ts";
import { POLICY } from "../failover/testing/policy.ts";
import { ENTRIES_MAX, Recording } from "./recording.ts";
import { replay } from "./replay.ts";
import { BEGINNING, taker } from "../failover/testing/taker.ts";

const PACE = { steadyMs: 2_000, doubtMs: 500 };
const TICK: Input = { type: "ticked" };

/** A machine whose steps are recorded from its beginning. */
function fixture() {
  const range = { start: BEGINNING, policy: POLICY, entries: [], decided: [] };
  const recording = new Recording(range, PACE, 1_000_000);
  const take = taker((taken) => recording.add(taken));
  return { recording, take };
}

Deno.test("a recording holds what a replay needs", () => {
  const { recording, take } = fixture();
  take({ type: "begun" }, 10);
  take(TICK, 20);
  const { recorded } = recording;
  assertEquals(recorded.entries, [{ at: 10, input: { type: "begun" } }, { at: 20, input: TICK }]);
  assertEquals([recorded.pace, recorded.wallOffset, recorded.isCutOff], [
    PACE,
    1_000_000,
    false,
  ]);
  assert(recorded.decided.length > 0);
  assertEquals(replay(recorded), recorded.decided);
});

Deno.test("nothing is added after the end", () => {
  const { recording, take } = fixture();
  take({ type: "begun" }, 10);
  recording.end();
  take(TICK, 20);
  assertEquals([recording.entries.length, recording.recorded.isCutOff], [1, false]);
});

Deno.test("a recording that reached its limit is marked as truncated, and can still be replayed", () => {
  const { recording, take } = fixture();
  take({ type: "begun" }, 0);
  for (let at = 1; at <= ENTRIES_MAX; at++) take(TICK, at);
  const { recorded } = recording;
  assertEquals([recorded.entries.length, recorded.isCutOff], [ENTRIES_MAX, true]);
  assertEquals(replay(recorded), recorded.decided);
});
