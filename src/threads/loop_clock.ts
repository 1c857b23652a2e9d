/**
 * A clock whose timers are those of our own loop, so that a thread with nothing else to do can sleep in
 * epoll_wait(2) without checking the timers of Deno. Timers are up to 16 ms late.
 */
import { type Clock, realClock } from "../base/clock.ts";
import type { Tick } from "../linux/loop.ts";
import { timed } from "../linux/timer_wheel.ts";
import type { EmbeddedLoop } from "../net/linux/embedded_loop.ts";

/** Later deadlines become this one, in milliseconds: the wheel needs a finite number. About three years. */
const FAR_MS = 1e11;

/** The clock of one thread. Times are in milliseconds. */
export class LoopClock implements Clock {
  readonly #host: Pick<EmbeddedLoop, "loop" | "again">;

  constructor(host: Pick<EmbeddedLoop, "loop" | "again">) {
    this.#host = host;
  }

  now(): number {
    return this.#host.loop.kernel.now();
  }

  recent(): number {
    return this.#host.loop.recent;
  }

  wall(): number {
    return realClock.wall();
  }

  after(ms: number, callback: () => void): () => void {
    if (ms <= 0) return this.#soon(callback);
    const { loop } = this.#host;
    const timer = timed(() => guarded(callback));
    // `loop.now` is the time at which this tick began, and a timer must not be early.
    loop.at(timer, this.now() + Math.min(ms, FAR_MS));
    return () => loop.cancel(timer);
  }

  /** Calls back in the next tick, after everything that is ready. */
  #soon(callback: () => void): () => void {
    let isOff = false;
    const tick: Tick = {
      queued: false,
      run() {
        if (!isOff) guarded(callback);
      },
    };
    this.#host.again(tick);
    return () => {
      isOff = true;
    };
  }
}

/** A bug in one callback must not end the loop. */
function guarded(callback: () => void): void {
  try {
    callback();
  } catch (error) {
    // The handler of uncaught errors logs it.
    reportError(error);
  }
}
