/**
 * Orders of the operator between proxies. A proxy that does not lead stores an order; the one that leads removes it,
 * carries it out, and stores the outcome. An order is taken only once: if the proxy that took it dies, it counts as
 * failed. The proxy that got the order from the operator removes the outcome; if that one is gone, the proxy that
 * stored the outcome removes it later.
 */
import type { Clock } from "../base/clock.ts";
import type { OperatorOrder, OrderOutcome, OrderSource } from "../failover/orders.ts";
import { type Etcd, EtcdError } from "./etcd.ts";
import { outcomeText, type PassedOrder, passedText, type Stored } from "./keys.ts";

/** Orders that this proxy has passed on and that are under way at one time. */
const PASSED_MAX = 16;
/** How long an order waits until a proxy that leads takes it, in milliseconds. */
const TAKEN_MS = 15_000;
/** How long a final outcome waits until the proxy that asked has read it, in milliseconds. */
const KEPT_MS = 60_000;

const NOT_TAKEN = "no proxy has taken the order in time";
const NOT_KNOWN = "etcd does not answer, and the order may still be carried out";

/** What the post needs of the membership, and who carries orders out. */
export interface OrderPostPorts {
  readonly etcd: Etcd;
  readonly clock: Clock;
  readonly instance: string;
  lease(): string | undefined;
  /** etcd has answered that the lease is over. */
  leaseEnded(): void;
  /** Whether the lease lasts for certain. */
  isMember(): boolean;
  leads(): boolean;
  carryOut(
    order: OperatorOrder,
    source: OrderSource,
    onOutcome: (outcome: OrderOutcome) => void,
  ): void;
}

interface Passed {
  readonly onOutcome: (outcome: OrderOutcome) => void;
  /** The value under which the order is stored. */
  readonly value: string;
  isAccepted: boolean;
  /** A reading of this revision or later shows its outcome, or it was never stored. */
  lostAt: number;
  cancel: () => void;
}

/** The orders of one service. */
export class OrderPost {
  readonly #ports: OrderPostPorts;
  readonly #passed = new Map<string, Passed>();
  /** The orders that this proxy tried to take, and does not know whether it has: the answer is missing. */
  readonly #taking = new Map<string, PassedOrder>();
  /** The final outcomes that this proxy has stored or tried to, and when. */
  readonly #answered = new Map<string, { readonly at: number; readonly outcome: OrderOutcome }>();

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
    const lease = this.#ports.isMember() ? this.#ports.lease() : undefined;
    if (lease === undefined || this.#passed.size >= PASSED_MAX) {
      const reason = lease === undefined
        ? "etcd cannot be reached, and no proxy can take an order for all"
        : `${PASSED_MAX} orders are under way already`;
      return onOutcome({ is: "refused", reason });
    }
    const id = crypto.randomUUID();
    const cancel = clock.after(TAKEN_MS, () => void this.#giveUp(id));
    const value = passedText(order, source);
    this.#passed.set(id, { onOutcome, value, isAccepted: false, lostAt: Infinity, cancel });
    const put = { put: `order/${id}`, value, lease };
    etcd.transact([{ key: `order/${id}`, createRevision: 0 }], [put]).catch((error) => {
      // Without an answer it may have been stored, and is not sent again: it could be carried out twice.
      if (error instanceof EtcdError && error.kind === "unreachable") return;
      this.#fail(id, `the order was not stored: ${error.message}`);
    });
  }

