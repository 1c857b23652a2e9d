import { assertEquals } from "@std/assert";
import { activeOf, letsClientsThrough, type Phase, wakeAt } from "./state.ts";
import { b, promoting, serving, START, stateOf } from "./testing/states.ts";

Deno.test("at first clients are refused, no upstream is active, and time alone changes nothing", () => {
  assertEquals(START.admission, { is: "closed", outSince: 5 });
  assertEquals([letsClientsThrough(START), activeOf(START)], [false, undefined]);
  assertEquals(wakeAt(START), undefined);
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
