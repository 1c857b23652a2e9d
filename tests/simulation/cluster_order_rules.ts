/**
 * What must always be true of the orders that operators give in the simulated cluster: each is answered, carried out
 * once at most, and stands until another one ends it.
 */
import type { OperatorOrder, OrderOutcome } from "../../src/failover/orders.ts";
import type { SimulatedProxy } from "./cluster_proxy.ts";

/** What the rules look at. */
export interface OrderRulesSettings {
  proxies(): readonly SimulatedProxy[];
  breach(what: string): void;
}

export class OrderRules {
  readonly #settings: OrderRulesSettings;
  readonly #executed = new Set<string>();
  /** The orders that have no final outcome, by number, with their proxy. */
  readonly #open = new Map<number, SimulatedProxy>();
  #given = 0;
  /** By subject (`pause`, or an upstream that is drained): the orders that are under way. */
  readonly #changing = new Map<string, Set<number>>();
  /** By subject: the last order to end it. */
  readonly #ends = new Map<string, number>();
  /** By subject: the newest epoch when the order to pause or to drain had succeeded for all, if it stands for certain. */
  readonly #standing = new Map<string, number>();

  constructor(settings: OrderRulesSettings) {
    this.#settings = settings;
  }

  /** The operator gives an order. Returns who is told what becomes of it, and the name under which it is given. */
  ordered(proxy: SimulatedProxy, order: OperatorOrder) {
    const number = ++this.#given;
    this.#open.set(number, proxy);
    const subject = subjectOf(order);
    const changing = this.#changing.get(subject) ?? new Set();
    this.#changing.set(subject, changing.add(number));
    if (isEnd(order)) {
      this.#standing.delete(subject);
      this.#ends.set(subject, number);
    }
    const onOutcome = ({ is }: OrderOutcome) => {
      if (is === "accepted") return;
      this.#open.delete(number);
      // One whose fate is not known may be carried out later.
      if (is === "finished" || is === "refused") changing.delete(number);
      if (is !== "finished" || subject === "" || isEnd(order) || changing.size > 0) return;
      if (number < (this.#ends.get(subject) ?? 0)) return;
      const epochs = this.#settings.proxies().map(({ controller: { state } }) => state.epoch);
      this.#standing.set(subject, Math.max(...epochs));
    };
    return { by: `ann ${number}`, onOutcome };
  }

  /** A proxy carries an order out. */
  executes(by: string): void {
    const number = by.split(" ").slice(0, 2).join(" ");
    if (this.#executed.has(number)) {
      this.#settings.breach(`the order of ${number} was carried out twice`);
    }
    this.#executed.add(number);
  }

  /** The orders that were never answered, though the proxy that got them lives. */
  unanswered(): number[] {
    return [...this.#open].filter(([, { isDead }]) => !isDead).map(([number]) => number);
  }

  /** The newest epoch when the order to pause, or to drain this upstream, had succeeded, if it stands for certain. */
  standsSince(subject: string): number | undefined {
    return this.#standing.get(subject);
  }
}

/** What an order is about: later ones about the same undo it. */
function subjectOf(order: OperatorOrder): string {
  if ("upstream" in order) return order.upstream;
  return order.name === "pause" || order.name === "resume" ? "pause" : "";
}

function isEnd({ name }: OperatorOrder): boolean {
  return name === "resume" || name === "undrain";
}
