/** A machine that shares its decision with other proxies, for tests of what follows from these. */
import { type ClusterView, CUT_OFF, type Decision } from "../cluster.ts";
import { step } from "../machine.ts";
import type { ProbeResult } from "../ports.ts";
import { activeOf, initialState, type Policy, type State } from "../state.ts";
import type { Effect, Input } from "../steps.ts";
import { POLICY } from "./policy.ts";
import { PASSED, REFUSED } from "./results.ts";
import { a, b } from "./states.ts";

/** The name of the machine's own proxy in the cluster, which is not the prefix of its promotions. */
export const SELF = "self";

/** A machine with its last effects. */
export class Machine {
  state: State = initialState([a, b], 0);
  effects: readonly Effect[] = [];

  constructor(readonly policy: Policy = { ...POLICY, fall: 1, rise: 1 }) {}

  take(input: Input, now = 0): this {
    const next = step(this.state, input, now, this.policy);
    this.state = next.state;
    this.effects = next.effects;
    return this;
  }

  view(view: Partial<ClusterView>): this {
    return this.take({ type: "coordinated", view: { ...CUT_OFF, instance: SELF, ...view } });
  }

  probe(upstream: "a" | "b", passed: boolean): this {
    return this.result(upstream, passed ? PASSED : REFUSED);
  }

  result(upstream: "a" | "b", result: ProbeResult): this {
    return this.take({ type: "probed", upstream, result, stage: this.state.stage });
  }

  /** The effects that are neither events nor questions to the checker. */
  get done(): string[] {
    return this.effects.flatMap((effect) => {
      if (effect.do === "open") return [`open ${effect.upstream.name} ${effect.epoch}`];
      if (effect.do === "conclude") {
        return [`conclude ${effect.decision.to} ${effect.decision.epoch}`];
      }
      if (effect.do === "runTriggers") return [`${effect.promotion.move} ${effect.promotion.to}`];
      return effect.do === "probe" || effect.do === "pace" || effect.do === "publish"
        ? []
        : [effect.do];
    });
  }

  /** The orders to end sessions. */
  get drains(): string[] {
    return this.effects.flatMap((effect) => {
      if (effect.do !== "drain") return [];
      const { upstream, throughEpoch, graceMs } = effect.order;
      return [`${upstream} through ${throughEpoch} after ${graceMs} ms`];
    });
  }

  /** How often it said that it alone sees the active upstream down. */
  get contests(): number {
    return this.effects.filter((each) =>
      each.do === "publish" && each.event.type === "failover.contested"
    ).length;
  }

  get active(): string | undefined {
    return activeOf(this.state)?.upstream.name;
  }
}

export const decision = (change: Partial<Decision> = {}): Decision => ({
  epoch: 7,
  to: "a",
  from: undefined,
  phase: "done",
  move: "failover",
  reason: "b is down",
  by: "p1",
  ...change,
});
export const ANN = { by: "ann", reason: "" };
export const FOLLOWS = { role: "follows", leader: "p1" } as const;
export const seesDown = (...down: string[]) => ({ up: [], down, traffic: "none" as const });

/** A proxy that follows, and serves `a` under epoch 7. */
export function follower(policy?: Policy): Machine {
  const machine = new Machine(policy).view({ ...FOLLOWS, decision: decision() });
  return machine.take({ type: "begun" }).probe("a", true).probe("b", true);
}

/** The only proxy, which leads and serves `a`. */
export function leader(policy?: Policy): Machine {
  const machine = new Machine(policy).view({ role: "leads" }).take({ type: "begun" });
  machine.probe("a", true).probe("b", true);
  const { epoch } = machine.state;
  return machine.take({ type: "triggersEnded", epoch, outcome: { how: "ran" } });
}
