/**
 * Distinguishes a thread that hangs from one that is busy, and from one that gets no CPU time. A thread hangs if
 * one tick of its loop has used much CPU time and has not ended. Nothing is done about a thread that does not run
 * because the machine is overloaded or the process was stopped.
 */
import { ProcessLibc } from "../linux/process_libc.ts";
import { BEAT, BEATS, type SharedCounters, THREAD_ID } from "./memory.ts";

/** The result of one check. After `dead` the thread must be ended. */
export type Finding =
  | { readonly is: "alive" }
  /** It has not run for `forMs` milliseconds; returned once. */
  | { readonly is: "starved"; readonly forMs: number }
  | { readonly is: "dead"; readonly reason: string };

/** A thread that has not run for this time, in milliseconds, is starved. */
const STARVED_MS = 10_000;
/** How long a new thread may take until it has written its number, in milliseconds. */
const START_MAX_MS = 60_000;

const ALIVE: Finding = { is: "alive" };

interface Still {
  readonly beat: number;
  readonly since: number;
  readonly cpuMs: number;
  isSaid: boolean;
}

/** Watches one thread through its heartbeat in shared memory. */
export class ThreadWatchdog implements Disposable {
  readonly #libc = new ProcessLibc();
  readonly #beats: SharedCounters;
  readonly #at: number;
  readonly #hangCpuMs: number;
  /** Set while the loop has not ticked since the last look. */
  #still: Still | undefined;
  #isOver = false;

  /** `hangCpuMs`: CPU time of one tick, in milliseconds, after which it hangs. */
  constructor(beats: SharedCounters, thread: number, hangCpuMs: number) {
    this.#beats = beats;
    this.#at = thread * BEATS;
    this.#hangCpuMs = hangCpuMs;
  }

  /** A new thread begins. */
  reset(): void {
    this.#beats[this.#at + THREAD_ID] = 0;
    this.#still = undefined;
    this.#isOver = false;
  }

  /** Looks at the thread. `now` is in milliseconds. After `dead` it is always `alive`, until `reset`. */
  check(now: number): Finding {
    if (this.#isOver) return ALIVE;
    const beat = this.#beats[this.#at + BEAT]!;
    const threadId = this.#beats[this.#at + THREAD_ID]!;
    const cpuMs = threadId === 0 ? 0 : this.#libc.cpuMs(threadId);
    if (cpuMs === undefined) return this.#dead("it ended without a report");
    const still = this.#still;
    if (still?.beat !== beat) {
      this.#still = { beat, since: now, cpuMs, isSaid: false };
      return ALIVE;
    }
    const forMs = now - still.since;
    if (threadId === 0 && forMs > START_MAX_MS) return this.#dead("it does not start");
    if (cpuMs - still.cpuMs >= this.#hangCpuMs) return this.#dead("its loop hangs");
    if (forMs < STARVED_MS || still.isSaid) return ALIVE;
    still.isSaid = true;
    return { is: "starved", forMs };
  }

  [Symbol.dispose](): void {
    this.#libc[Symbol.dispose]();
  }

  #dead(reason: string): Finding {
    this.#isOver = true;
    return { is: "dead", reason };
  }
}