  /** Reads what became of the orders of this proxy, and takes those of others if this one leads. */
  async look(stored: Stored): Promise<void> {
    const { revision, passed, outcomes } = stored;
    this.#lookTaken(stored);
    for (const [id, outcome] of outcomes) {
      if (!this.#passed.has(id)) continue;
      this.#settle(id, outcome);
      if (!this.#passed.has(id)) this.#remove(id);
    }
    for (const [id, { isAccepted, lostAt }] of this.#passed) {
      if (outcomes.has(id)) continue;
      if (isAccepted) this.#fail(id, "the proxy that carried it out is gone");
      else if (revision >= lostAt) this.#fail(id, NOT_TAKEN);
    }
    const before = this.#ports.clock.now() - KEPT_MS;
    for (const [id, { at, outcome }] of this.#answered) {
      const stored = outcomes.get(id);
      if (stored === undefined) this.#answered.delete(id);
      // The call that stored the final outcome was lost.
      else if (stored.is === "accepted") void this.#store(id, outcome);
      else if (at < before) this.#remove(id);
    }
    for (const each of passed) if (this.#ports.leads()) await this.#take(each);
  }

  /** Carries out orders that this proxy has taken by a call whose answer was lost. */
  #lookTaken({ passed, outcomes, takers }: Stored): void {
    for (const [id, order] of this.#taking) {
      if (passed.some((each) => each.id === id)) continue;
      this.#taking.delete(id);
      const isOurs = outcomes.get(id)?.is === "accepted" && takers.get(id) === this.#ports.lease();
      if (isOurs) this.#carryOut(order);
    }
  }

  /** No order gets an answer any more. */
  stop(): void {
    for (const id of this.#passed.keys()) {
      this.#fail(id, "the service is stopping");
    }
  }

  #fail(id: string, reason: string): void {
    this.#settle(id, { is: "failed", reason });
  }

  #settle(id: string, outcome: OrderOutcome): void {
    const passed = this.#passed.get(id);
    if (passed === undefined || (outcome.is === "accepted" && passed.isAccepted)) return;
    passed.cancel();
    if (outcome.is === "accepted") passed.isAccepted = true;
    else this.#passed.delete(id);
    passed.onOutcome(outcome);
  }

  /**
   * Takes an order back that no proxy has taken. If it is not stored any more, a proxy has taken it, and the outcome
   * will come; or it was never stored.
   */
  async #giveUp(id: string): Promise<void> {
    const passed = this.#passed.get(id);
    if (passed === undefined) return;
    const key = `order/${id}`;
    try {
      const { succeeded, revision } = await this.#ports.etcd.transact([{
        key,
        value: passed.value,
      }], [{
        remove: key,
      }]);
      if (succeeded) return this.#fail(id, NOT_TAKEN);
      passed.lostAt = revision;
      passed.cancel = this.#ports.clock.after(TAKEN_MS, () => this.#fail(id, NOT_KNOWN));
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      this.#fail(id, NOT_KNOWN);
    }
  }

  /** An outcome that cannot be removed now disappears with the lease of the proxy that has stored it. */
  #remove(id: string): void {
    this.#ports.etcd.transact([], [{ remove: `outcome/${id}` }]).catch(() => {});
  }

  async #take(order: PassedOrder): Promise<void> {
    const { id, revision } = order;
    const { etcd, instance } = this.#ports;
    const lease = this.#ports.lease();
    if (lease === undefined) return;
    const accepted = { put: `outcome/${id}`, value: outcomeText({ is: "accepted" }), lease };
    this.#taking.set(id, order);
    try {
      const { succeeded } = await etcd.transact([
        { key: "leader", value: instance },
        { key: `order/${id}`, createRevision: revision },
      ], [{ remove: `order/${id}` }, accepted]);
      if (!succeeded) return;
    } catch (error) {
      if (!(error instanceof EtcdError) || error.kind !== "leaseGone") throw error;
      // Nothing was changed: the next proxy that leads takes it.
      this.#taking.delete(id);
      return this.#ports.leaseEnded();
    }
    this.#taking.delete(id);
    this.#carryOut(order);
  }

  #carryOut({ id, order, source }: PassedOrder): void {
    this.#ports.carryOut(order, source, (outcome) => {
      if (outcome.is !== "accepted") void this.#answer(id, outcome);
    });
  }

  async #answer(id: string, outcome: OrderOutcome): Promise<void> {
    this.#answered.set(id, { at: this.#ports.clock.now(), outcome });
    await this.#store(id, outcome);
  }

  /** If the outcome cannot be stored before the lease ends, the proxy that asked sees that this one is gone. */
  async #store(id: string, outcome: OrderOutcome): Promise<void> {
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
