/** One service in all threads, as the main thread sees it: its orders, its reports, its counters and its stop. */
import { LogLimiter } from "../base/log_limiter.ts";
import type { Histogram } from "../base/histogram.ts";
import type { ThreadGroup } from "./thread_group.ts";
import {
  BUSY,
  holdTimesOf,
  moreCells,
  newServiceMemory,
  type ServiceMemory,
  type SharedCounters,
  sumCounters,
} from "./memory.ts";
import type { ShardOrder, ShardReport, ShardSpec } from "./messages.ts";
import { releaseAll } from "./shared_semaphore.ts";
import type { ThreadHandle } from "./thread_handle.ts";

/** What the threads need to know of a service. */
export interface ServiceSpec {
  /** Names the code of the shard. */
  readonly kind: string;
  /** Plain data for the shard. */
  readonly settings: unknown;
  /** The limits of the service over all threads. */
  readonly limits: readonly number[];
  /** How many numbers a shard needs beside its counters; none by default. */
  readonly more?: number;
  /** Receives each report but `stopped`, with the number of the thread that it comes from. */
  readonly onReport: (report: ShardReport, thread: number) => void;
  /** A thread died: corrects the shard's counters in it, and returns how many sessions it had. */
  readonly accountForDeath: (counters: Float64Array) => number;
}

/** Several threads report the same limit; it is published once in this time, in milliseconds. */
const LIMIT_TOLD_MS = 10_000;

/** How long a thread may take to cut its sessions, in milliseconds. */
const CUT_MS = 2_000;

/** One service, from `ThreadGroup.addService` until its stop has ended. */
export class ShardedService {
  readonly #id: number;
  readonly #spec: ServiceSpec;
  readonly #group: ThreadGroup;
  readonly #over: () => void;
  readonly #memory: ServiceMemory;
  #shardSpec: ShardSpec;
  /** The orders that a new thread gets, by what they are about. */
  readonly #standing = new Map<string, ShardOrder>();
  readonly #limits = new LogLimiter(LIMIT_TOLD_MS);
  /** Set while it stops: what ends the wait for each thread. */
  #ends: Map<number, (cut: number) => void> | undefined;

  #cancelCut: () => void = () => {};

  /** Made by `ThreadGroup.addService`. */
  constructor(id: number, spec: ServiceSpec, group: ThreadGroup, over: () => void) {
    this.#id = id;
    this.#spec = spec;
    this.#group = group;
    this.#over = over;
    const { kind, settings, limits, more } = spec;
    this.#memory = newServiceMemory(group.threads, limits, more);
    this.#shardSpec = { kind, settings, memory: this.#memory };
    group.sendAll({ service: id, spec: this.#shardSpec });
  }

  /** Each counter, summed over all threads (`sumCounters`). */
  counters<Name extends string>(names: readonly Name[]): Record<Name, number> {
    return sumCounters(names, this.#memory);
  }

  /** How long clients waited for an upstream. */
  holdTimes(): Histogram {
    return holdTimesOf(this.#memory);
  }

  /** What each shard counts beside its counters. */
  more(): readonly SharedCounters[] {
    return this.#memory.counters.map(moreCells);
  }

  /** An order to the shard in one thread only; nothing happens if that has died. */
  orderOne(thread: number, order: ShardOrder): void {
    this.#group.sendOne(thread, { service: this.#id, order });
  }

  /** The sum of what the threads counted by the last order to count. */
  busy(): number {
    return this.#memory.counters.reduce((sum, counters) => sum + counters[BUSY]!, 0);
  }

  /**
   * Resolves when the order is in force in all living threads. A thread that is started later gets the latest
   * order of each `topic`.
   */
  async order(order: ShardOrder, topic?: string): Promise<void> {
    if (topic !== undefined) this.stand(order, topic);
    await Promise.all(this.#group.sendAll({ service: this.#id, order }));
  }

  /** Resolves when other settings and limits are in force in all living threads; those started later get them, too. */
  async configure(settings: unknown, limits: readonly number[]): Promise<void> {
    const memory = {
      ...this.#memory,
      limits: this.#memory.limits.map((limit, at) => ({ ...limit, max: limits[at]! })),
    };
    this.#shardSpec = { ...this.#shardSpec, settings, memory };
    await this.order({ do: "configure", settings, limits });
  }

  /** Sets the order that a new thread gets about a topic. */
  stand(order: ShardOrder, topic: string): void {
    this.#standing.delete(topic); // so that it comes after those that were given before
    this.#standing.set(topic, order);
  }

  /** The latest order of a topic. */
  standing(topic: string): ShardOrder | undefined {
    return this.#standing.get(topic);
  }

  /** No thread that is started later gets the order of this topic. */
  withdraw(topic: string): void {
    this.#standing.delete(topic);
  }

  /**
   * Ends the shards of the service. `inForce` resolves when none of them uses the listening socket any more,
   * `ended` when all have ended, with the number of sessions cut. `isLeft`: as in the order `stop`.
   */
  stop(
    drainMs: number,
    isLeft = false,
  ): { readonly inForce: Promise<void>; readonly ended: Promise<number> } {
    const ends = this.#ends = new Map<number, (cut: number) => void>();
    const waits = this.#group.living.map((number) => {
      const { promise, resolve } = Promise.withResolvers<number>();
      ends.set(number, resolve);
      return promise;
    });
    const inForce = this.order({ do: "stop", drainMs, isLeft });
    const ended = Promise.all(waits).then((cuts) => {
      this.#cancelCut();
      this.#over();
      return cuts.reduce((sum, cut) => sum + cut, 0);
    });
    return { inForce, ended };
  }

  /** Ends all sessions of a stop that is under way. A thread that does not get to it is not waited for. */
  cutAll(): void {
    void this.order({ do: "cutAll" });
    this.#cancelCut();
    this.#cancelCut = this.#group.clock.after(CUT_MS, () => this.#ends?.forEach((end) => end(0)));
  }

  /** Called by the group: begins in a thread that was started. */
  enter(thread: ThreadHandle): void {
    if (this.#ends !== undefined) return;
    void thread.send({ service: this.#id, spec: this.#shardSpec });
    for (const order of this.#standing.values()) void thread.send({ service: this.#id, order });
  }

  /** Called by the group: a shard has sent a report. */
  onReport(thread: number, report: ShardReport): void {
    if (report.is === "stopped") return this.#ends?.get(thread)?.(report.cut);
    const { event } = report.is === "event" ? report : {};
    const isEcho = event?.type === "limit.reached" &&
      !this.#limits.allow(event.limit, this.#group.clock.now());
    if (!isEcho) this.#spec.onReport(report, thread);
  }

  /** Called by the group: a thread has died. Returns the number of its sessions that were this service's. */
  died(thread: number, wake: (thread: number) => void): number {
    const counters = this.#memory.counters[thread]!;
    const sessions = this.#spec.accountForDeath(counters);
    counters[BUSY] = 0;
    for (const { cells } of this.#memory.limits) releaseAll(cells, thread, wake);
    this.#ends?.get(thread)?.(0);
    return sessions;
  }
}
