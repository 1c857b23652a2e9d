/**
 * Spreads the clients of a service over the threads. The kernel wakes one thread for a new client, and one that is
 * awake would take all that come in a burst, for as long as they stay. So a thread that has more than its share
 * leaves the next client to the others for a moment. If none of them takes it, it does.
 */
import type { SharedSemaphore } from "./shared_semaphore.ts";

/** How long another thread has, in milliseconds. */
export const YIELD_MS = 5;

/** The share of one thread in the clients of one service. */
export class FairShare {
  readonly #semaphore: Pick<SharedSemaphore, "isAhead" | "askForRelease">;
  #since: number | undefined;

  /** `semaphore` limits the clients of the service in all threads. */
  constructor(semaphore: Pick<SharedSemaphore, "isAhead" | "askForRelease">) {
    this.#semaphore = semaphore;
  }

  /**
   * True if another thread should take the next client. The others have been woken then, and the caller asks again
   * after `YIELD_MS`. `now` is in milliseconds.
   */
  yields(now: number): boolean {
    if (!this.#semaphore.isAhead) {
      this.#since = undefined;
      return false;
    }
    if (this.#since === undefined) {
      this.#since = now;
      this.#semaphore.askForRelease();
      return true;
    }
    if (now - this.#since < YIELD_MS) return true;
    this.#since = undefined;
    return false;
  }
}
