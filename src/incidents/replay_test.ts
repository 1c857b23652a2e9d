import { assertEquals } from "@std/assert";
import { Live } from "./testing/live.ts";
import { REFUSED } from "../failover/testing/results.ts";
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
