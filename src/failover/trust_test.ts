import { assertEquals } from "@std/assert";
import type { WhoServed } from "./memory.ts";
import type { Phase, State } from "./state.ts";
import { promoting, serving, START, stateOf } from "./testing/states.ts";
import { phaseForChecks, trustedFor } from "./trust.ts";

const trustedIn = (state: State) => ["a", "b"].map((name) => trustedFor(state, name));

Deno.test("a check program trusts the last promotion that succeeded, and the active upstream itself", () => {
  const trusted = (phase: Phase) => trustedIn(stateOf(phase));
  assertEquals(trustedFor(START, "a"), undefined);
  assertEquals(trusted(START.phase), ["a", "a"]);
  assertEquals(trusted(serving({ is: "ran" })), ["a", "b"]);
  // Until it is known whether the promotion succeeded, all others trust it too.
  assertEquals(trusted(serving({ is: "running", attempt: 1 })), ["b", "b"]);
  assertEquals(trusted(serving({ is: "failed", reason: "", proof: "none" })), ["b", "b"]);
  assertEquals(trusted(serving({ is: "failed", reason: "", proof: "failed" })), ["a", "b"]);
  assertEquals(trusted(promoting(true, { is: "running", attempt: 1 })), ["a", "b"]);
  assertEquals(trusted(promoting(false, { is: "running", attempt: 1 })), ["a", "a"]);
});

Deno.test("after a restart check programs trust the remembered upstream, or a promotion of unknown outcome", () => {
  const after = (lastChosen: string | undefined, who: WhoServed, isGivenUp = false) =>
    trustedIn({ ...START, lastChosen, remembered: { ...who, isGivenUp } });
  assertEquals(after("b", { served: "b", unfinished: undefined }), ["b", "b"]);
  // The triggers of b failed, so a was chosen last; b itself served nevertheless.
  assertEquals(after("a", { served: "b", unfinished: undefined }), ["a", "b"]);
  assertEquals(after(undefined, { served: "b", unfinished: undefined }), ["b", "b"]);
  const unfinished = { to: "b", from: "a" };
  assertEquals(after("a", { served: "a", unfinished }), ["b", "b"]);
  assertEquals(after("a", { served: "a", unfinished }, true), ["a", "a"]);
});

Deno.test("check programs are told about a promotion until it is repeated or abandoned", () => {
  const unfinished = { to: "b", from: "a" };
  const after = (who: WhoServed, isGivenUp = false) =>
    phaseForChecks({ ...START, remembered: { ...who, isGivenUp } });
  assertEquals(phaseForChecks(START), "waiting");
  assertEquals(after({ served: "a", unfinished: undefined }), "waiting");
  assertEquals(after({ served: "a", unfinished }), "promoting");
  assertEquals(after({ served: "a", unfinished }, true), "waiting");
  assertEquals(phaseForChecks(stateOf(serving({ is: "ran" }))), "serving");
});
