/**
 * One step of the machine under way: the state as it stands, and what has been asked for and told so far.
 * It guards the table of moves and decides nothing.
 */
import type { Event } from "../events/events.ts";
import { type Health, isInDoubt, isUp, unknownHealth } from "./health.ts";
import { type Effect, MOVES, type Phase, type Policy, type State } from "./state.ts";
import type { Upstream } from "./upstream.ts";

/** One step under way: the state as it stands, and what has been asked for so far. */
export class StepContext {
  readonly effects: Effect[] = [];
  state: State;

  constructor(state: State, readonly now: number, readonly policy: Policy) {
    this.state = { ...state, now };
  }

  get phase(): Phase {
    return this.state.phase;
  }

  set(change: Partial<State>): void {
    this.state = { ...this.state, ...change };
  }

  /** Changes the phase. A move that is not in the table is a bug. */
  enter(phase: Phase): void {
    const from = this.phase.name;
    if (from !== phase.name && !MOVES.some((m) => m.from === from && m.to === phase.name)) {
      throw new Error(`Cannot move from ${from} to ${phase.name}: no such move`);
    }
    this.set({ phase });
  }

  health(name: string): Health {
    return this.state.health.get(name) ?? unknownHealth(this.now);
  }

  /** Also asks for quicker checks while the verdict is in doubt. */
  setHealth(upstream: string, health: Health): void {
    const inDoubt = isInDoubt(health, this.policy);
    if (inDoubt !== isInDoubt(this.health(upstream), this.policy)) {
      this.requestAction({ do: "pace", upstream, pace: inDoubt ? "doubt" : "steady" });
    }
    this.set({ health: new Map(this.state.health).set(upstream, health) });
  }

  isUp({ name }: Upstream): boolean {
    return isUp(this.health(name), this.policy);
  }

  requestAction(effect: Effect): void {
    this.effects.push(effect);
  }

  emit(event: Event): void {
    this.effects.push({ do: "publish", event });
  }
}
