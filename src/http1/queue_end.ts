/**
 * The end of a listener of Deno's: clients that the kernel has let in see an open connection, so they are taken
 * out of its queue before it is closed, which would reset them. Deno does not say how many wait; the queue is
 * empty when accepting has brought nobody for two turns of the event loop.
 */
import type { Clock } from "../base/clock.ts";

/** Turns without anybody after which nobody waits. */
const QUIET_TURNS = 2;
/** Turns at most: somebody may connect for ever. */
const TURNS_MAX = 100;

export class QueueEnd {
  readonly #clock: Clock;
  readonly #close: () => void;
  readonly #begun = Promise.withResolvers<void>();
  #isBegun = false;
  #taken = 0;
  #turns = 0;
  #quiet = 0;
  #cancel = () => {};

  /** `close` closes the listener; it may be called more than once. */
  constructor(clock: Clock, close: () => void) {
    this.#clock = clock;
    this.#close = close;
  }

  /** Resolves when the end has begun: from then on clients are taken whether or not there is room. */
  get begun(): Promise<void> {
    return this.#begun.promise;
  }

  /** To be called for each client that was accepted. */
  taken(): void {
    this.#taken++;
  }

  /** Closes the listener as soon as its queue is empty, or at once. */
  begin(atOnce: boolean): void {
    if (atOnce) {
      this.#cancel();
      this.#close();
    } else if (!this.#isBegun) this.#nextTurn();
    this.#isBegun = true;
    this.#begun.resolve();
  }

  #nextTurn(): void {
    const before = this.#taken;
    this.#cancel = this.#clock.after(0, () => {
      this.#quiet = this.#taken === before ? this.#quiet + 1 : 0;
      if (this.#quiet >= QUIET_TURNS || ++this.#turns >= TURNS_MAX) this.#close();
      else this.#nextTurn();
    });
  }
}
