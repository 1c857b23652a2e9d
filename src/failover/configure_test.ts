import { assertEquals } from "@std/assert";
import { whyNotReconfigured } from "./configure.ts";
import { step } from "./machine.ts";
import { activeOf, type Phase, type State } from "./state.ts";
import { POLICY } from "./testing/policy.ts";
import { a, b, promoting, serving, stateOf } from "./testing/states.ts";

const PAUSED = { by: "ann", reason: "", since: 0 };
const c = { name: "c", rank: 1, address: { kind: "tcp" as const, host: "c", port: 1 } };

function paused(phase: Phase): State {
  return { ...stateOf(phase), paused: PAUSED };
}

Deno.test("while a service is paused, an upstream that is in use cannot be removed", () => {
  const inUse = serving({ is: "ran" });
  assertEquals(whyNotReconfigured(stateOf(inUse), [a]), undefined);
  const reason = "the service is paused, so nobody would take the place of b";
  assertEquals(whyNotReconfigured(paused(inUse), [a]), reason);
  assertEquals(whyNotReconfigured(paused(inUse), [b, a]), undefined);
  assertEquals(whyNotReconfigured(paused(promoting(true, { is: "ran" })), [a]), reason);
});

Deno.test("an upstream that stays keeps what is known of it, and a new one is unknown", () => {
  const last = { passed: true, tookMs: 1, reason: "connected", evidence: "passed" } as const;
  const before = stateOf(serving({ is: "ran" }));
  const known: State = {
    ...before,
    epoch: 3,
    health: new Map(before.health).set("b", { ...before.health.get("b")!, level: 4, last }),
    drained: new Map([["a", PAUSED]]),
    pinned: "b",
  };
  const upstreams = [{ ...b, rank: 0 }, c] as const;
  const { state, effects } = step(
    known,
    { type: "configured", upstreams, policy: POLICY },
    9,
    POLICY,
  );
  assertEquals(state.upstreams, upstreams);
  assertEquals(state.health.get("b")!.last, last);
  assertEquals([state.health.get("c")!.level, state.health.has("a")], [undefined, false]);
  assertEquals(activeOf(state), { upstream: upstreams[0], epoch: 3 });
  assertEquals([state.epoch, state.pinned, state.drained.size], [3, "b", 0]);
  assertEquals(effects, []);
});

Deno.test("the result of a check that was under way when its upstream was removed changes nothing", () => {
  const state = stateOf(serving({ is: "ran" }));
  const result = { passed: false, tookMs: 1, reason: "refused", evidence: "refused" } as const;
  const input = { type: "probed", upstream: "gone", result, stage: state.stage } as const;
  assertEquals(step(state, input, 9, POLICY), { state: { ...state, now: 9 }, effects: [] });
});
