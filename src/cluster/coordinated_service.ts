/** What a coordinator needs to know, and the service whose decision it shares. */
import type { OperatorOrder, OrderOutcome, OrderSource } from "../failover/orders.ts";
import type { Policy, State } from "../failover/state.ts";
import type { Input } from "../failover/steps.ts";

/** The settings of one service; see the options of the same names. */
export interface CoordinatorSettings {
  /** Unique for each run of a process; people read it. */
  readonly instance: string;
  readonly version: string;
  /** The length of a lease in seconds. */
  readonly ttlS: number;
  /** What happens while etcd cannot be reached for longer than a lease. */
  readonly without: "serve-last" | "decide-alone";
}

/** The controller of the service, and its data plane. */
export interface CoordinatedService {
  state(): State;
  policy(): Policy;
  post(input: Input): void;
  /** Carries out an order here. */
  order(
    order: OperatorOrder,
    source: OrderSource,
    onOutcome: (outcome: OrderOutcome) => void,
  ): void;
  /** Whether triggers run here, or are about to. */
  runsTriggers(): boolean;
  /** As `DataPlane.busy`. */
  busy(upstream: string, throughEpoch: number): Promise<number>;
}
