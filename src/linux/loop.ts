/**
 * The loop of one thread: waits in epoll, hands each change to whoever watches that descriptor, runs
 * deadlines, and gives those who used up their turn another one. Never yields to JavaScript's own event
 * loop, so no promise and no timer of the thread moves while it runs.
 *
 * epoll is edge-triggered and asked once per descriptor: a watcher that is told "readable" must remember
 * it until a read came back dry. Descriptor numbers are reused within a turn, hence the mark that tells a
 * late change for a closed descriptor from one for its successor.
 */
import type { Kernel } from "./kernel.ts";
import { type Timed, TimerWheel } from "./timer_wheel.ts";

export interface Watcher {
  /** `flags` is made of READABLE, WRITABLE … of `kernel.ts`. */
  ready(fd: number, flags: number): void;
}

/**
 * Can end itself after a bug in its own `ready`, `run` or `expire`, and lets the loop go on with the others.
 * What cannot ends the loop, which throws the bug on.
 */
export interface Breakable {
  broken(error: unknown): void;
}

/** Has work left although nothing new will be reported for it. */
export interface Tick {
  /** True while it waits for its turn; the loop's own. */
  queued: boolean;
  run(): void;
}

/** The longest sleep, and so how often a loop without traffic shows that it lives. */
const SLEEP_MAX_MS = 500;

export class Loop {
  readonly kernel: Kernel;
  readonly #watchers: (Watcher | undefined)[] = [];
  readonly #marks: number[] = [];
  readonly #timerWheel: TimerWheel;
  #ticks: Tick[] = [];
  #spare: Tick[] = [];
  #now: number;
  #round = 0;
  #watched = 0;
  #mark = 0;
  #stopped = false;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.#now = kernel.now();
    this.#timerWheel = new TimerWheel(this.#now, breakOff);
  }

  /** The time at the beginning of this turn: exact enough for deadlines, and free. */
  get now(): number {
    return this.#now;
  }

  /** The number of this turn. */
  get round(): number {
    return this.#round;
  }

  /** Descriptors that are watched. */
  get watched(): number {
    return this.#watched;
  }

  /** Tells `watcher` of changes of `fd` until `forget`; 0, or an error number negated. */
  watch(fd: number, watcher: Watcher): number {
    this.#mark = (this.#mark + 1) & 0x7fff_ffff;
    const result = this.kernel.watch(fd, this.#mark);
    if (result < 0) return result;
    while (this.#watchers.length <= fd) {
      this.#watchers.push(undefined);
      this.#marks.push(0);
    }
    this.#watchers[fd] = watcher;
    this.#marks[fd] = this.#mark;
    this.#watched++;
    return 0;
  }

  /** Hands what is reported of a watched `fd` to another from now on. */
  rewatch(fd: number, watcher: Watcher): void {
    this.#watchers[fd] = watcher;
  }

  /** To be called before `fd` is closed or handed on. */
  forget(fd: number): void {
    if (this.#watchers[fd] !== undefined) this.#watched--;
    this.#watchers[fd] = undefined;
  }

  /** Calls `timed.expire` once, `ms` from now or up to 16 ms later. */
  after(timed: Timed, ms: number): void {
    this.#timerWheel.set(timed, this.#now + ms);
  }

  /** The same with a moment of `now`. */
  at(timed: Timed, due: number): void {
    this.#timerWheel.set(timed, due);
  }

  cancel(timed: Timed): void {
    this.#timerWheel.clear(timed);
  }

  /** Runs `turn` again after everyone else had theirs. */
  again(tick: Tick): void {
    if (tick.queued) return;
    tick.queued = true;
    this.#ticks.push(tick);
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Runs until `stop`; `beat` is called once per turn, at least twice a second. */
  run(beat: () => void): void {
    while (!this.#stopped) {
      this.tick();
      beat();
    }
  }

  /** True when somebody waits for another turn. */
  get hasMore(): boolean {
    return this.#ticks.length > 0;
  }

  /** One turn: at most one sleep, then all that is ready. Returns how many changes there were. */
  tick(sleepMaxMs = SLEEP_MAX_MS): number {
    const kernel = this.kernel;
    // The clock moved since the last turn began; what came due meanwhile only shortens the sleep.
    const sleepMs = this.#ticks.length > 0 ? 0 : this.#timerWheel.waitMs(this.#now, sleepMaxMs);
    const count = kernel.poll(sleepMs);
    this.#now = kernel.now();
    this.#round++;
    for (let i = 0; i < count; i++) {
      const fd = kernel.eventFd(i);
      const watcher = this.#watchers[fd];
      if (watcher === undefined || this.#marks[fd] !== kernel.eventMark(i)) continue;
      try {
        watcher.ready(fd, kernel.eventFlags(i));
      } catch (error) {
        breakOff(error, watcher);
      }
    }
    this.#timerWheel.advance(this.#now);
    this.#runTicks();
    return count;
  }

  #runTicks(): void {
    const ticks = this.#ticks;
    this.#ticks = this.#spare;
    for (let i = 0; i < ticks.length; i++) {
      const tick = ticks[i]!;
      tick.queued = false;
      try {
        tick.run();
      } catch (error) {
        breakOff(error, tick);
      }
    }
    ticks.length = 0;
    this.#spare = ticks;
  }
}

function breakOff(error: unknown, culprit: Watcher | Tick | Timed | Breakable): void {
  if (!("broken" in culprit)) throw error;
  culprit.broken(error);
}
