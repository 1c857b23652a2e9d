/**
 * Runs our epoll loop inside Deno's event loop, on the same thread. Promises, timers and everything else of
 * Deno's run between the ticks of ours.
 *
 * While there is traffic, a tick sleeps in epoll_wait(2) for a millisecond at most, and the next one is called
 * by `setImmediate`, when all promises that the tick settled have run. Such calls alone would starve Deno's own
 * sockets, which Deno polls only when the thread has nothing to do (once in 61 calls, as measured). So every few
 * milliseconds, and whenever a tick found nothing, a helper thread waits in our place, and this thread is free
 * until the helper returns. That costs 35 µs, which is why it is not the only way. The helper is not relied on
 * either: Deno has 32 threads for everything that blocks, and look-ups without an answer can take them all, so
 * a timer of this thread ends the wait as well.
 */
import { settlesWithin } from "../../base/deadline.ts";
import { setImmediate } from "node:timers";
import type { Clock } from "../../base/clock.ts";
import type { Libc } from "../../linux/libc.ts";
import { Loop, type Tick, type Watcher } from "../../linux/loop.ts";

/** The longest sleep of a tick on the thread itself, in milliseconds, as all of these. */
const SLEEP_MS = 1;
/** How long Deno's own sockets may have to wait while ours are busy. */
const BUSY_MS = 4;
/** The longest wait of the helper thread. */
const WAIT_MS = 500;
/** After this time the thread looks itself, in case the pool had no thread for the helper … */
const POLL_MS = 50;
/** … and after this time if that is known. */
const LATE_MS = 1;
/** How long `stop` waits for the helper, and for how long at one time. */
const STOP_MS = 1_000;
const STOP_PART_MS = 100;

/** The part of `Libc` that the loop uses; tests replace it. */
export type LoopHost = Pick<
  Libc,
  "pollElsewhere" | "eventfd" | "wake" | "settle" | "close" | "now"
>;

/**
 * What the loop is doing.
 *
 * | state      | next tick                  | timer or helper returns | `stop`   |
 * | ---------- | -------------------------- | ----------------------- | -------- |
 * | `running`  | runs; then running or away | nothing                 | stopping |
 * | `away`     | none is due                | running, and a tick     | stopping |
 * | `stopping` | closing or ended           | closing or ended        | nothing  |
 * | `closing`  | nothing                    | ended, with the helper  | nothing  |
 * | `ended`    | nothing                    | nothing                 | nothing  |
 *
 * `away`: this thread is free. `closing`: the helper still waits in epoll_wait(2), so the descriptors must stay.
 */
type LoopState = "running" | "away" | "stopping" | "closing" | "ended";

/** The helper thread: not asked; asked to wait; or asked, and found to be late, since there were events. */
type HelperState = "idle" | "waiting" | "late";

/** The loop of one thread. It runs until `stop`. */
export class EmbeddedLoop implements Watcher {
  readonly loop: Loop;
  readonly #host: LoopHost;
  readonly #clock: Clock;
  readonly #isAlone: () => boolean;
  readonly #eventfd: number;
  /** Called before each tick. */
  beat: () => void = () => {};
  /** Since when this thread has been ours, in the host's milliseconds. */
  #busySince: number;
  #state: LoopState = "running";
  #helper: HelperState = "idle";
  #cancelTimer: () => void = () => {};
  readonly #ended = Promise.withResolvers<void>();

  /**
   * Begins to run at once. `isAlone` tells whether nothing of Deno's own can have work for this thread: no
   * timer, no file, no socket. Then this thread itself sleeps in epoll_wait(2) until there is something to do, and
   * no helper thread is needed. On a thread that serves other purposes as well, `isAlone` must return false.
   */
  constructor(loop: Loop, host: LoopHost, clock: Clock, isAlone = () => false) {
    // If nobody reads `finished`, a rejection must not count as unhandled.
    this.#ended.promise.catch(() => {});
    this.loop = loop;
    this.#host = host;
    this.#clock = clock;
    this.#isAlone = isAlone;
    this.#busySince = host.now();
    this.#eventfd = host.eventfd();
    loop.watch(this.#eventfd, this);
    setImmediate(this.#tick);
  }

  /** Resolves when the loop has ended after `stop`; rejects if a watcher had a bug, which ends it too. */
  get finished(): Promise<void> {
    return this.#ended.promise;
  }

  /** Runs `tick` after all others have run. Unlike the loop's own, it may be called at any time. */
  again(tick: Tick): void {
    this.loop.again(tick);
    if (this.#state === "away") this.#host.wake(this.#eventfd);
  }

  /** The loop was woken: there is a tick to run, or the loop is to stop. */
  ready(): void {
    this.#host.settle(this.#eventfd);
  }

  /**
   * Ends the loop. Resolves with true when it has ended; with false if the helper thread still waits after a
   * second. Its watchers close what they watch.
   */
  async stop(): Promise<boolean> {
    if (this.#state === "running" || this.#state === "away") {
      this.#state = "stopping";
      if (this.#helper !== "idle") this.#host.wake(this.#eventfd);
    }
    // A bug that ended the loop is reported by `finished`.
    // After a standstill of this process a timer that is due comes before the helper's return: only one part is lost.
    for (let ms = 0; ms < STOP_MS; ms += STOP_PART_MS) {
      if (await settlesWithin(this.#ended.promise, STOP_PART_MS, this.#clock)) return true;
    }
    return false;
  }

  readonly #tick = (): void => {
    if (!this.#isRunning) return this.#end();
    const { loop } = this;
    const isAlone = this.#isAlone();
    let changes: number;
    try {
      this.beat();
      changes = loop.tick(isAlone ? WAIT_MS : SLEEP_MS);
    } catch (error) {
      this.#ended.reject(error);
      return this.#end();
    }
    // A watcher may have stopped the loop.
    if (!this.#isRunning) return this.#end();
    if (isAlone) {
      this.#busySince = loop.now;
      return void setImmediate(this.#tick);
    }
    // The helper would have returned because of these events, or will before the next tick.
    if (this.#helper === "waiting" && changes > 0) this.#helper = "late";
    const isQuiet = changes === 0 && !loop.hasMore;
    if (isQuiet || loop.now - this.#busySince > BUSY_MS) this.#leave(isQuiet ? WAIT_MS : 0);
    else setImmediate(this.#tick);
  };

  get #isRunning(): boolean {
    return this.#state === "running";
  }

  /** Frees this thread, for `waitMs` milliseconds at most. */
  #leave(waitMs: number): void {
    this.#state = "away";
    const isShort = waitMs === 0 || this.#helper === "late";
    this.#cancelTimer = this.#clock.after(isShort ? LATE_MS : POLL_MS, () => this.#comeBack());
    if (this.#helper === "idle") void this.#wait(waitMs);
  }

  async #wait(waitMs: number): Promise<void> {
    this.#helper = "waiting";
    await this.#host.pollElsewhere(waitMs);
    this.#helper = "idle";
    this.#comeBack();
  }

  /** The timer is due, or the helper has returned. */
  #comeBack(): void {
    if (this.#isRunning) return;
    if (this.#state !== "away") return this.#end();
    this.#state = "running";
    this.#cancelTimer();
    this.#busySince = this.#host.now();
    this.#tick();
  }

  /** Closes the descriptors of the loop, now or when the helper returns. */
  #end(): void {
    if (this.#state === "ended") return;
    this.#cancelTimer();
    this.#state = this.#helper === "idle" ? "ended" : "closing";
    if (this.#state === "closing") return;
    this.loop.forget(this.#eventfd);
    this.#host.close(this.#eventfd);
    this.#ended.resolve();
  }
}
