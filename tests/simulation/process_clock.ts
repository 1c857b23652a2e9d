/**
 * The clocks of a machine that may be suspended, and of a process on it that may be stopped or killed, in the virtual
 * time of a world that goes on.
 */
import type { Clock, ManualClock } from "../../src/base/clock.ts";

/** In milliseconds. */
const RESOLUTION_MS = 0.001;

/** The clock of a machine, which stands still while the machine is suspended. */
export class MachineClock {
  readonly #world: ManualClock;
  #stoodMs = 0;
  #suspendedAt: number | undefined;
  #due: (() => void)[] = [];

  constructor(world: ManualClock) {
    this.#world = world;
  }

  now(): number {
    return (this.#suspendedAt ?? this.#world.now()) - this.#stoodMs;
  }

  get isSuspended(): boolean {
    return this.#suspendedAt !== undefined;
  }

  after(ms: number, callback: () => void): () => void {
    const dueAt = this.now() + ms;
    let cancel = () => {};
    let isCancelled = false;
    const run = () => {
      if (isCancelled) return;
      if (this.isSuspended) return this.#due.push(run);
      const leftMs = dueAt - this.now();
      if (leftMs > RESOLUTION_MS) cancel = this.#world.after(leftMs, run);
      else callback();
    };
    // Not shorter than a time that the clock can show.
    cancel = this.#world.after(ms > 0 ? Math.max(ms, RESOLUTION_MS) : 0, run);
    return () => {
      isCancelled = true;
      cancel();
    };
  }

  suspend(): void {
    this.#suspendedAt ??= this.#world.now();
  }

  goOn(): void {
    if (this.#suspendedAt === undefined) return;
    this.#stoodMs += this.#world.now() - this.#suspendedAt;
    this.#suspendedAt = undefined;
    const due = this.#due;
    this.#due = [];
    for (const run of due) this.#world.after(0, run);
  }
}

/** The clock of one process: its callbacks wait while it is stopped, and time goes on. */
export class ProcessClock implements Clock {
  readonly machine: MachineClock;
  readonly #world: ManualClock;
  #isStopped = false;
  #isDead = false;
  #due: (() => void)[] = [];
  /** How far its clock on the wall is ahead, in milliseconds. */
  skewMs = 0;

  constructor(world: ManualClock) {
    this.#world = world;
    this.machine = new MachineClock(world);
  }

  now(): number {
    return this.machine.now();
  }

  recent(): number {
    return this.machine.now();
  }

  wall(): number {
    return this.#world.wall() + this.skewMs;
  }

  after(ms: number, callback: () => void): () => void {
    let isCancelled = false;
    const run = () => {
      if (isCancelled || this.#isDead) return;
      if (this.#isStopped) this.#due.push(run);
      else callback();
    };
    const cancel = this.machine.after(ms, run);
    return () => {
      isCancelled = true;
      cancel();
    };
  }

  /** Whether nothing happens in it: it is stopped, or its machine is suspended. */
  get stands(): boolean {
    return this.#isStopped || this.machine.isSuspended;
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Everything that became due meanwhile runs now, in the order in which it became due. */
  goOn(): void {
    this.machine.goOn();
    this.#isStopped = false;
    const due = this.#due;
    this.#due = [];
    for (const run of due) this.#world.after(0, run);
  }

  kill(): void {
    this.#isDead = true;
  }
}
