/**
 * The context of one step of the machine. It collects the changes of the state and the effects, checks
 * each change of phase against the table of transitions, and decides nothing.
 */
import type { Event } from "../events/events.ts";
import { type Health, isInDoubt, isUp, unknownHealth } from "./health.ts";
import type { OrderOutcome } from "./orders.ts";
import { MOVES, type Phase, type Policy, type State } from "./state.ts";
import type { Effect } from "./steps.ts";
import type { Upstream } from "./upstream.ts";

/** The state and the effects of one step, as far as it has come. Lives for the length of the step. */
export class StepContext {
  readonly effects: Effect[] = [];
  state: State;

  constructor(state: State, readonly now: number, readonly policy: Policy) {
    this.state = { ...state, now };
  }

  get phase(): Phase {
    return this.state.phase;
  }

  /** Replaces parts of the state. */
  set(change: Partial<State>): void {
    this.state = { ...this.state, ...change };
  }

  /** Changes the phase. Throws on a transition that is not in `MOVES`, which is a bug. */
  enter(phase: Phase): void {
    const from = this.phase.name;
    if (from !== phase.name && !MOVES.some((m) => m.from === from && m.to === phase.name)) {
      throw new Error(`Cannot move from ${from} to ${phase.name}: no such move`);
    }
    this.set({ phase });
  }

  /** The health of the upstream `name`. */
  health(name: string): Health {
    return this.state.health.get(name) ?? unknownHealth(this.now);
  }

  /** Sets the health of an upstream, and requests more frequent checks while its verdict is in doubt. */
  setHealth(upstream: string, health: Health): void {
    const inDoubt = isInDoubt(health, this.policy);
    if (inDoubt !== isInDoubt(this.health(upstream), this.policy)) {
      this.requestAction({ do: "pace", upstream, pace: inDoubt ? "doubt" : "steady" });
    }
    this.set({ health: new Map(this.state.health).set(upstream, health) });
  }

  /** True if the verdict on an upstream is up, by the policy of this step. */
  isUp({ name }: Upstream): boolean {
    return isUp(this.health(name), this.policy);
  }

  /** The reason of the last verdict on an upstream, for a person. */
  lastReason(name: string): string {
    return this.health(name).last?.reason ?? "no answer";
  }

  /** Adds an effect that acts on the world, after those requested so far. */
  requestAction(effect: Effect): void {
    this.effects.push(effect);
  }

  /** Orders the data plane what to do with new clients, unless the operator's hold has precedence. */
  admit(effect: Extract<Effect, { do: "open" | "hold" | "refuse" }>): void {
    if (this.state.held === undefined) this.requestAction(effect);
  }

  /** Answers the order `id`; a final outcome is its last answer. */
  settle(id: number, outcome: OrderOutcome): void {
    this.requestAction({ do: "settle", id, outcome });
  }

  /** Publishes an event, after the effects requested so far. */
  emit(event: Event): void {
    this.effects.push({ do: "publish", event });
  }
}
