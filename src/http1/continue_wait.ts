/** A request body that waits for `100 Continue` (RFC 9110 section 10.1.1). */
import type { Clock } from "../base/clock.ts";

/** How long it waits, in milliseconds. The RFC forbids to wait without a limit. */
const CONTINUE_MS = 1_000;

/** The wait of one connection; one at a time. */
export class ContinueWait {
  #end: ((mayGoOn: boolean) => void) | undefined;

  /** Resolves with what `end` says, or with true after a second in which nothing came. */
  begin(clock: Clock): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = clock.after(CONTINUE_MS, () => this.end(true));
      this.#end = (mayGoOn) => {
        this.#end = undefined;
        cancel();
        resolve(mayGoOn);
      };
    });
  }

  /** Ends the wait, if there is one. `mayGoOn`: the body is to be sent. */
  end(mayGoOn: boolean): void {
    this.#end?.(mayGoOn);
  }
}
