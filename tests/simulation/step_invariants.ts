/**
 * Invariants of a single step of the failover machine: what an input may change. Each function compares the state
 * before and after the last input of the simulation.
 */
import { assert, assertEquals } from "@std/assert";
import { isDown, isUp } from "../../src/failover/health.ts";
import { activeOf, type Phase } from "../../src/failover/state.ts";
import type { Simulation } from "./simulation.ts";

/** An upstream that stays is never forgotten, and nothing is known of one that is gone. */
export function keepsUpstreamsOnReload(
  { before, state, input, policy, policyBefore }: Simulation,
): void {
  if (input.type !== "configured") return;
  assertEquals(state.upstreams, input.upstreams);
  assertEquals([...state.health.keys()], input.upstreams.map(({ name }) => name));
  const { phase } = state;
  const used = phase.name === "serving"
    ? [phase.active]
    : phase.name === "promoting"
    ? [phase.candidate, ...phase.back === undefined ? [] : [phase.back.upstream]]
    : [];
  for (const upstream of used) assert(state.upstreams.includes(upstream), "an old upstream");
  assert(state.pinned === undefined || state.health.has(state.pinned));
  for (const { name } of input.upstreams) {
    assertEquals(state.drained.get(name), before.drained.get(name), `${name} was forgotten`);
    const [was, is] = [before.health.get(name), state.health.get(name)!];
    if (was === undefined) assertEquals(is.last, undefined, `${name} is known at once`);
    else {
      assertEquals(is.last, was.last, `${name} was forgotten`);
      // One that was chosen in this step is up.
      if (state.epoch > before.epoch && used.some((each) => each.name === name)) continue;
      const wasUp = isUp(was, policyBefore);
      assertEquals([isUp(is, policy), isDown(is, policy)], [wasUp, isDown(was, policyBefore)]);
    }
  }
  const active = activeOf(before);
  if (active === undefined || !state.health.has(active.upstream.name)) return;
  const isMoving = phase.name === "promoting" || before.phase.name === "promoting";
  const isLeft = state.epoch > before.epoch || isMoving;
  assert(isLeft || activeOf(state)?.epoch === active.epoch, "an active upstream was left");
}

/** A probe without a verdict changes no verdict and refuses no client. */
export function changesNothingWithoutVerdict({ before, state, input }: Simulation): void {
  if (input.type !== "probed" || input.result.evidence !== "no_verdict") return;
  for (const { name } of state.upstreams) {
    // It may end a round, since one that was down is not waited for, and the candidate is then up.
    if (state.epoch > before.epoch && name !== input.upstream) continue;
    const { noVerdict: _before, ...was } = before.health.get(name)!;
    const { noVerdict: _now, ...is } = state.health.get(name)!;
    assertEquals(is, was, "a probe without a verdict changed one");
  }
  const active = activeOf(before);
  if (active !== undefined) {
    assertEquals(activeOf(state), active, "traffic moved without a verdict");
  }
  const held = before.admission.is === "holding" && state.admission.is === "closed";
  assert(!held, "clients were turned away without a verdict");
  assertEquals(state.lastChosen, before.lastChosen);
}

/** The result of a probe from before a promotion changes nothing after it. */
export function ignoresLateResults({ before, state, input }: Simulation): void {
  if (input.type !== "probed" || input.stage === before.stage) return;
  assertEquals(state.health, before.health, "a late result was used");
  assertEquals(state.phase, before.phase);
}

/** A failback or switchover that fails returns the traffic in the same step. */
export function returnsWhenMoveFails({ before, state, admission, policy }: Simulation): void {
  const backOf = (phase: Phase) => phase.name === "promoting" ? phase.back : undefined;
  const back = backOf(state.phase);
  if (back !== undefined && state.phase.name === "promoting") {
    const { candidate } = state.phase;
    const isLost = isDown(state.health.get(candidate.name)!, policy);
    assert(!isLost, "a move whose candidate is down goes on");
    const isWaiting = state.held !== undefined || state.phase.order !== undefined;
    if (policy.triggers === "beside" && !isWaiting) {
      const isServed = typeof admission === "object" && admission.upstream === back.upstream.name;
      assert(isServed, "clients were not served during a move");
    }
  }
  const former = backOf(before.phase);
  if (former === undefined || state.phase.name === "promoting") return;
  const formerHealth = state.health.get(former.upstream.name);
  const isStillUp = formerHealth !== undefined && !isDown(formerHealth, policy);
  if (isStillUp) {
    assert(state.phase.name === "serving", "a failback that failed interrupted the service");
  }
}

/** `lastChosen` changes only for a reason. */
export function trustsForReason({ before, state, input }: Simulation): void {
  if (state.lastChosen === before.lastChosen) return;
  const ran = input.type === "triggersEnded" && input.outcome.how === "ran";
  const passed = input.type === "probed" && input.result.passed &&
    input.upstream === state.lastChosen && activeOf(before)?.upstream.name === input.upstream;
  assert(ran || passed, `${state.lastChosen} is trusted without a reason`);
}
