/**
 * The invariants of the failover machine, which hold after each step: its decisions and orders here, what one input
 * may change in `step_invariants.ts`, what clients get in `client_invariants.ts`.
 */
import { assert, assertEquals } from "@std/assert";
import type { Event } from "../../src/events/events.ts";
import { failbackAt } from "../../src/failover/failback.ts";
import { isDown, isSound } from "../../src/failover/health.ts";
import { rememberedName } from "../../src/failover/memory.ts";
import type { ProbeResult } from "../../src/failover/ports.ts";
import { activeOf, DOOMED_TRIGGERS_MS } from "../../src/failover/state.ts";
import { ClientInvariants, JUMP_MAX_MS } from "./client_invariants.ts";
import type { Settings } from "./settings.ts";
import type { Simulation } from "./simulation.ts";
import {
  changesNothingWithoutVerdict,
  ignoresLateResults,
  keepsUpstreamsOnReload,
  returnsWhenMoveFails,
  trustsForReason,
} from "./step_invariants.ts";

type Started = Extract<Event, { type: "promotion.started" }>;

/** Checks the invariants of one simulation after each of its steps. */
export class Invariants {
  #epoch = 0;
  #seenEvents = 0;
  #seenOpened = 0;
  #seenBegun = 0;
  #lastBegun = { epoch: 0, life: 1 };
  #life = 1;
  readonly #failbacks: number[] = [];
  /** The answers that orders got: `switchover failed`. */
  readonly answers = new Set<string>();

  readonly #clients: ClientInvariants;

  constructor(readonly settings: Settings) {
    this.#clients = new ClientInvariants(settings);
  }

  check = (simulation: Simulation): void => {
    keepsUpstreamsOnReload(simulation);
    this.#restarts(simulation);
    this.#epochs(simulation);
    this.#clients.checkAdmission(simulation);
    this.#promotions(simulation);
    changesNothingWithoutVerdict(simulation);
    ignoresLateResults(simulation);
    returnsWhenMoveFails(simulation);
    trustsForReason(simulation);
    this.#clients.checkDrains(simulation);
    this.#orders(simulation);
    this.#clients.checkBound(simulation);
  };

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
      this.#clients.restart();
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
}
