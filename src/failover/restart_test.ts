import { assertEquals } from "@std/assert";
import { step } from "./machine.ts";
import { initialState } from "./state.ts";
import type { Input } from "./steps.ts";
import { memoryOf } from "./memory.ts";
import { POLICY } from "./testing/policy.ts";
import { a, b, promoting, serving, stateOf } from "./testing/states.ts";
import { PASSED, REFUSED } from "./testing/results.ts";

function restarted(
  memory: ReturnType<typeof memoryOf>,
  ...results: readonly (readonly [string, boolean])[]
) {
  let state = initialState([a, b], 0, memory);
  const take = (input: Input) => state = step(state, input, 0, { ...POLICY, fall: 2 }).state;
  take({ type: "begun" });
  for (const [upstream, passed] of results) {
    take({ type: "probed", upstream, result: passed ? PASSED : REFUSED, stage: state.stage });
  }
  return state;
}

Deno.test("the upstream that served before a restart serves without triggers, with a new epoch", () => {
  const memory = { ...memoryOf(stateOf(serving({ is: "ran" }))), epoch: 3, lastChosen: "b" };
  const { phase, lastServed } = restarted(memory, ["a", true], ["b", true]);
  assertEquals(phase.name === "serving" && [phase.active.name, phase.epoch, phase.triggers.is], [
    ...["b", 4, "ran"],
  ]);
  assertEquals(lastServed, { to: "b", promotion: undefined, since: 0 });
});

Deno.test("another upstream is promoted only when the remembered one is down by its threshold", () => {
  const memory = { ...memoryOf(stateOf(serving({ is: "ran" }))), epoch: 3 };
  assertEquals(restarted(memory, ["a", true], ["b", false]).phase.name, "selecting");
  const { phase } = restarted(memory, ["a", true], ["b", false], ["b", false]);
  assertEquals(phase.name === "promoting" && [phase.candidate.name, phase.promotion.from], [
    ...["a", "b"],
  ]);
});

Deno.test("the reason of the first promotion names the remembered upstream only if that is down", () => {
  const reasonOf = ({ phase }: ReturnType<typeof restarted>) =>
    phase.name === "promoting" ? phase.promotion.reason : phase.name;
  const memory = { ...memoryOf(stateOf(serving({ is: "ran" }))), epoch: 3 };
  assertEquals(
    reasonOf(restarted(memory, ["a", true], ["b", false], ["b", false])),
    `b, which served before the restart, is down: ${(REFUSED as { reason: string }).reason}`,
  );
  const nobody = { ...memory, served: undefined };
  assertEquals(reasonOf(restarted(nobody, ["a", true])), "a is the first usable");
  const drained = new Map([["b", { by: "ann", reason: "", since: 0 }]]);
  assertEquals(
    reasonOf(restarted({ ...memory, drained }, ["b", true], ["a", true])),
    "a is the first usable",
  );
});

Deno.test("an upstream that serves again keeps its pin, and another one's pin ends", () => {
  const memory = { ...memoryOf(stateOf(serving({ is: "ran" }))), epoch: 3, lastChosen: "b" };
  const kept = restarted({ ...memory, pinned: "b" }, ["b", true]);
  assertEquals([kept.phase.name, kept.pinned], ["serving", "b"]);
  const ended = restarted({ ...memory, pinned: "a" }, ["b", true]);
  assertEquals([ended.phase.name, ended.pinned], ["serving", undefined]);
});

Deno.test("an upstream that was not the last choice serves again as one whose triggers failed", () => {
  const memory = { ...memoryOf(stateOf(serving({ is: "ran" }))), epoch: 3, lastChosen: "a" };
  const { phase } = restarted(memory, ["b", true]);
  assertEquals(phase.name === "serving" && phase.triggers.is, "failed");
});

Deno.test("a promotion of unknown outcome is repeated with its original source", () => {
  const memory = memoryOf(stateOf(promoting(true, { is: "running", attempt: 1 })));
  const { phase } = restarted(memory, ["b", true], ["a", true]);
  assertEquals(phase.name === "promoting" && [phase.candidate.name, phase.promotion.from], [
    ...["a", "b"],
  ]);
});

Deno.test("an interrupted promotion whose candidate is down is given up, and all upstreams are checked again", () => {
  const lastServed = { to: "b", promotion: undefined, since: 0 };
  const interrupted = stateOf(promoting(true, { is: "running", attempt: 1 }));
  const memory = memoryOf({ ...interrupted, lastServed });
  const asked = restarted(memory, ["b", false], ["a", false], ["a", false]);
  assertEquals([asked.phase.name, asked.remembered?.isGivenUp], ["selecting", true]);
  assertEquals(asked.phase.name === "selecting" && asked.phase.answers.size, 0);
  const { phase } = restarted(memory, ["a", false], ["a", false], ["a", false], ["b", true]);
  assertEquals(phase.name === "promoting" && [phase.candidate.name, phase.promotion.from], [
    ...["b", "b"],
  ]);
});

Deno.test("what another process knew goes on at once, with its verdicts and the time since which it served", () => {
  const verdicts = new Map([["a", { isUp: false, since: -7 }], ["b", { isUp: true, since: -5 }]]);
  const memory = { ...memoryOf(stateOf(serving({ is: "ran" }))), epoch: 3, lastChosen: "b" };
  const standing = { active: "b", since: -6, verdicts };
  const { phase, lastServed, health, admission } = restarted({ ...memory, standing });
  assertEquals(phase.name === "serving" && [phase.active.name, phase.epoch], ["b", 4]);
  assertEquals([lastServed?.since, admission.is], [-6, "open"]);
  assertEquals([health.get("a")?.level, health.get("a")?.since, health.get("b")?.since], [
    ...[0, -7, -5],
  ]);
  const gone = restarted({ ...memory, standing: { ...standing, active: "c" } });
  assertEquals(gone.phase.name, "selecting");
});
