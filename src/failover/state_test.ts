import { assertEquals } from "@std/assert";
import {
  activeOf,
  type Admission,
  initialState,
  letsClientsThrough,
  type Phase,
  type State,
  type TriggerProgress,
  wakeAt,
} from "./state.ts";
import { trustedFor } from "./trust.ts";

const [a, b] = ["a", "b"].map((name, rank) => ({
  name,
  rank,
  address: { kind: "tcp" as const, host: name, port: 1 },
})) as [State["upstreams"][number], State["upstreams"][number]];
const START = initialState([a, b], 5);

function stateOf(phase: Phase, admission: Admission = { is: "open" }): State {
  return { ...START, phase, admission, lastChosen: "a" };
}

function serving(triggers: TriggerProgress, failbackAt?: number): Phase {
  const failbackPlan = failbackAt === undefined
    ? undefined
    : { to: "a", at: failbackAt, dampingMs: 0 };
  return { name: "serving", active: b, epoch: 3, triggers, failbackPlan };
}

function promoting(isMove: boolean, triggers: TriggerProgress, doomedAt?: number): Phase {
  const promotion = {
    move: "failback",
    id: "i",
    epoch: 4,
    from: "b",
    to: "a",
    reason: "",
  } as const;
  const back = isMove ? { upstream: b, epoch: 3, triggers: { is: "ran" as const } } : undefined;
  const rest = { back, round: 0, passedOver: new Set<string>() };
  const more = { cutsFirst: false, order: undefined, ...rest };
  return { name: "promoting", candidate: a, promotion, triggers, doomedAt, ...more };
}

Deno.test("at first clients are refused, no upstream is active, and time alone changes nothing", () => {
  assertEquals(START.admission, { is: "closed", outSince: 5 });
  assertEquals([letsClientsThrough(START), activeOf(START)], [false, undefined]);
  assertEquals([wakeAt(START), trustedFor(START, "a")], [undefined, undefined]);
});

Deno.test("the machine wakes at the earliest time that can change something", () => {
  const held = (until: number) => ({ is: "holding", outSince: 0, until }) as const;
  const waiting = { ...START.phase, until: 70 } as Phase;
  assertEquals(wakeAt(stateOf(waiting, held(60))), 60);
  assertEquals(wakeAt(stateOf(waiting, held(Infinity))), 70);
  assertEquals(wakeAt(stateOf(serving({ is: "ran" }, 80))), 80);
  const retrying = { is: "retrying", at: 50, attempt: 1, reason: "" } as const;
  assertEquals(wakeAt(stateOf(promoting(false, retrying, 90), held(60))), 50);
  assertEquals(wakeAt(stateOf(promoting(false, { is: "running", attempt: 1 }, 90))), 90);
});

Deno.test("a fail-open target gets clients without being active", () => {
  const state = stateOf(START.phase, { is: "failOpen", outSince: 0, target: "b" });
  assertEquals([letsClientsThrough(state), activeOf(state)], [true, undefined]);
});

Deno.test("during a failback the old upstream is active only while it still gets clients", () => {
  const phase = promoting(true, { is: "running", attempt: 1 });
  const active = activeOf(stateOf(phase));
  assertEquals([active?.upstream, active?.epoch], [b, 3]);
  const holding = { is: "holding", outSince: 0, until: 9 } as const;
  assertEquals(activeOf(stateOf(phase, holding)), undefined);
  assertEquals(activeOf(stateOf(promoting(false, { is: "running", attempt: 1 }))), undefined);
});

Deno.test("a check program trusts the last promotion that succeeded, and the active upstream itself", () => {
  const trusted = (phase: Phase) => ["a", "b"].map((name) => trustedFor(stateOf(phase), name));
  assertEquals(trusted(START.phase), ["a", "a"]);
  assertEquals(trusted(serving({ is: "ran" })), ["a", "b"]);
  // Until it is known whether the promotion succeeded, all others trust it too.
  assertEquals(trusted(serving({ is: "running", attempt: 1 })), ["b", "b"]);
  assertEquals(trusted(serving({ is: "failed", reason: "", proof: "none" })), ["b", "b"]);
  assertEquals(trusted(serving({ is: "failed", reason: "", proof: "failed" })), ["a", "b"]);
  assertEquals(trusted(promoting(true, { is: "running", attempt: 1 })), ["a", "b"]);
  assertEquals(trusted(promoting(false, { is: "running", attempt: 1 })), ["a", "a"]);
});
