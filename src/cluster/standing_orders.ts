/** The orders that stand until further notice, on the proxy that leads: it carries them out and stores them for all. */
import type { Clock } from "../base/clock.ts";
import type { OperatorOrder, OrderOutcome, OrderSource } from "../failover/orders.ts";
import type { CoordinatedService } from "./coordinated_service.ts";
import type { Etcd } from "./etcd.ts";
import { ordersText } from "./keys.ts";
import type { Session } from "./session.ts";

/** What is needed of the membership, and who carries orders out. */
export interface StandingOrdersPorts {
  readonly etcd: Etcd;
  readonly clock: Clock;
  readonly instance: string;
  readonly service: Pick<CoordinatedService, "state" | "order">;
  readonly session: Pick<Session, "stored" | "leads">;
  /** How long an order waits until it is stored, in milliseconds. */
  readonly keptMs: number;
  /** Resolves after a round of the membership that begins from now on. */
  nextRound(): Promise<void>;
  /**
   * How often this proxy has taken the lead; undefined while it does not lead, or is about to leave. A proxy that takes
   * the lead replaces its own orders by those that are stored.
   */
  lead(): number | undefined;
  /** Why it is not stored, for a person. */
  whyNot(): string;
}

/** The orders of one service. */
export class StandingOrders {
  readonly #ports: StandingOrdersPorts;

  constructor(ports: StandingOrdersPorts) {
    this.#ports = ports;
  }

  /** Carries out an order for all. It has succeeded when it stands for all, also after the end of this proxy. */
  carryOut(
    order: OperatorOrder,
    source: OrderSource,
    onOutcome: (outcome: OrderOutcome) => void,
  ): void {
    const { service, lead, whyNot } = this.#ports;
    const givenIn = lead();
    const moves = order.name === "switchover" || order.name === "failback";
    service.order(order, source, (outcome) => {
      if (outcome.is !== "finished") return onOutcome(outcome);
      // The outcome may come late. If this proxy has lost the lead meanwhile, the stored orders have replaced this one.
      const isLate = !moves && givenIn !== undefined && lead() !== givenIn;
      if (this.#unkept === undefined && !isLate) return onOutcome(outcome);
      void (isLate ? Promise.resolve(false) : this.#kept()).then((isKept) => {
        const reason = `it was carried out here, but is not stored for all: ${whyNot()}`;
        onOutcome(isKept ? outcome : { is: "failed", reason });
      });
    });
  }

  /** Stores the orders that stand if they are not stored yet. Resolves with whether it has stored something. */
  async keep(): Promise<boolean> {
    const { etcd, instance, session } = this.#ports;
    const value = this.#unkept;
    if (!session.leads || value === undefined) return false;
    // An earlier attempt may arrive after this one, and must not undo it.
    await etcd.transact([
      { key: "leader", value: instance },
      { key: "orders", modRevision: session.stored?.ordersRevision ?? 0 },
    ], [{ put: "orders", value }]);
    return true;
  }

  async #kept(): Promise<boolean> {
    const { clock, keptMs, lead, nextRound } = this.#ports;
    const until = clock.now() + keptMs;
    const number = lead();
    while (number !== undefined && lead() === number && clock.now() <= until) {
      if (this.#unkept === undefined) return true;
      await nextRound();
    }
    return false;
  }

  /** The orders that stand, in the form in which they are stored; undefined if they are stored already. */
  get #unkept(): string | undefined {
    const { paused, drained, pinned } = this.#ports.service.state();
    const value = ordersText({ paused, drained, pinned });
    const known = this.#ports.session.stored?.orders;
    const isEmpty = paused === undefined && drained.size === 0 && pinned === undefined;
    return (known === undefined ? isEmpty : ordersText(known) === value) ? undefined : value;
  }
}
