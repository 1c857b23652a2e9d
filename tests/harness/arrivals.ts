/** Clients that come at a steady rate, and a count of what became of each. */
import { connectTo } from "./client.ts";
import { TEST_DEADLINE_MS } from "./test_deadline.ts";

/** Most clients at one time: on a machine that is too busy for the rate, further ones do not come. */
const AT_ONCE_MAX = 200;

/** Flags of a proxy that takes a busy machine for nothing worse. */
export const PATIENT: Readonly<Record<string, string>> = {
  "check-interval": "2s",
  "check-timeout": "10s",
  "fail-threshold": "5",
  "connect-timeout": "25s",
  "hold": "60s",
};

/** What became of the clients. */
export class Arrivals implements AsyncDisposable {
  served = 0;
  /** One line for each client that got no answer, or not that answer. */
  readonly failed: string[] = [];
  readonly #address: string;
  readonly #answer: string;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #waiting: { readonly served: number; readonly go: () => void }[] = [];
  readonly #running = new Set<Promise<void>>();
  #due: number;

  /** Each client asks at `address` who serves, and must get `answer`. */
  constructor(address: string, perSecond: number, answer: string) {
    this.#address = address;
    this.#answer = answer;
    this.#due = performance.now();
    const tick = () => {
      // A busy machine calls late: those that were due meanwhile come at once.
      for (; this.#due <= performance.now(); this.#due += 1_000 / perSecond) {
        if (this.#running.size < AT_ONCE_MAX) this.#arrive();
      }
    };
    this.#timer = setInterval(tick, 5);
  }

  /** Resolves when so many further clients have been served, or one was not. */
  further(clients: number): Promise<void> {
    if (this.failed.length > 0) return Promise.resolve();
    return new Promise((go) => this.#waiting.push({ served: this.served + clients, go }));
  }

  /** No more clients come. Resolves when the last one has its answer. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running);
  }

  #arrive(): void {
    const client = this.#ask().then((failure) => {
      this.#running.delete(client);
      if (failure === undefined) this.served++;
      else this.failed.push(failure);
      for (const { served, go } of this.#waiting) {
        if (failure !== undefined || this.served >= served) go();
      }
    });
    this.#running.add(client);
  }

  async #ask(): Promise<string | undefined> {
    const began = performance.now();
    try {
      const conn = await connectTo(this.#address);
      // A timer ends the wait even if nobody answers.
      const timer = setTimeout(() => conn.close(), TEST_DEADLINE_MS);
      try {
        await conn.say("who");
        const answer = await conn.line();
        return answer === this.#answer ? undefined : `answer ${answer}`;
      } finally {
        clearTimeout(timer);
        conn.close();
      }
    } catch (error) {
      return `${error} after ${Math.round(performance.now() - began)} ms`;
    }
  }
}
