/** The invariants of the failover machine, which hold after each step. */
import { assert, assertEquals } from "@std/assert";
import type { Event } from "../../src/events/events.ts";
import { failbackAt } from "../../src/failover/failback.ts";
import { isDown, isSound, isUp } from "../../src/failover/health.ts";
import { rememberedName } from "../../src/failover/memory.ts";
import type { DrainOrder, ProbeResult } from "../../src/failover/ports.ts";
import {
  activeOf,
  DOOMED_TRIGGERS_MS,
  letsClientsThrough,
  type Phase,
} from "../../src/failover/state.ts";
import type { Settings, Simulation } from "./simulation.ts";

/** How many milliseconds a jump of the clock may add to a wait. */
const JUMP_MAX_MS = 60_000;

type Started = Extract<Event, { type: "promotion.started" }>;

/** Checks the invariants of one simulation after each of its steps. */
export class Invariants {
  #epoch = 0;
  #holdingSince: number | undefined;
  #heldAfter = 0;
  #badSince: number | undefined;
  #seenEvents = 0;
  #seenOpened = 0;
  #seenBegun = 0;
  #lastBegun = { epoch: 0, life: 1 };
  #life = 1;
  readonly #failbacks: number[] = [];
  readonly #drainOrders = new Map<string, DrainOrder>();
  /** The answers that orders got: `switchover failed`. */
  readonly answers = new Set<string>();

  constructor(readonly settings: Settings) {}

  check = (simulation: Simulation): void => {
    this.#reloads(simulation);
    this.#restarts(simulation);
    this.#epochs(simulation);
    this.#admission(simulation);
    this.#promotions(simulation);
    this.#noVerdict(simulation);
    this.#lateAnswers(simulation);
    this.#movesThatFail(simulation);
    this.#trust(simulation);
    this.#drains(simulation);
    this.#orders(simulation);
    this.#bound(simulation);
  };

  /** An upstream that stays is never forgotten, and nothing is known of one that is gone. */
  #reloads({ before, state, input, policy, policyBefore }: Simulation): void {
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

