import { assert, assertEquals } from "@std/assert";
import type { Taken } from "../failover/controller.ts";
import { step } from "../failover/machine.ts";
import { initialState } from "../failover/state.ts";
import type { Input } from "../failover/steps.ts";
import { POLICY } from "../failover/testing/policy.ts";
import { ENTRIES_MAX, Recording } from "./recording.ts";
import { replay } from "./replay.ts";
import { upstreamsOf } from "../failover/testing/results.ts";

const UPSTREAMS = upstreamsOf("a");
const PACE = { steadyMs: 2_000, doubtMs: 500 };
const TICK: Input = { type: "ticked" };

/** A machine whose steps are recorded from its beginning. */
function fixture() {
  let state = initialState(UPSTREAMS, 0);
  const range = { start: state, policy: POLICY, entries: [], decided: [] };
  const recording = new Recording(range, PACE, 1_000_000);
  const take = (input: Input, now: number) => {
    const taken: Taken = {
      input,
      before: state,
      policy: POLICY,
      step: step(state, input, now, POLICY),
    };
    state = taken.step.state;
    recording.add(taken);
  };
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
