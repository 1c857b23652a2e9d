/** Keeps one watch on the keys, whatever happens to its connection. */
import type { Clock } from "../base/clock.ts";
import type { Etcd } from "./etcd.ts";

/** A watch is made anew after this time, in milliseconds, in case its connection is dead. */
const WATCH_MS = 30_000;
/** Pause between two watches, in milliseconds. */
const PAUSE_MS = 300;

/** The watch of one service, until it is disposed of. */
export class WatchKeeper implements AsyncDisposable {
  readonly #etcd: Pick<Etcd, "watch">;
  readonly #clock: Clock;
  readonly #onChange: () => void;
  readonly #work: Promise<void>;
  #abort = new AbortController();
  #endPause = () => {};
  #isOver = false;

  /** Begins at once. `onChange` is called when a key may have changed. */
  constructor(etcd: Pick<Etcd, "watch">, clock: Clock, onChange: () => void) {
    this.#etcd = etcd;
    this.#clock = clock;
    this.#onChange = onChange;
    this.#work = this.#run();
  }

  /** Makes a new watch: the endpoint of this one may be dead. */
  renew(): void {
    this.#abort.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    this.#abort.abort();
    this.#endPause();
    await this.#work;
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      this.#abort = new AbortController();
      const cancel = this.#clock.after(WATCH_MS, () => this.#abort.abort());
      // A watch that fails is no fault: who reads also does so without it, and reports what fails.
      await this.#etcd.watch(this.#onChange, this.#abort.signal).catch(() => {});
      cancel();
      if (this.#isOver) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      const cancelPause = this.#clock.after(PAUSE_MS, resolve);
      this.#endPause = resolve;
      await promise;
      cancelPause();
    }
  }
}
