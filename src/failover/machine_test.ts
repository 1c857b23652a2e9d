/** What each input does, as far as the machine itself decides it; its parts have tests of their own. */
import { assertEquals } from "@std/assert";
import { unknownHealth } from "./health.ts";
import { step } from "./machine.ts";
import type { Doubt } from "./ports.ts";
import { initialState, type Policy, type State } from "./state.ts";
import type { Effect, Input } from "./steps.ts";
import { POLICY } from "./testing/policy.ts";
import { promoting, stateOf } from "./testing/states.ts";
import { NO_VERDICT, PASSED, REFUSED, SILENT, upstreamsOf } from "./testing/results.ts";

/** Takes inputs one after another, and collects the types of events and the other effects. */
function machine(policy: Partial<Policy> = {}) {
  let state: State = initialState(upstreamsOf("a", "b"), 0);
  const seen: string[] = [];
  const note = (effect: Effect) =>
    effect.do === "publish"
      ? effect.event.type
      : "upstream" in effect
      ? `${effect.do} ${
        typeof effect.upstream === "string" ? effect.upstream : effect.upstream.name
      }`
      : effect.do;
  const take = (input: Input, now = state.now): string[] => {
    const { effects, ...next } = step(state, input, now, { ...POLICY, fall: 1, ...policy });
    state = next.state;
    seen.push(...effects.map(note));
    return effects.map(note);
  };
  const probed = (upstream: string, result: typeof PASSED, stage = state.stage) =>
    take({ type: "probed", upstream, result, stage });
  return { take, probed, seen, state: () => state };
}

/** A machine that serves from `a`. */
function servingA(policy: Partial<Policy> = {}) {
  const it = machine(policy);
  it.take({ type: "begun" });
  it.probed("a", PASSED);
  it.take({ type: "triggersEnded", epoch: 1, outcome: { how: "ran" } });
  return it;
}

const DOUBT: Doubt = { upstream: "a", epoch: 1, hard: true, reason: "closed early" };

Deno.test("the first input begins a selection; a second one of that kind changes nothing", () => {
  const { take } = machine();
  assertEquals(take({ type: "begun" }), ["selection.started", "probe a", "probe b"]);
  assertEquals(take({ type: "begun" }), []);
});

Deno.test("the machine's time never goes back", () => {
  const { take, state } = machine();
  take({ type: "begun" }, 500);
  take({ type: "ticked" }, 300);
  assertEquals(state().now, 500);
});

Deno.test("a result of an earlier stage is not used: the upstream is probed again, once", () => {
  const { probed, state } = servingA();
  const stage = state().stage - 1;
  assertEquals(probed("a", REFUSED, stage), ["probe a"]);
  assertEquals(probed("a", { ...REFUSED, overtaken: true }, stage), []);
  assertEquals(state().phase.name, "serving");
});

Deno.test("an active upstream that goes down is left, and its sessions end", () => {
  const { probed } = servingA();
  assertEquals(
    probed("a", REFUSED),
    [
      ...["pace a", "upstream.down", "hold", "clients.held", "selection.started"],
      ...["probe a", "probe b", "drain"],
    ].filter((effect) => effect !== "pace a"),
  );
});

Deno.test("while the service is paused the loss is reported, and nothing moves", () => {
  const { take, probed, state } = servingA();
  take({ type: "ordered", id: 1, order: { name: "pause" }, by: "ann", reason: "" });
  assertEquals(probed("a", REFUSED), ["upstream.down", "failover.withheld"]);
  assertEquals(state().phase.name, "serving");
});

Deno.test("a doubt about the active upstream starts one probe, and a pass confirms it", () => {
  const { take, probed } = servingA({ fall: 3 });
  assertEquals(take({ type: "doubted", doubt: { ...DOUBT, epoch: 9 } }), []);
  assertEquals(take({ type: "doubted", doubt: DOUBT }), ["pace a", "upstream.doubted", "probe a"]);
  assertEquals(take({ type: "doubted", doubt: { ...DOUBT, hard: false } }), []);
  assertEquals(probed("a", PASSED), ["pace a", "confirm a"]);
});

Deno.test("checks without a verdict are reported when that begins and when it ends", () => {
  const { probed, state } = servingA({ rise: 1 });
  assertEquals(probed("a", NO_VERDICT), ["noVerdict.began"]);
  assertEquals(probed("a", NO_VERDICT), []);
  assertEquals(probed("a", PASSED), ["noVerdict.ended"]);
  assertEquals(state().phase.name, "serving");
});

Deno.test("a failed check of an upstream that stays up is reported with the number of failures", () => {
  const { probed, seen } = servingA({ fall: 2 });
  probed("a", SILENT);
  assertEquals(seen.at(-1), "probe.failed");
  probed("a", SILENT);
  assertEquals(seen.includes("upstream.down"), true);
});

Deno.test("a round that found nobody waits, and the next pass of any upstream begins another one", () => {
  const { take, probed, state } = machine();
  take({ type: "begun" });
  probed("a", REFUSED);
  probed("b", REFUSED);
  assertEquals(state().phase.name, "waiting");
  assertEquals(probed("b", REFUSED), []);
  assertEquals(probed("b", PASSED).at(0), "pace b");
  probed("a", REFUSED);
  assertEquals(state().phase.name, "promoting");
});

Deno.test("when the hold is over clients are refused, although a round is under way", () => {
  const { take, probed } = servingA({ holdMs: 50 });
  probed("a", REFUSED);
  assertEquals(take({ type: "ticked" }, 49), []);
  assertEquals(take({ type: "ticked" }, 50), ["refuse", "clients.refused"]);
});

Deno.test("the answer that sessions are quiet begins the triggers of the move that waits for it", () => {
  const { take, probed } = servingA();
  probed("b", PASSED);
  take({
    ...{ type: "ordered", id: 1, order: { name: "switchover", to: "b" }, by: "ann", reason: "" },
  } as Input);
  assertEquals(take({ type: "quieted", epoch: 9 }), []);
  assertEquals(take({ type: "quieted", epoch: 2 }), ["runTriggers"]);
});

Deno.test("a check without a verdict ends no move away from an upstream that counts as down", () => {
  const before = stateOf(promoting(true, { is: "running", attempt: 1 }));
  const known = new Map(before.health);
  known.set("a", { ...unknownHealth(0), level: 3 });
  // As after a restart: it served although its last verdict was down.
  known.set("b", { ...unknownHealth(0), level: 0 });
  const state = { ...before, health: known };
  const input = { type: "probed", upstream: "b", stage: state.stage } as const;
  const policy: Policy = { ...POLICY, triggers: "beside" };
  const without = step(state, { ...input, result: NO_VERDICT }, 100, policy);
  assertEquals(without.state.phase.name, "promoting");
  assertEquals(without.state.admission.is, "open");
  const refused = step(state, { ...input, result: REFUSED }, 100, policy);
  assertEquals(refused.state.phase.name, "serving");
});
