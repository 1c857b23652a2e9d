/** The membership of one service in the cluster of `--coordinator`, for its control plane. */
import type { ClusterCoordinator } from "../cluster/coordinator.ts";
import type { ClusterReport, Decision } from "../failover/cluster.ts";
import type { Guard } from "../hooks/guard.ts";
import type { OperatorOrder, OrderOutcome, OrderSource } from "../failover/orders.ts";
import type { Coordinator, Grant, Promotion } from "../failover/ports.ts";

/** What is answered while the service has left the cluster. */
const STOPPING = "the service is stopping";

/** Joins and leaves. Outside the cluster nothing can be decided. */
export class Membership implements Coordinator {
  readonly #make: () => ClusterCoordinator;
  readonly #onFault: (error: unknown) => void;
  #coordinator: ClusterCoordinator | undefined;

  /** `onFault` is called if a part of the coordination fails, which is a bug. */
  constructor(make: () => ClusterCoordinator, onFault: (error: unknown) => void) {
    this.#make = make;
    this.#onFault = onFault;
  }

  /** Joins, unless it has joined already. The coordinator begins the service. */
  join(): void {
    if (this.#coordinator !== undefined) return;
    this.#coordinator = this.#make();
    this.#coordinator.begin();
    this.#coordinator.finished.catch(this.#onFault);
  }

  /** Leaves: another proxy may lead at once. */
  async leave(): Promise<void> {
    const coordinator = this.#coordinator;
    this.#coordinator = undefined;
    await coordinator?.[Symbol.asyncDispose]();
  }

  /** The state of the machine has changed. */
  changed(): void {
    this.#coordinator?.changed();
  }

  /** A connection of a client to the active upstream failed. */
  doubted(upstream: string): void {
    this.#coordinator?.doubted(upstream);
  }

  /** Until when triggers of a decision for all may run; undefined if this proxy decides alone. */
  async guard(): Promise<Guard | undefined> {
    const coordinator = this.#coordinator;
    if (coordinator?.report().role === "alone") return undefined;
    const leads = await coordinator?.confirmLead() ?? false;
    return { leftMs: () => leads ? coordinator!.report().leaseLeftMs : 0 };
  }

  /** How long this proxy may act for the others, in milliseconds; Infinity if it decides alone. */
  leftMs(): number {
    const { role, leaseLeftMs = 0 } = this.#coordinator?.report() ?? {};
    return role === "alone" ? Infinity : leaseLeftMs;
  }

  report(): ClusterReport | undefined {
    return this.#coordinator?.report();
  }

  decide(promotion: Promotion): Promise<Grant> {
    return this.#coordinator?.decide(promotion) ?? Promise.resolve({ denied: STOPPING });
  }

  conclude(decision: Omit<Decision, "phase" | "by">): Promise<string | undefined> {
    return this.#coordinator?.conclude(decision) ?? Promise.resolve(STOPPING);
  }

  acknowledge(epoch: number): void {
    this.#coordinator?.acknowledge(epoch);
  }

  passOn(
    order: OperatorOrder,
    source: OrderSource,
    onOutcome: (outcome: OrderOutcome) => void,
  ): boolean {
    return this.#coordinator?.passOn(order, source, onOutcome) ?? false;
  }
}