  /** No run of triggers has an epoch of an earlier run of the process, and no upstream that served is forgotten. */
  #restarts(simulation: Simulation): void {
    for (; this.#seenBegun < simulation.begun.length; this.#seenBegun++) {
      const { epoch, life } = simulation.begun[this.#seenBegun]!;
      const isNew = epoch > this.#lastBegun.epoch || life === this.#lastBegun.life;
      assert(isNew, `triggers ran again with epoch ${epoch} after a restart`);
      this.#lastBegun = { epoch, life };
    }
    const { before, state } = simulation;
    if (simulation.life !== this.#life) {
      this.#life = simulation.life;
      this.#badSince = this.#holdingSince = undefined;
      this.#epoch = 0;
      const { served } = simulation;
      const name = rememberedName(simulation.restarted.remembered) ?? "nobody";
      const isRight = served.length === 0 || served.includes(name);
      assert(isRight, `${name} is remembered instead of ${served}`);
      // The last step before the end may not have been saved.
      const lost = this.#failbacks.filter((at) =>
        state.now - at < 9 * 60_000 && !state.failbacks.includes(at)
      );
      assert(lost.length <= 1, `${lost.length} failbacks were forgotten at a restart`);
      for (const at of lost) this.#failbacks.splice(this.#failbacks.indexOf(at), 1);
    }
    const kept = rememberedName(before.remembered);
    const { phase } = state;
    if (kept === undefined || before.remembered?.isGivenUp === true) return;
    if (phase.name !== "promoting" || before.phase.name === "promoting") return;
    const { candidate, promotion: { move } } = phase;
    const isPassedOver = "passedOver" in before.phase && before.phase.passedOver.has(kept);
    // A failback follows a service that continued, in the same step.
    if (move !== "failover" || isPassedOver || state.drained.has(kept)) return;
    if (candidate.name === kept || !state.health.has(kept)) return;
    const isLost = isDown(state.health.get(kept)!, simulation.policy);
    assert(isLost, `${candidate.name} was promoted though ${kept} served before and is not down`);
  }

  #epochs(simulation: Simulation): void {
    assert(simulation.state.epoch >= this.#epoch, "an epoch decreased");
    this.#epoch = simulation.state.epoch;
    for (; this.#seenOpened < simulation.opened.length; this.#seenOpened++) {
      const epoch = simulation.opened[this.#seenOpened]!;
      const before = simulation.opened[this.#seenOpened - 1] ?? 0;
      // The end of the operator's hold opens to the same decision again.
      const isSame = simulation.before.held !== undefined && epoch === before;
      assert(epoch > before || isSame, `epoch ${epoch} was opened after ${before}`);
      if (this.settings.policy.triggers === "before" && !simulation.returned.has(epoch)) {
        const how = simulation.outcomes.get(epoch);
        const mayFail = this.settings.policy.onTriggerFailure === "continue";
        const isLetIn = how === "ran" || (mayFail && how === "failed");
        assert(isLetIn, `epoch ${epoch} was opened though its triggers ${how ?? "did not run"}`);
      }
    }
  }

  #admission(simulation: Simulation): void {
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
    const openedSince = simulation.opened.length !== this.#heldAfter;
    this.#heldAfter = simulation.opened.length;
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

  /** A paused service never moves by itself, and a drained upstream is never chosen. */
  #orders(simulation: Simulation): void {
    const { before, state, input, orders, now } = simulation;
    if (before.paused !== undefined && input.type !== "ordered") {
      const [was, is] = [activeOf(before), activeOf(state)];
      const wasMoving = before.phase.name === "promoting";
      const continued = is !== undefined && is.upstream.name === rememberedName(before.remembered);
      if (!wasMoving && !continued) {
        assertEquals(is?.upstream.name, was?.upstream.name, "a paused service moved");
      }
      const hasBegunToMove = state.phase.name === "promoting" && !wasMoving;
      assert(!hasBegunToMove, "a paused service began to move");
    }
    const target = state.admission.is === "failOpen" ? state.admission.target : undefined;
    if (state.phase.name === "promoting" && before.phase !== state.phase) {
      assert(!state.drained.has(state.phase.candidate.name), "a drained upstream was chosen");
    }
    if (state.admission !== before.admission && target !== undefined) {
      assert(!state.drained.has(target), "clients were let through to a drained upstream");
    }
    for (const [id, { order, outcomes, at }] of orders) {
      const last = outcomes.at(-1);
      if (last !== undefined && last !== "accepted") {
        orders.delete(id);
        this.answers.add(`${order.name} ${last}`);
        if (outcomes.length > 1) this.answers.add(`${order.name} accepted`);
        assert(outcomes.length <= 2, `order ${id} was answered by ${outcomes}`);
        continue;
      }
      assertEquals(last, "accepted", `order ${id} was not answered`);
      // Its wait, its triggers, and as much again if it became a failover. Triggers may be repeated for ever.
      const { triggerMaxMs, policy, jumps, triggerTrouble } = this.settings;
      const maxMs = policy.holdMs + 10_000 + 2 * triggerMaxMs + DOOMED_TRIGGERS_MS +
        (jumps ? 2 * JUMP_MAX_MS : 0);
      if (triggerTrouble === 0) assert(now - at <= maxMs, `order ${id} takes ${now - at} ms`);
    }
  }

  #promotions(simulation: Simulation): void {
    let active = activeOf(simulation.before)?.upstream.name;
    for (; this.#seenEvents < simulation.events.length; this.#seenEvents++) {
      const { at, event } = simulation.events[this.#seenEvents]!;
      // A better rank may be due in the same step, if the list changed during the promotion.
      if (event.type === "promotion.finished") active = event.to;
      if (event.type !== "promotion.started") continue;
      assert(active !== event.to, "the active one was promoted");
      assert(!simulation.state.drained.has(event.to), "a drained upstream was promoted");
      if (event.move === "failback") {
        this.#failback(simulation, at, event);
        assert(simulation.state.paused === undefined, "a failback while paused");
        assert(
          simulation.state.pinned !== event.from,
          "a failback from the upstream to which the operator moved the service",
        );
      }
      if (event.move === "failover" || event.move === "start") this.#reason(simulation, event);
    }
  }

  /** No upstream is promoted before a better rank has answered, unless that one was down. */
  #reason(simulation: Simulation, { to }: Started): void {
    const { before, input, state } = simulation;
    const { phase, remembered } = before;
    const kept = rememberedName(remembered);
    if (kept === to) {
      const isDue = remembered?.unfinished !== undefined || remembered?.isGivenUp === true;
      return assert(isDue, `${to} was promoted twice`);
    }
    const isDownBefore = (name: string) =>
      isDown(before.health.get(name)!, simulation.policyBefore);
    const answers = new Map<string, ProbeResult>(phase.name === "selecting" ? phase.answers : []);
    if (
      input.type === "probed" &&
      !(answers.has(input.upstream) && input.result.evidence === "no_verdict")
    ) {
      answers.set(input.upstream, input.result);
    }
    const suspects = phase.name === "selecting"
      ? phase.suspects
      : new Set(before.upstreams.map((u) => u.name).filter(isDownBefore));
    const passedOver = "passedOver" in phase ? phase.passedOver : new Set<string>();
    for (const { name } of state.upstreams) {
      if (name === to) break;
      if (suspects.has(name) || passedOver.has(name) || before.drained.has(name)) continue;
      const answer = answers.get(name);
      assert(answer !== undefined, `${to} was promoted before ${name} had answered`);
      assert(!answer.passed, `${to} was promoted though ${name} passed`);
      assert(
        answer.evidence !== "no_verdict",
        `${to} was promoted although there was no answer from ${name}`,
      );
    }
  }

  #failback(simulation: Simulation, at: number, event: Started): void {
    const { policy } = simulation;
    const health = simulation.state.health.get(event.to)!;
    assert(isSound(health, policy), "a failback to an upstream that failed");
    assert(health.noVerdict === undefined, "a failback to an upstream that cannot be checked");
    {
      assert(policy.failback.kind !== "never" && policy.failback.kind !== "manual");
      const upSince = simulation.state.health.get(event.to)!.since;
      const earliest = failbackAt(policy.failback, upSince, 0)!;
      assert(at >= earliest, "a failback came before its policy allows");
      const recent = this.#failbacks.filter((then) => at - then < 9 * 60_000).length;
      if (policy.damping && recent >= 2) {
        const waitMs = Math.min(10_000 * 2 ** (recent - 2), 600_000);
        assert(at >= earliest + waitMs, `failback ${recent + 1} was not damped by ${waitMs} ms`);
      }
      this.#failbacks.push(at);
    }
  }

  /** A probe without a verdict changes no verdict and refuses no client. */
  #noVerdict({ before, state, input }: Simulation): void {
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
  #lateAnswers({ before, state, input }: Simulation): void {
    if (input.type !== "probed" || input.stage === before.stage) return;
    assertEquals(state.health, before.health, "a late result was used");
    assertEquals(state.phase, before.phase);
  }

  /** A failback or switchover that fails returns the traffic in the same step. */
  #movesThatFail({ before, state, admission, policy }: Simulation): void {
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

  /** Sessions are cut for a reason only, and a drain is cancelled when the upstream is up or active again. */
  #drains({ state, input, drains, events, policy }: Simulation): void {
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

  /** `lastChosen` changes only for a reason. */
  #trust({ before, state, input }: Simulation): void {
    if (state.lastChosen === before.lastChosen) return;
    const ran = input.type === "triggersEnded" && input.outcome.how === "ran";
    const passed = input.type === "probed" && input.result.passed &&
      input.upstream === state.lastChosen && activeOf(before)?.upstream.name === input.upstream;
    assert(ran || passed, `${state.lastChosen} is trusted without a reason`);
  }

  /** A healthy upstream serves within a bounded time. */
  #bound(simulation: Simulation): void {
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
