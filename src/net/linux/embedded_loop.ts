/**
 * A loop as a guest on a thread whose own event loop must go on: promises, timers and everything of
 * Deno's have their turns between ours.
 *
 * While there is traffic the loop sleeps in epoll itself, for a millisecond at most, and is called again
 * by `setImmediate`: all promises that a turn settled have run by then. Such calls alone would starve
 * Deno's own sockets, which are looked at only when the thread has nothing to do (once in 61 calls, as
 * measured); so every few milliseconds, and whenever a sleep brought nothing, the wait goes to another
 * thread, and this one is free until that comes back. That way costs 35 µs, which is why it is not the
 * only one. It is not relied on either: Deno has 32 threads for all that blocks, and look-ups that nobody
 * answers can take them all, so a timer of this thread ends the wait here as well.
 */
import { setImmediate } from "node:timers";
import type { Clock } from "../../base/clock.ts";
import type { Libc } from "../../linux/libc.ts";
import { Loop, type Tick, type Watcher } from "../../linux/loop.ts";

/** The longest sleep on the thread itself. */
const NAP_MS = 1;
/** How long Deno's own sockets may have to wait while ours are busy. */
const BUSY_MS = 4;
/** The longest wait elsewhere. */
const WAIT_MS = 500;
/** How soon we look ourselves whether the thread that waits for us was given its turn at all … */
const LOOK_MS = 50;
/** … and how soon once it is known that it was not. */
const LATE_MS = 1;
/** How long the end waits for that thread. */
const STOP_MS = 1_000;

/** What of `Libc` the host needs; tests put another in its place. */
export type Host = Pick<Libc, "pollElsewhere" | "eventfd" | "wake" | "settle" | "close" | "now">;

export class EmbeddedLoop implements Watcher {
  readonly loop: Loop;
  readonly #host: Host;
  readonly #clock: Clock;
  readonly #eventfd: number;
  #freeSince: number;
  /** This thread is free: the loop has a timer and, most often, another thread to bring it back. */
  #isElsewhere = false;
  /** Another thread was asked to wait and has not come back. */
  #isAwaited = false;
  /** It was seen that the other thread is late. */
  #isLate = false;
  #cancel: () => void = () => {};
  #isOver = false;
  /** The end waits for the other thread. */
  #isEnding = false;
  readonly #ended = Promise.withResolvers<void>();

  /** Begins to run at once. */
  constructor(loop: Loop, host: Host, clock: Clock) {
    // For whoever awaits it; nobody may do so.
    this.#ended.promise.catch(() => {});
    this.loop = loop;
    this.#host = host;
    this.#clock = clock;
    this.#freeSince = host.now();
    this.#eventfd = host.eventfd();
    loop.watch(this.#eventfd, this);
    setImmediate(this.#tick);
  }

  /** Resolves when it has ended as told; rejects if a watcher had a bug, which ends it too. */
  get finished(): Promise<void> {
    return this.#ended.promise;
  }

  /** Runs `turn` again after everyone else had theirs. Unlike the loop's own, it may be called at any time. */
  again(tick: Tick): void {
    this.loop.again(tick);
    if (this.#isElsewhere) this.#host.wake(this.#eventfd);
  }

  /** Woken up: there is a turn to run, or an end to come to. */
  ready(): void {
    this.#host.settle(this.#eventfd);
  }

  /**
   * Ends it, and resolves when it has ended; with false if another thread still holds its wait after a
   * second. What was watched is the watchers' to close.
   */
  async stop(): Promise<boolean> {
    if (!this.#isOver) {
      this.#isOver = true;
      if (this.#isAwaited) this.#host.wake(this.#eventfd);
    }
    const late = Promise.withResolvers<false>();
    const cancel = this.#clock.after(STOP_MS, () => late.resolve(false));
    // A bug that ended it is for `finished` to tell.
    const ended = this.#ended.promise.then(() => true, () => true);
    const isFree = await Promise.race([ended, late.promise]);
    cancel();
    return isFree;
  }

  readonly #tick = (): void => {
    if (this.#isOver) return this.#end();
    const { loop } = this;
    let changes: number;
    try {
      changes = loop.tick(NAP_MS);
    } catch (error) {
      this.#isOver = true;
      this.#ended.reject(error);
      return this.#end();
    }
    // Whoever waits for us would have come back because of these, or will before the next turn.
    if (this.#isAwaited && changes > 0) this.#isLate = true;
    const isQuiet = changes === 0 && !loop.hasMore;
    if (isQuiet || loop.now - this.#freeSince > BUSY_MS) this.#goElsewhere(isQuiet ? WAIT_MS : 0);
    else setImmediate(this.#tick);
  };

  #goElsewhere(waitMs: number): void {
    this.#isElsewhere = true;
    const isShort = waitMs === 0 || this.#isLate;
    this.#cancel = this.#clock.after(isShort ? LATE_MS : LOOK_MS, () => this.#comeBack());
    if (!this.#isAwaited) void this.#wait(waitMs);
  }

  async #wait(waitMs: number): Promise<void> {
    this.#isAwaited = true;
    await this.#host.pollElsewhere(waitMs);
    this.#isAwaited = this.#isLate = false;
    this.#comeBack();
  }

  #comeBack(): void {
    if (this.#isEnding) return this.#end();
    if (!this.#isElsewhere) return;
    this.#isElsewhere = false;
    this.#cancel();
    this.#freeSince = this.#host.now();
    this.#tick();
  }

  #end(): void {
    this.#isEnding = this.#isAwaited;
    if (this.#isEnding) return;
    this.loop.forget(this.#eventfd);
    this.#host.close(this.#eventfd);
    this.#ended.resolve();
  }
}
