import { assertEquals } from "@std/assert";
import type { Taken } from "../failover/controller.ts";
import { step } from "../failover/machine.ts";
import { initialState, type Input } from "../failover/state.ts";
import { POLICY } from "../failover/testing/policy.ts";
import { Tape } from "./tape.ts";

const UPSTREAMS = [
  { name: "a", rank: 0, address: { kind: "tcp" as const, host: "a", port: 1 } },
];

/** Steps a machine, and puts each step on the tape. */
function runner(tape: Tape) {
  let state = initialState(UPSTREAMS, 0);
  return (input: Input, now: number) => {
    const taken: Taken = { input, before: state, step: step(state, input, now, POLICY) };
    state = taken.step.state;
    tape.add(taken);
  };
}

const passed = (stage: number): Input => ({
  type: "probed",
  upstream: "a",
  result: { passed: true, tookMs: 1, reason: "connected", evidence: "passed" },
  stage,
});

Deno.test("a stretch begins with a state, at or before the wanted time", () => {
  const tape = new Tape();
  assertEquals(tape.since(0), undefined);
  const take = runner(tape);
  take({ type: "begun" }, 0);
  for (let at = 1; at <= 100; at++) take(passed(2), at);
  const { start, entries } = tape.since(70)!;
  assertEquals([start.now <= 70, entries[0]!.at >= start.now, entries.at(-1)!.at], [
    true,
    true,
    100,
  ]);
  assertEquals(tape.since(-5)!.entries.length, 101);
});

Deno.test("the tape is bounded, and empty for another machine", () => {
  const tape = new Tape();
  const take = runner(tape);
  for (let at = 1; at <= 5_000; at++) take(passed(0), at);
  assertEquals(tape.since(0)!.entries.length <= 1_024, true);
  runner(tape)({ type: "begun" }, 7);
  assertEquals(tape.since(0)!.entries.length, 1);
});

Deno.test("a doubt that changes nothing is left out", () => {
  const tape = new Tape();
  const take = runner(tape);
  const doubt = { upstream: "a", epoch: 7, hard: true, reason: "reset" };
  take({ type: "doubted", doubt }, 1);
  assertEquals(tape.since(0), undefined);
});
