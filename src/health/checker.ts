/**
 * Asks every upstream how it is, on a schedule, and posts what it hears. Decides nothing: what a
 * failure means is the machine's business.
 *
 * The interval counts from the start of one question to the start of the next: what a silent upstream
 * takes for its deadline is not added to it. A question that takes longer than the interval is followed
 * by the next at once, never overlapped by it.
 *
 * A question may take seconds: a check program does. Who wants to know at once gets the connection
 * asked beside it: if that is turned away, it is the answer, and the slow question is called off.
 */
import type { Clock } from "../base/clock.ts";
import { formatDuration } from "../base/duration.ts";
import type { Checks, Probe, ProbeContext, ProbeResult } from "../failover/ports.ts";
import type { Upstream } from "../failover/upstream.ts";
import { unlessStill } from "./standing.ts";

export interface CheckerSettings {
  readonly upstreams: readonly Upstream[];
  readonly probe: Probe;
  /** The quick part of `probe`: whether the upstream accepts at all. Asked beside one under way. */
  readonly connection: Probe;
  /** From one question to the next, in the steady pace. */
  readonly intervalMs: number;
  /** The same while a verdict is in doubt; the shorter of the two holds. */
  readonly doubtMs: number;
  /** A probe that says nothing for so long breaks its contract: it counts as silent and is left. */
  readonly probeMaxMs: number;
}

/** The world as the checker is handed it. */
export interface CheckerContext {
  readonly clock: Clock;
  /** At least 0, less than 1. */
  readonly random: () => number;
  /** What a check program may know when asked about an upstream, asked for at each probe. */
  readonly context: (upstream: string) => ProbeContext;
  /** The machine's stage, asked for at each probe and posted with its result. */
  readonly stage: () => number;
  /** Given each result, in order; may call `now` and `pace` back. */
  readonly post: (upstream: string, result: ProbeResult, stage: number) => void;
}

type Pace = Parameters<Checks["pace"]>[1];

/** Part of the interval by which each wait differs, so that proxies do not march in step. */
const JITTER = 0.05;

/** Probes from the moment it is made until it is disposed of. */
export class Checker implements Checks, AsyncDisposable {
  /** Resolves after disposal; rejects if a probe or `post` threw, which is a bug. */
  readonly finished: Promise<void>;
  readonly #schedules: ReadonlyMap<string, Schedule>;

  constructor(settings: CheckerSettings, context: CheckerContext) {
    const schedules = settings.upstreams.map((upstream) =>
      [upstream.name, new Schedule(upstream, settings, context)] as const
    );
    this.#schedules = new Map(schedules);
    this.finished = Promise.all(schedules.map(([, schedule]) => schedule.finished)).then(() => {});
  }

  now(upstream: string): void {
    this.#of(upstream).askNow();
  }

  pace(upstream: string, pace: Pace): void {
    this.#of(upstream).setPace(pace);
  }

  /** When the next question is due, by the clock's `now`; undefined while one is under way. */
  nextAt(upstream: string): number | undefined {
    return this.#of(upstream).dueAt;
  }

  /** Calls off the probes under way and waits for them; nothing is posted after this was called. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const schedule of this.#schedules.values()) schedule.stop();
    await this.finished;
  }

  #of(upstream: string): Schedule {
    const schedule = this.#schedules.get(upstream);
    if (schedule === undefined) throw new Error(`No upstream is named "${upstream}"`);
    return schedule;
  }
}

/** The questions to one upstream: ask, post, rest, and again. */
class Schedule {
  /** Resolves after `stop`; rejects if a probe or `post` threw. */
  readonly finished: Promise<void>;
  /** When the rest is over; undefined while a question is under way. */
  dueAt: number | undefined;
  readonly #upstream: Upstream;
  readonly #settings: CheckerSettings;
  readonly #context: CheckerContext;
  #pace: Pace = "steady";
  #stopped = false;
  #startedAt = 0;
  /** The machine's stage when the question was put whose answer is awaited. */
  #stage = 0;
  /** True from a wish for a question until that question begins. */
  #wanted = false;
  #probing = new AbortController();
  /** Asks for the connection, once, beside the question under way; undefined while there is none. */
  #askBeside: (() => void) | undefined;
  /** Set while resting. */
  #rest: { readonly wake: () => void; cancelTimer: () => void } | undefined;

  constructor(upstream: Upstream, settings: CheckerSettings, context: CheckerContext) {
    this.#upstream = upstream;
    this.#settings = settings;
    this.#context = context;
    // Not before our maker is done: whoever gets the results is made after us.
    this.finished = Promise.resolve().then(() => this.#live());
  }

  askNow(): void {
    this.#wanted = true;
    this.#rest?.wake();
    this.#askBeside?.();
  }

  setPace(pace: Pace): void {
    if (pace === this.#pace) return;
    this.#pace = pace;
    if (this.#rest === undefined) return;
    this.#rest.cancelTimer();
    this.#rest.cancelTimer = this.#setTimer(this.#rest.wake);
  }

  stop(): void {
    this.#stopped = true;
    this.#askBeside = undefined;
    this.#probing.abort();
    this.askNow();
  }

  async #live(): Promise<void> {
    while (!this.#stopped) {
      this.#wanted = false;
      this.#startedAt = this.#context.clock.now();
      this.#stage = this.#context.stage();
      const result = await this.#ask();
      if (this.#stopped) return;
      this.#context.post(
        this.#upstream.name,
        this.#wanted ? { ...result, overtaken: true } : result,
        this.#stage,
      );
      if (!this.#wanted) await this.#restUntilDue();
    }
  }

  async #ask(): Promise<ProbeResult> {
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
    const turnedAway = Promise.withResolvers<ProbeResult>();
    const over = new AbortController();
    this.#askBeside = () => {
      this.#askBeside = undefined;
      this.#turnedAway(over.signal).then((result) => {
        turnedAway.resolve(result);
        this.#probing.abort();
      }, turnedAway.reject);
    };
    try {
      const answer = probe(this.#upstream, context(this.#upstream.name), this.#probing.signal);
      return unlessStill(
        await Promise.race([answer, overdue.promise, turnedAway.promise]),
        probeMaxMs,
      );
    } finally {
      this.#askBeside = undefined;
      over.abort();
      cancelTimer();
    }
  }

  /** Resolves only if the connection was turned away: anything else is for the whole question to say. */
  async #turnedAway(over: AbortSignal): Promise<ProbeResult> {
    const { connection } = this.#settings;
    const stage = this.#context.stage();
    const context = this.#context.context(this.#upstream.name);
    const result = await connection(this.#upstream, context, over);
    if (over.aborted || result.evidence !== "refused") return await new Promise(() => {});
    // This is as new an answer as was wished for.
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

  /** Sets the timer for the next question, which is due since `#startedAt`. */
  #setTimer(wake: () => void): () => void {
    const { intervalMs, doubtMs } = this.#settings;
    const { clock, random } = this.#context;
    const paceMs = this.#pace === "steady" ? intervalMs : Math.min(intervalMs, doubtMs);
    const jitter = 1 + JITTER * (2 * random() - 1);
    this.dueAt = this.#startedAt + paceMs * jitter;
    return clock.after(this.dueAt - clock.now(), wake);
  }
}
