/**
 * The event loop of one thread. It waits in epoll, passes each change to the watcher of that descriptor, runs
 * expired deadlines, and runs again the ticks that had more work than fits into one. `run` never yields to
 * JavaScript's own event loop, so no promise and no timer of the thread makes progress meanwhile.
 *
 * epoll is edge-triggered, and each descriptor is registered once: a watcher must remember that a socket is
 * readable until a read returns EAGAIN. Descriptor numbers are reused within one tick; the mark distinguishes
 * a late event of a closed descriptor from one of its successor.
 */
import type { Kernel } from "./kernel.ts";
import { type Timed, TimerWheel } from "./timer_wheel.ts";

/** Receives what epoll reports about a descriptor (epoll(7)). */
export interface Watcher {
  /** `flags` is made of READABLE, WRITABLE … of `kernel.ts`. */
  ready(fd: number, flags: number): void;
}

/**
 * A watcher, tick or timer that can end itself after a bug in its `ready`, `run` or `expire`, so that the loop
 * goes on. A bug in any other one is thrown by the loop, which ends it.
 */
export interface BugHandler {
  onBug(error: unknown): void;
}

/** Work that remains to be done, about which epoll will report nothing new. */
export interface Tick {
  /** True while it is queued; only the loop writes it. */
  queued: boolean;
  /** Does a part of the work; queues itself again if there is more. */
  run(): void;
}

/**
 * Ticks that are still queued after this time, in milliseconds, wait until descriptors that have become ready
 * meanwhile were served: watchers with much work must not delay those with little.
 */
const TICKS_MS = 0.5;
/** After so long without work that somebody waits for, in milliseconds, only bulk is under way. */
const BULK_ALONE_MS = 100;
/** The longest sleep, in milliseconds; so a loop without traffic calls `beat` this often. */
const SLEEP_MAX_MS = 500;

