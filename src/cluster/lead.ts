/** When this proxy takes the lead and loses it, for the log; and whether it has lost it unseen. */
import type { Publish } from "../events/events.ts";

/** The lead of one service, as this proxy has shown it. */
export class Lead {
  readonly #instance: string;
  readonly #publish: Publish;
  #isLeading = false;
  #taken = 0;
  #lease: string | undefined;

  constructor(instance: string, publish: Publish) {
    this.#instance = instance;
    this.#publish = publish;
  }

  /** How often it was taken; undefined while this proxy does not lead. */
  get number(): number | undefined {
    return this.#isLeading ? this.#taken : undefined;
  }

  /**
   * This proxy leads or not, under this lease, and `proxies` live. Returns true if it leads, and has led under another
   * lease: that ended unseen, as while the machine was suspended, and others may have decided meanwhile.
   */
  show(leads: boolean, lease: string | undefined, proxies: number, whyNot: () => string): boolean {
    const led = this.#isLeading;
    const isAnew = led && leads && lease !== this.#lease;
    this.#isLeading = leads;
    this.#lease = lease;
    const reason = isAnew ? "its lease has ended" : whyNot();
    if (led && (!leads || isAnew)) this.#publish({ type: "lead.lost", reason });
    if (leads && (!led || isAnew)) {
      this.#taken++;
      this.#publish({ type: "lead.taken", instance: this.#instance, proxies });
    }
    return isAnew;
  }
}
