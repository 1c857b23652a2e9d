/**
 * Checks every upstream on a schedule and posts the results. It decides nothing: the failover machine
 * judges the results.
 *
 * The interval counts from the start of one check to the start of the next, so the time-out of a silent
 * upstream is not added to it. If a check takes longer than the interval, the next one begins as soon as
 * it has ended; two checks of one upstream never overlap.
 *
 * A check program may take seconds. If the machine wants a result at once meanwhile, a connection is
 * tried beside the check: if it is refused, that is the result, and the slow check is cancelled.
 */
import type { Clock } from "../base/clock.ts";
import { formatDuration } from "../base/duration.ts";
import type { Checks, Probe, ProbeContext, ProbeResult } from "../failover/ports.ts";
import type { Upstream } from "../failover/upstream.ts";
import { unlessStoodStill } from "./standstill.ts";

/** What is checked, and how often. */
export interface CheckerSettings {
  readonly upstreams: readonly Upstream[];
  readonly probe: Probe;
  /** Says what `probe` checks: with another text, a check that is under way begins anew. */
  readonly probeKey?: string;
  /** The quick part of `probe`: whether the upstream accepts connections. It may run beside `probe`. */
  readonly connection: Probe;
  /** The interval in milliseconds, at the steady pace. */
  readonly intervalMs: number;
  /** The interval in milliseconds while a verdict is in doubt, if it is shorter than `intervalMs`. */
  readonly doubtMs: number;
  /** A probe that takes longer, in milliseconds, breaks its contract: it counts as silent. */
  readonly probeMaxMs: number;
}

/** What the checker needs from its owner. */
export interface CheckerContext {
  readonly clock: Clock;
  /** Returns a number from 0 up to, but not including, 1. */
  readonly random: () => number;
  /** Returns what a check program learns about the state. Called for each check of an upstream. */
  readonly context: (upstream: string) => ProbeContext;
  /** Returns the machine's stage. Called for each check and posted with its result. */
  readonly stage: () => number;
  /** Receives each result, in order; it may call `now` and `pace`. */
  readonly post: (upstream: string, result: ProbeResult, stage: number) => void;
}

type Pace = Parameters<Checks["pace"]>[1];

/** The part of the interval by which it varies, so that several proxies do not check in step. */
export const JITTER = 0.05;
/** The usual interval between two checks, in milliseconds, while a verdict is in doubt. */
export const DOUBT_MS = 500;

/** Checks from the moment it is made until it is disposed of. */
export class Checker implements Checks, AsyncDisposable {
  /** Resolves after disposal; rejects if a probe or `post` threw, which is a bug. */
  readonly finished: Promise<void>;
  readonly #ended = Promise.withResolvers<void>();
  readonly #schedules = new Map<string, Schedule>();
  /** Schedules of upstreams that were removed, whose last checks have not ended yet. */
  readonly #ending = new Set<Schedule>();

  constructor(settings: CheckerSettings, context: CheckerContext) {
    this.finished = this.#ended.promise;
    // The owner may await it later.
    this.finished.catch(() => {});
    this.configure(settings, context);
  }

  /**
   * Changes what is checked, and how. Upstreams that stay keep their pace and the check that is under way; a new one
   * is checked at once, and of one that is gone nothing is posted any more.
   */
  configure(settings: CheckerSettings, context: CheckerContext): void {
    const names = new Set(settings.upstreams.map(({ name }) => name));
    for (const [name, schedule] of this.#schedules) {
      if (names.has(name)) continue;
      this.#schedules.delete(name);
      this.#ending.add(schedule);
      schedule.stop();
    }
    for (const upstream of settings.upstreams) {
      const schedule = this.#schedules.get(upstream.name);
      if (schedule !== undefined) schedule.configure(upstream, settings, context);
      else this.#begin(new Schedule(upstream, settings, context), upstream.name);
    }
  }

  #begin(schedule: Schedule, name: string): void {
    this.#schedules.set(name, schedule);
    schedule.finished.then(() => this.#ending.delete(schedule), this.#ended.reject);
  }

  /** Does nothing for an upstream that was removed. */
  now(upstream: string): void {
    this.#schedules.get(upstream)?.checkNow();
  }

  /** Does nothing for an upstream that was removed. */
  pace(upstream: string, pace: Pace): void {
    this.#schedules.get(upstream)?.setPace(pace);
  }

  /** When the next check is due, by the clock's `now`; undefined while one is under way. */
  nextAt(upstream: string): number | undefined {
    return this.#schedules.get(upstream)?.dueAt;
  }

  /** Cancels the checks under way and waits until they have ended. Nothing is posted any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    const schedules = [...this.#schedules.values(), ...this.#ending];
    for (const schedule of schedules) schedule.stop();
    await Promise.all(schedules.map(({ finished }) => finished));
    this.#ended.resolve();
  }
}

/** The checks of one upstream: check, post the result, wait until the next one is due. */
class Schedule {
  /** Resolves after `stop`; rejects if a probe or `post` threw. */
  readonly finished: Promise<void>;
  /** When the next check is due; undefined while one is under way. */
  dueAt: number | undefined;
  #upstream: Upstream;
  #settings: CheckerSettings;
  #context: CheckerContext;
  #pace: Pace = "steady";
  #stopped = false;
  #startedAt = 0;
  /** The machine's stage when the check under way began. */
  #stage = 0;
  /** True from a request for a check until that check begins. */
  #wanted = false;
  /** The check under way is not the one that the settings ask for. */
  #isOutdated = false;
  #probing = new AbortController();
  /** Tries a connection, once, beside the check under way; undefined while there is none. */
  #connectBeside: (() => void) | undefined;
  /** Set while waiting until the next check is due. */
  #rest: { readonly wake: () => void; cancelTimer: () => void } | undefined;

