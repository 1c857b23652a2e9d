import { assertEquals } from "@std/assert";
import { step } from "../failover/machine.ts";
import type { ProbeResult } from "../failover/ports.ts";
import { initialState } from "../failover/state.ts";
import type { Input } from "../failover/steps.ts";
import { POLICY } from "../failover/testing/policy.ts";
import { answeredAs, REFUSED, upstreamsOf } from "../failover/testing/results.ts";
import { decode, encode } from "./codec.ts";
import { Recording } from "./recording.ts";
import { Live } from "./testing/live.ts";
import { eachStep, replay } from "./replay.ts";

Deno.test("the recorded inputs give the recorded decisions, each from the state that it found", async () => {
  await using live = new Live();
  await live.clock.advance(60_000);
  live.answers.set("a", REFUSED);
  await live.clock.advance(30_000);
  const recorded = await live.recorded();
  assertEquals(replay(recorded), recorded.decided);
  let state = recorded.start;
  let steps = 0;
  eachStep(recorded, (next, before, index) => {
    assertEquals([before === state, index], [true, steps++]);
    state = next.state;
  });
  assertEquals(steps, recorded.entries.length);
  assertEquals(state.phase.name, "serving");
});

Deno.test("another policy decides otherwise from the same inputs", async () => {
  await using live = new Live();
  await live.clock.advance(60_000);
  live.answers.set("a", REFUSED);
  await live.clock.advance(30_000);
  const recorded = await live.recorded();
  const patient = { ...recorded, policy: { ...recorded.policy, fall: 1_000 } };
  const moves = (decided: ReturnType<typeof replay>) =>
    decided.filter(({ effect }) => effect.do === "open").length;
  assertEquals([moves(replay(recorded)), moves(replay(patient))], [1, 0]);
});

Deno.test("what servers said of their role is recorded, stored and replayed", () => {
  const policy = { ...POLICY, roles: { maxLag: undefined, promotedBy: "us" } } as const;
  const start = initialState(upstreamsOf("a", "b"), 0);
  const range = { start, policy, entries: [], decided: [] };
  const recording = new Recording(range, { steadyMs: 2_000, doubtMs: 500 }, 0);
  let state = start;
  const take = (input: Input, at: number) => {
    const taken = { input, before: state, policy, step: step(state, input, at, policy) };
    state = taken.step.state;
    recording.add(taken);
  };
  const answer = (upstream: string, result: ProbeResult, at: number) =>
    take({ type: "probed", upstream, result, stage: state.stage }, at);
  take({ type: "begun" }, 1);
  answer("a", answeredAs("primary", { position: 9 }), 2);
  answer("b", answeredAs("standby", { position: 9 }), 3);
  take({ type: "triggersEnded", epoch: 1, outcome: { how: "ran" } }, 4);
  answer("b", answeredAs("primary"), 5);
  answer("a", answeredAs("standby"), 6);
  answer("a", answeredAs("standby"), 7);
  answer("b", answeredAs("primary"), 8);
  const decided = recording.recorded.decided;
  const moved = decided.some(({ effect }) =>
    effect.do === "runTriggers" && effect.promotion.to === "b"
  );
  assertEquals(moved, true);
  const stored = JSON.parse(JSON.stringify(encode(recording.recorded)));
  assertEquals(replay(decode(stored)!), decided);
});
