/** What goes into the machine and what comes out: its inputs, its effects, and the result of one step. */
import type { Event } from "../events/events.ts";
import type { ConfiguredInput } from "./configure.ts";
import type { ClusterView, Decision } from "./cluster.ts";
import type { OperatorOrder, OrderOutcome, OrderSource } from "./orders.ts";
import type { Doubt, DrainOrder, ProbeResult, Promotion, TriggerOutcome } from "./ports.ts";
import type { State } from "./state.ts";
import type { Upstream } from "./upstream.ts";

/** What the machine learns. The time at which it learns it is a separate argument of `step`. */
export type Input =
  | { readonly type: "begun" }
  | {
    readonly type: "probed";
    readonly upstream: string;
    readonly result: ProbeResult;
    /** `State.stage` when the probe was sent. */
    readonly stage: number;
  }
  | { readonly type: "doubted"; readonly doubt: Doubt }
  | {
    readonly type: "triggersEnded";
    readonly epoch: number;
    readonly outcome: TriggerOutcome;
  }
  /** An operator's order; `id` is unique. */
  | ({ readonly type: "ordered"; readonly id: number; readonly order: OperatorOrder } & OrderSource)
  /** The sessions of the upstream that traffic leaves are quiet; `epoch` is that of the promotion. */
  | { readonly type: "quieted"; readonly epoch: number }
  | ConfiguredInput
  /** What is known of the other proxies and their decision; only where several proxies share one. */
  | { readonly type: "coordinated"; readonly view: ClusterView }
  | { readonly type: "ticked" };

/** What the controller must do. Effects are in order, and events are interleaved with actions. */
export type Effect =
  | { readonly do: "publish"; readonly event: Event }
  | { readonly do: "probe"; readonly upstream: string }
  | { readonly do: "pace"; readonly upstream: string; readonly pace: "steady" | "doubt" }
  | { readonly do: "hold" }
  | { readonly do: "refuse" }
  | { readonly do: "open"; readonly upstream: Upstream; readonly epoch: number }
  | { readonly do: "confirm"; readonly upstream: string }
  | { readonly do: "drain"; readonly order: DrainOrder }
  | { readonly do: "spare"; readonly upstream: string }
  | { readonly do: "runTriggers"; readonly promotion: Promotion }
  | { readonly do: "cancelTriggers"; readonly epoch: number }
  /** Stores the decision as done. If it cannot be stored, `open` of the same epoch is not performed. */
  | { readonly do: "conclude"; readonly decision: Omit<Decision, "phase" | "by"> }
  /** The orders so far are in force: no client of this proxy goes to an upstream of an earlier epoch. */
  | { readonly do: "acknowledge"; readonly epoch: number }
  /**
   * Posts `quieted` as soon as no session of `upstream`, of an epoch before `epoch`, moves bytes. Ends when
   * the machine no longer waits for that.
   */
  | { readonly do: "awaitQuiet"; readonly upstream: string; readonly epoch: number }
  /** Answers the caller of an order. */
  | { readonly do: "settle"; readonly id: number; readonly outcome: OrderOutcome };

/** The result of one input. */
export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}
