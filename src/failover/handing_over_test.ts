import { assertEquals } from "@std/assert";
import { handedOver } from "./handing_over.ts";
import { POLICY } from "./testing/policy.ts";
import { promoting, serving, START, stateOf } from "./testing/states.ts";

const RAN = { is: "ran" } as const;
const HELD = { by: "ann", reason: "", since: 0, until: 9 };

Deno.test("what serves is handed over with its verdicts, and what only one process can end is not", () => {
  const memory = handedOver(stateOf(serving(RAN)), POLICY);
  assertEquals(typeof memory !== "string" && memory.standing, {
    active: "b",
    since: 5,
    verdicts: new Map(),
  });
  const reasons = [
    START,
    stateOf(serving({ is: "running", attempt: 1 })),
    stateOf(promoting(true, RAN)),
    { ...stateOf(serving(RAN)), held: HELD },
    stateOf(serving(RAN), { is: "holding", outSince: 0, until: 9 }),
  ].map((state) => handedOver(state, POLICY));
  assertEquals(reasons, [
    "it has not begun yet",
    "the triggers of b are running",
    "a is being promoted",
    "its clients are held by order of ann",
    "its clients are held until an upstream can be used",
  ]);
});

Deno.test("while no upstream can be used, nothing stands", () => {
  const phase = {
    name: "waiting",
    round: 3,
    reason: "all are down",
    until: 99,
    passedOver: new Set<string>(),
  } as const;
  const memory = handedOver(stateOf(phase, { is: "closed", outSince: 0 }), POLICY);
  assertEquals(typeof memory !== "string" && [memory.standing, memory.lastChosen], [
    undefined,
    "a",
  ]);
});