  constructor(upstream: Upstream, settings: CheckerSettings, context: CheckerContext) {
    this.#upstream = upstream;
    this.#settings = settings;
    this.#context = context;
    // It begins after the constructor of the owner has returned, because `post` uses an object that is made later.
    this.finished = Promise.resolve().then(() => this.#live());
  }

  checkNow(): void {
    this.#wanted = true;
    this.#rest?.wake();
    this.#connectBeside?.();
  }

  /**
   * The time of the next check follows the new interval. A check that is under way goes on, unless it would not be the
   * same now: it may hang for as long as the old options allow.
   */
  configure(upstream: Upstream, settings: CheckerSettings, context: CheckerContext): void {
    if (settings.probeKey !== this.#settings.probeKey && this.#rest === undefined) {
      this.#isOutdated = true;
      this.#connectBeside = undefined;
      this.#probing.abort();
    }
    const isSamePace = settings.intervalMs === this.#settings.intervalMs &&
      settings.doubtMs === this.#settings.doubtMs;
    this.#upstream = upstream;
    this.#settings = settings;
    this.#context = context;
    if (!isSamePace) this.#setTimerAgain();
  }

  setPace(pace: Pace): void {
    if (pace === this.#pace) return;
    this.#pace = pace;
    this.#setTimerAgain();
  }

  #setTimerAgain(): void {
    if (this.#rest === undefined) return;
    this.#rest.cancelTimer();
    this.#rest.cancelTimer = this.#setTimer(this.#rest.wake);
  }

  stop(): void {
    this.#stopped = true;
    this.#connectBeside = undefined;
    this.#probing.abort();
    this.checkNow();
  }

  async #live(): Promise<void> {
    while (!this.#stopped) {
      this.#wanted = this.#isOutdated = false;
      this.#startedAt = this.#context.clock.now();
      this.#stage = this.#context.stage();
      const result = await this.#check();
      if (this.#stopped) return;
      if (this.#isOutdated) continue;
      this.#context.post(
        this.#upstream.name,
        this.#wanted ? { ...result, overtaken: true } : result,
        this.#stage,
      );
      if (!this.#wanted) await this.#restUntilDue();
    }
  }

  async #check(): Promise<ProbeResult> {
    const { clock, context } = this.#context;
    const { probe, probeMaxMs } = this.#settings;
    this.#probing = new AbortController();
    const overdue = Promise.withResolvers<ProbeResult>();
    const cancelTimer = clock.after(probeMaxMs, () => {
      const reason = `no answer from the check within ${formatDuration(probeMaxMs)}`;
      const tookMs = clock.now() - this.#startedAt;
      overdue.resolve({ passed: false, tookMs, reason, evidence: "silent" });
      this.#probing.abort();
    });
    const refused = Promise.withResolvers<ProbeResult>();
    // Made when it is needed, since an abort makes an error with a stack, which costs as much as a connection.
    let over: AbortController | undefined;
    this.#connectBeside = () => {
      this.#connectBeside = undefined;
      over = new AbortController();
      this.#refusal(over.signal).then((result) => {
        refused.resolve(result);
        this.#probing.abort();
      }, refused.reject);
    };
    try {
      const answer = probe(this.#upstream, context(this.#upstream.name), this.#probing.signal);
      return unlessStoodStill(
        await Promise.race([answer, overdue.promise, refused.promise]),
        probeMaxMs,
      );
    } finally {
      this.#connectBeside = undefined;
      over?.abort();
      cancelTimer();
    }
  }

  /** Resolves only if the connection is refused; in all other cases the whole check decides. */
  async #refusal(over: AbortSignal): Promise<ProbeResult> {
    const { connection } = this.#settings;
    const stage = this.#context.stage();
    const context = this.#context.context(this.#upstream.name);
    const result = await connection(this.#upstream, context, over);
    if (over.aborted || result.evidence !== "refused") return await new Promise(() => {});
    // This result is as recent as the request for it.
    this.#wanted = false;
    this.#stage = stage;
    return result;
  }

  async #restUntilDue(): Promise<void> {
    const rested = Promise.withResolvers<void>();
    this.#rest = { wake: rested.resolve, cancelTimer: this.#setTimer(rested.resolve) };
    await rested.promise;
    this.#rest.cancelTimer();
    this.#rest = undefined;
    this.dueAt = undefined;
  }

  /** Sets the timer for the next check. The interval counts from `#startedAt`. */
  #setTimer(wake: () => void): () => void {
    const { intervalMs, doubtMs } = this.#settings;
    const { clock, random } = this.#context;
    const paceMs = this.#pace === "steady" ? intervalMs : Math.min(intervalMs, doubtMs);
    const jitter = 1 + JITTER * (2 * random() - 1);
    this.dueAt = this.#startedAt + paceMs * jitter;
    return clock.after(this.dueAt - clock.now(), wake);
  }
}
