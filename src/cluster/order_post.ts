/**
 * Orders of the operator between proxies. A proxy that does not lead stores an order, the one that leads takes
 * it out, carries it out, and stores what became of it. An order is taken out once: if its proxy dies then,
 * it counts as failed.
 */
import type { Clock } from "../base/clock.ts";
import type { OperatorOrder, OrderOutcome, OrderSource } from "../failover/orders.ts";
import { type Etcd, EtcdError } from "./etcd.ts";
import { outcomeText, type PassedOrder, passedText, type Stored } from "./keys.ts";

/** Orders that this proxy has passed on and that are under way at one time. */
const PASSED_MAX = 16;
/** How long an order waits until a proxy that leads takes it, in milliseconds. */
const TAKEN_MS = 15_000;

/** What the post needs of the membership, and who carries orders out. */
export interface OrderPostPorts {
  readonly etcd: Etcd;
  readonly clock: Clock;
  readonly instance: string;
  lease(): string | undefined;
  leads(): boolean;
  carryOut(
    order: OperatorOrder,
    source: OrderSource,
    onOutcome: (outcome: OrderOutcome) => void,
  ): void;
}

interface Passed {
  readonly onOutcome: (outcome: OrderOutcome) => void;
  isAccepted: boolean;
  cancel: () => void;
}

/** The orders of one service. */
export class OrderPost {
  readonly #ports: OrderPostPorts;
  readonly #passed = new Map<string, Passed>();

  constructor(ports: OrderPostPorts) {
    this.#ports = ports;
  }

  /** Stores an order for the proxy that leads. `onOutcome` receives each outcome; the last one is final. */
  send(
    order: OperatorOrder,
    source: OrderSource,
    onOutcome: (outcome: OrderOutcome) => void,
  ): void {
    const { etcd, clock } = this.#ports;
    const lease = this.#ports.lease();
    if (lease === undefined || this.#passed.size >= PASSED_MAX) {
      const reason = lease === undefined
        ? "etcd cannot be reached, and no proxy can take an order for all"
        : `${PASSED_MAX} orders are under way already`;
      return onOutcome({ is: "refused", reason });
    }
    const id = crypto.randomUUID();
    const cancel = clock.after(TAKEN_MS, () => this.#giveUp(id));
    this.#passed.set(id, { onOutcome, isAccepted: false, cancel });
    const put = { put: `order/${id}`, value: passedText(order, source), lease };
    etcd.transact([{ key: `order/${id}`, createRevision: 0 }], [put]).catch((error) =>
      this.#settle(id, { is: "failed", reason: `the order was not stored: ${error.message}` })
    );
  }

  /** Reads what became of the orders of this proxy, and takes those of others if this one leads. */
  async look({ passed, outcomes }: Stored): Promise<void> {
    for (const [id, outcome] of outcomes) {
      if (this.#passed.has(id)) this.#settle(id, outcome);
    }
    for (const [id, { isAccepted }] of this.#passed) {
      if (isAccepted && !outcomes.has(id)) {
        this.#settle(id, { is: "failed", reason: "the proxy that carried it out is gone" });
      }
    }
    for (const each of passed) if (this.#ports.leads()) await this.#take(each);
  }

  /** No order gets an answer any more. */
  stop(): void {
    for (const id of this.#passed.keys()) {
      this.#settle(id, { is: "failed", reason: "the service is stopping" });
    }
  }

  #settle(id: string, outcome: OrderOutcome): void {
    const passed = this.#passed.get(id);
    if (passed === undefined || (outcome.is === "accepted" && passed.isAccepted)) return;
    passed.cancel();
    if (outcome.is === "accepted") passed.isAccepted = true;
    else this.#passed.delete(id);
    passed.onOutcome(outcome);
  }

  /** Nobody has taken it; if somebody does in this moment, the answer is lost and nothing else. */
  #giveUp(id: string): void {
    const reason = "no proxy has taken the order in time";
    this.#settle(id, { is: "failed", reason });
    this.#ports.etcd.transact([], [{ remove: `order/${id}` }]).catch(() => {});
  }

  async #take({ id, order, source, revision }: PassedOrder): Promise<void> {
    const { etcd, instance, carryOut } = this.#ports;
    const lease = this.#ports.lease();
    if (lease === undefined) return;
    const accepted = { put: `outcome/${id}`, value: outcomeText({ is: "accepted" }), lease };
    const { succeeded } = await etcd.transact([
      { key: "leader", value: instance },
      { key: `order/${id}`, createRevision: revision },
    ], [{ remove: `order/${id}` }, accepted]);
    if (!succeeded) return;
    carryOut(order, source, (outcome) => {
      if (outcome.is !== "accepted") void this.#answer(id, outcome);
    });
  }

  /** If the answer cannot be stored, the one who asked sees that this proxy is gone. */
  async #answer(id: string, outcome: OrderOutcome): Promise<void> {
    const lease = this.#ports.lease();
    if (lease === undefined) return;
    const put = { put: `outcome/${id}`, value: outcomeText(outcome), lease };
    try {
      await this.#ports.etcd.transact([], [put]);
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
    }
  }
}