/** The loop of one thread. */
export class Loop {
  readonly kernel: Kernel;
  readonly #watchers: (Watcher | undefined)[] = [];
  readonly #marks: number[] = [];
  readonly #timerWheel: TimerWheel;
  readonly #ticks: Tick[] = [];
  #now: number;
  /** Reports of this tick whose watchers called `postpone`; and when there was last a report of another kind. */
  #postponed = 0;
  #promptAt = -Infinity;
  #isTicking = false;
  #round = 0;
  #watched = 0;
  /** The present report of this tick, and how many it has; equal when no tick runs. */
  #report = 0;
  #reports = 0;
  #mark = 0;
  #stopped = false;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.#now = kernel.now();
    this.#timerWheel = new TimerWheel(this.#now, reportBug);
  }

  /** The time at the beginning of this tick, in milliseconds: exact enough for deadlines, and no system call. */
  get now(): number {
    return this.#now;
  }

  /** The same while a tick runs; between two ticks, which may be far apart, the time itself. */
  get recent(): number {
    return this.#isTicking ? this.#now : this.kernel.now();
  }

  /** The number of this tick. */
  get round(): number {
    return this.#round;
  }

  /** How many descriptors are watched. */
  get watched(): number {
    return this.#watched;
  }

  /** Calls `watcher` on changes of `fd` until `forget`. Returns 0 or a negated error number. */
  watch(fd: number, watcher: Watcher): number {
    const mark = this.#nextMark();
    return this.#entered(fd, watcher, mark, this.kernel.watch(fd, mark));
  }

  /** The same for a listening socket that other threads watch too, until `unwatch`. */
  watchShared(listener: number, watcher: Watcher): number {
    const mark = this.#nextMark();
    return this.#entered(listener, watcher, mark, this.kernel.watchShared(listener, mark));
  }

  /** Ends the calls for a descriptor that stays open. */
  unwatch(fd: number): void {
    this.forget(fd);
    this.kernel.unwatch(fd);
  }

  #nextMark(): number {
    return this.#mark = (this.#mark + 1) & 0x7fff_ffff;
  }

  #entered(fd: number, watcher: Watcher, mark: number, result: number): number {
    if (result < 0) return result;
    while (this.#watchers.length <= fd) {
      this.#watchers.push(undefined);
      this.#marks.push(0);
    }
    this.#watchers[fd] = watcher;
    this.#marks[fd] = mark;
    this.#watched++;
    return 0;
  }

  /**
   * False if the watcher of `fd` has received all events up to the beginning of this tick. Always true outside the
   * part of a tick in which events are passed to watchers.
   */
  mayHaveNews(fd: number): boolean {
    if (this.#reports === 0) return true;
    for (let i = this.#report + 1; i < this.#reports; i++) {
      if (this.kernel.eventFd(i) === fd) return true;
    }
    return false;
  }

  /** Replaces the watcher of `fd`. */
  rewatch(fd: number, watcher: Watcher): void {
    this.#watchers[fd] = watcher;
  }

  /** Must be called before `fd` is closed or given to another owner. */
  forget(fd: number): void {
    if (this.#watchers[fd] !== undefined) this.#watched--;
    this.#watchers[fd] = undefined;
  }

  /** Calls `timed.expire` once, `ms` milliseconds from now, up to 16 ms late. */
  after(timed: Timed, ms: number): void {
    this.#timerWheel.set(timed, this.#now + ms);
  }

  /** The same at the time `due`, on the clock of `now`. */
  at(timed: Timed, due: number): void {
    this.#timerWheel.set(timed, due);
  }

  /** Takes the deadline of `timed` away, if there is one. */
  cancel(timed: Timed): void {
    this.#timerWheel.clear(timed);
  }

  /** Queues `tick` to run once more, after everything else that is ready. */
  again(tick: Tick): void {
    if (tick.queued) return;
    tick.queued = true;
    this.#ticks.push(tick);
  }

  /** The same for a watcher, in its `ready`, that has much to move: it tells `isBulkAlone` that nobody waits for it. */
  postpone(tick: Tick): void {
    this.#postponed++;
    this.again(tick);
  }

  /**
   * True when all reports of the last 100 ms were postponed: there is no message and no new client now, so each
   * tick may take a longer turn.
   */
  get isBulkAlone(): boolean {
    return this.#now - this.#promptAt >= BULK_ALONE_MS;
  }

  /** Makes `run` return after the present tick. */
  stop(): void {
    this.#stopped = true;
  }

  /** Runs until `stop`. Calls `beat` once per tick, at least twice a second. */
  run(beat: () => void): void {
    while (!this.#stopped) {
      this.tick();
      beat();
    }
  }

  /** True while ticks are queued. */
  get hasMore(): boolean {
    return this.#ticks.length > 0;
  }

  /** One tick: sleeps once at most, then runs everything that is ready. Returns the number of events. */
  tick(sleepMaxMs = SLEEP_MAX_MS): number {
    const kernel = this.kernel;
    // The time is that of the last tick; a deadline that has passed since then only shortens the sleep.
    const sleepMs = this.#ticks.length > 0 ? 0 : this.#timerWheel.waitMs(this.#now, sleepMaxMs);
    const count = kernel.poll(sleepMs);
    this.#now = kernel.now();
    this.#isTicking = true;
    this.#round++;
    this.#reports = Math.max(0, count);
    for (let i = 0; i < count; i++) {
      this.#report = i;
      const fd = kernel.eventFd(i);
      const watcher = this.#watchers[fd];
      if (watcher === undefined || this.#marks[fd] !== kernel.eventMark(i)) continue;
      try {
        watcher.ready(fd, kernel.eventFlags(i));
      } catch (error) {
        reportBug(error, watcher);
      }
    }
    this.#report = this.#reports = 0;
    if (count > this.#postponed) this.#promptAt = this.#now;
    this.#postponed = 0;
    this.#timerWheel.advance(this.#now);
    this.#runTicks();
    this.#isTicking = false;
    return count;
  }

  #runTicks(): void {
    const ticks = this.#ticks;
    const count = ticks.length; // those that are queued meanwhile come later
    const end = this.#now + TICKS_MS;
    let ran = 0;
    while (ran < count) {
      const tick = ticks[ran++]!;
      tick.queued = false;
      try {
        tick.run();
      } catch (error) {
        reportBug(error, tick);
      }
      if (ran < count && this.kernel.now() >= end) break;
    }
    if (ran === 0) return;
    ticks.copyWithin(0, ran);
    ticks.length -= ran;
  }
}

function reportBug(error: unknown, culprit: Watcher | Tick | Timed | BugHandler): void {
  if (!("onBug" in culprit)) throw error;
  culprit.onBug(error);
}
