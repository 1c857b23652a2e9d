/**
 * Invariants of what clients get: whether they are let through, held or refused, how long they wait at most, and
 * which sessions are cut.
 */
import { assert, assertEquals } from "@std/assert";
import { isUp } from "../../src/failover/health.ts";
import type { DrainOrder } from "../../src/failover/ports.ts";
import { activeOf, DOOMED_TRIGGERS_MS, letsClientsThrough } from "../../src/failover/state.ts";
import type { Settings } from "./settings.ts";
import type { Simulation } from "./simulation.ts";

/** How many milliseconds a jump of the clock may add to a wait. */
export const JUMP_MAX_MS = 60_000;

/** Checks them after each step of one simulation. */
export class ClientInvariants {
  #holdingSince: number | undefined;
  /** How often clients had been let through after the step before. */
  #openedBefore = 0;
  /** Since when no client has got an upstream that is well, although that would be possible. */
  #badSince: number | undefined;
  readonly #drainOrders = new Map<string, DrainOrder>();

  constructor(readonly settings: Settings) {}

  /** The process has begun again, and so do all waits. */
  restart(): void {
    this.#badSince = this.#holdingSince = undefined;
  }

  /** Clients are let through to the active upstream, or a fail-open target, and held for a bounded time. */
  checkAdmission(simulation: Simulation): void {
    const { state, admission } = simulation;
    const target = state.admission.is === "failOpen" ? state.admission.target : undefined;
    const active = activeOf(state)?.upstream.name;
    assert(active === undefined || target === undefined, "a fail-open target while serving");
    assert(
      target === undefined || this.settings.policy.failOpen,
      "failed open although the policy forbids it",
    );
    const open = active ?? target;
    const isOpen = typeof admission === "object";
    if (state.held !== undefined) return this.#held(simulation);
    assert((open !== undefined) === isOpen, "clients are let through without a reason, or refused");
    assert(isOpen === letsClientsThrough(state), "the data plane and the machine disagree");
    const epoch = activeOf(state)?.epoch ?? state.epoch;
    if (isOpen) assert(admission.upstream === open && admission.epoch === epoch);
    // If clients were let through and held again within one step, because a better rank came back, it is
    // a new hold.
    const openedSince = simulation.opened.length !== this.#openedBefore;
    this.#openedBefore = simulation.opened.length;
    if (admission !== "holding" || openedSince) this.#holdingSince = undefined;
    if (admission === "holding") {
      this.#holdingSince ??= state.now;
      const heldMs = state.now - this.#holdingSince;
      const { policy, jumps } = this.settings;
      // With `down` each client has a separate hold, which the machine does not know.
      const isOver = heldMs > policy.holdMs + (jumps ? JUMP_MAX_MS : 1);
      assert(policy.holdWhile === "down" || !isOver, `held for ${heldMs} ms`);
    }
  }

  /** The operator's hold: no client is let through, and it ends at its maximum. */
  #held({ state, admission, now }: Simulation): void {
    this.#holdingSince = undefined;
    assertEquals(admission, "holding", "a client was let through during a hold");
    const { jumps, policy } = this.settings;
    const heldMs = state.now - Math.max(state.held!.until, 0);
    assert(heldMs <= (jumps ? JUMP_MAX_MS : 1), `a hold was over ${heldMs} ms ago at ${now}`);
    assert(state.held!.until - state.held!.since <= 15 * 60_000 && policy.holdMs > 0);
  }

  /** Sessions are cut for a reason only, and a drain is cancelled when the upstream is up or active again. */
  checkDrains({ state, input, drains, events, policy }: Simulation): void {
    for (const [upstream, order] of drains) {
      const health = state.health.get(upstream);
      const isUpNow = health !== undefined && isUp(health, policy);
      const isSoft = order.sparedIfMovedMs !== undefined;
      assert(!(isSoft && isUpNow), `${upstream} is up, and its sessions still end for its silence`);
      const isActive = state.phase.name === "serving" && state.phase.active.name === upstream;
      const isLeft = order.revocable && order.graceMs > 0;
      assert(!(isLeft && isActive), `${upstream} is active, and its old sessions still end`);
      if (this.#drainOrders.get(upstream) === order) continue;
      this.#drainOrders.set(upstream, order);
      if (order.revocable && !isSoft) {
        assert(policy.sessionsOnMove !== "keep", "a move cut sessions that were to be kept");
        continue;
      }
      assert(
        policy.sessionsOnDown === "cut",
        "an upstream that went down cost sessions that were to be kept",
      );
      // What was postponed while paused is done on `resume`.
      const isResumed = input.type === "ordered" && input.order.name === "resume";
      const evidence = input.type === "probed"
        ? input.result.evidence
        : isResumed
        ? health?.last?.evidence
        : "nothing";
      const isDue = isSoft
        ? evidence === "silent"
        : evidence === "refused" || evidence === "denied";
      assert(isDue, `sessions of ${upstream} end because of ${evidence} at ${events.length}`);
    }
  }

  /** A healthy upstream serves within a bounded time. */
  checkBound(simulation: Simulation): void {
    const { checkIntervalMs, checkTimeoutMs, slowCheckMs, triggerMaxMs, jumps } = this.settings;
    const { policy, state } = simulation;
    // A trigger that fails may be repeated without end.
    if (this.settings.triggerTrouble > 0) return;
    // While probes give no verdict no failure can be noticed; the time counts from the end of the shortage.
    if (simulation.shortage.isShort) this.#badSince = undefined;
    // An order of the operator may keep clients waiting; the time counts from its end.
    const { paused, held, drained } = simulation.state;
    if (paused !== undefined || held !== undefined || drained.size > 0) this.#badSince = undefined;
    const served = typeof simulation.admission === "object" &&
      simulation.conditions.get(simulation.admission.upstream)!.condition === "well";
    if (served) this.#badSince = undefined;
    else this.#badSince ??= simulation.now;
    if (this.#badSince === undefined) return;
    // One upstream has been well all that time. The bound is the sum of: noticing the failure, one round,
    // the triggers of a candidate that failed meanwhile, another round, and the triggers that count. A
    // probe takes up to twice its time if one is under way. Each change of a condition starts the time
    // again. The failure of a candidate and a recovery are each noticed within the same time.
    const answerMs = Math.max(checkTimeoutMs, slowCheckMs);
    const noticeMs = (checkIntervalMs + answerMs) * 1.1 * (policy.fall + 1);
    const roundMs = 3 * answerMs + checkIntervalMs;
    const triggersMs = Math.min(triggerMaxMs, DOOMED_TRIGGERS_MS) + triggerMaxMs;
    const boundMs = 2 * (noticeMs + roundMs) + triggersMs + (jumps ? 2 * JUMP_MAX_MS : 0);
    const conditions = state.upstreams.map(({ name }) => simulation.conditions.get(name)!);
    const lastChange = Math.max(
      simulation.shortage.since,
      simulation.reloadedAt,
      ...conditions.map((c) => c.since),
    );
    const isAnyWell = conditions.some((c) => c.condition === "well");
    const waitedMs = simulation.now - Math.max(this.#badSince, lastChange);
    assert(
      simulation.shortage.isShort || !isAnyWell || waitedMs <= boundMs,
      `a healthy upstream waited for ${waitedMs} ms`,
    );
  }
}
