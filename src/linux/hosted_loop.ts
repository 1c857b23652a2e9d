/**
 * A loop as a guest on a thread whose own event loop must go on: promises, timers and everything of
 * Deno's have their turns between ours.
 *
 * While there is traffic the loop sleeps in epoll itself, for a millisecond at most, and is called again
 * by `setImmediate`: all promises that a turn settled have run by then. Such calls alone would starve
 * Deno's own sockets, which are looked at only when the thread has nothing to do (once in 61 calls, as
 * measured); so every few milliseconds, and whenever a sleep brought nothing, the wait goes to another
 * thread, and this one is free until that comes back. That way costs 35 µs, which is why it is not the
 * only one.
 */
import { setImmediate } from "node:timers";
import type { Libc } from "./libc.ts";
import { Loop, type Turn, type Watcher } from "./loop.ts";

/** The longest sleep on the thread itself. */
const NAP_MS = 1;
/** How long Deno's own sockets may have to wait while ours are busy. */
const BUSY_MS = 4;
/** The longest wait elsewhere: how long the process may have to wait for its end. */
const WAIT_MS = 500;

/** What of `Libc` the host needs; tests put another in its place. */
export type Host = Pick<Libc, "pollElsewhere" | "eventfd" | "wake" | "settle" | "close" | "now">;

export class HostedLoop implements Watcher {
  readonly loop: Loop;
  readonly #host: Host;
  readonly #eventfd: number;
  #freeSince: number;
  #isElsewhere = false;
  #isOver = false;
  readonly #ended = Promise.withResolvers<void>();

  /** Begins to run at once. */
  constructor(loop: Loop, host: Host) {
    // For whoever awaits it; nobody may do so.
    this.#ended.promise.catch(() => {});
    this.loop = loop;
    this.#host = host;
    this.#freeSince = host.now();
    this.#eventfd = host.eventfd();
    loop.watch(this.#eventfd, this);
    setImmediate(this.#turn);
  }

  /** Resolves when it has ended as told; rejects if a watcher had a bug, which ends it too. */
  get finished(): Promise<void> {
    return this.#ended.promise;
  }

  /** Runs `turn` again after everyone else had theirs. Unlike the loop's own, it may be called at any time. */
  again(turn: Turn): void {
    this.loop.again(turn);
    this.#nudge();
  }

  /** Woken up: there is a turn to run, or an end to come to. */
  ready(): void {
    this.#host.settle(this.#eventfd);
  }

  /** Ends it, and resolves when it has ended. What was watched is the watchers' to close. */
  async stop(): Promise<void> {
    if (!this.#isOver) {
      this.#isOver = true;
      this.#nudge();
    }
    await this.#ended.promise;
  }

  #nudge(): void {
    if (this.#isElsewhere) this.#host.wake(this.#eventfd);
  }

  readonly #turn = (): void => {
    if (this.#isOver) return this.#end();
    const { loop } = this;
    let changes: number;
    try {
      changes = loop.turn(NAP_MS);
    } catch (error) {
      this.#isOver = true;
      this.#ended.reject(error);
      return this.#end();
    }
    const isQuiet = changes === 0 && !loop.hasMore;
    if (isQuiet || loop.now - this.#freeSince > BUSY_MS) {
      void this.#goElsewhere(isQuiet ? WAIT_MS : 0);
    } else setImmediate(this.#turn);
  };

  async #goElsewhere(waitMs: number): Promise<void> {
    this.#isElsewhere = true;
    await this.#host.pollElsewhere(waitMs);
    this.#isElsewhere = false;
    this.#freeSince = this.#host.now();
    this.#turn();
  }

  #end(): void {
    this.loop.forget(this.#eventfd);
    this.#host.close(this.#eventfd);
    this.#ended.resolve();
  }
}
