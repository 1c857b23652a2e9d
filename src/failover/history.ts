/**
 * The last check results of each upstream of a service, and how many passed and failed. It is for reports
 * only: the machine decides by `health.ts`.
 */
import type { Clock } from "../base/clock.ts";
import { Histogram } from "../base/histogram.ts";
import type { ProbeResult } from "./ports.ts";
import type { Upstream } from "./upstream.ts";

/** A check result and when it arrived. */
export interface RecordedResult extends ProbeResult {
  /** Milliseconds since 1970. */
  readonly time: number;
}

/** The record of one upstream. */
export interface UpstreamHistory {
  /** The last results, oldest first. */
  readonly answers: readonly RecordedResult[];
  /** How many passed since the start. */
  readonly passed: number;
  /** How many failed since the start. */
  readonly failed: number;
  /** How many gave no verdict since the start. */
  readonly noVerdict: number;
  /** The number of consecutive verdicts equal to the last one, which is included. */
  readonly run: number;
}

/** Results kept for each upstream. */
export const ANSWERS_MAX = 10;

/** Upper bounds of the buckets for the durations of checks, in seconds. */
const DURATION_BOUNDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const NOTHING: UpstreamHistory = { answers: [], passed: 0, failed: 0, noVerdict: 0, run: 0 };

/** Counts from the moment it is made; keeps `ANSWERS_MAX` results for each upstream. */
export class History {
  readonly #clock: Clock;
  #of: Map<string, UpstreamHistory> = new Map();
  #durations: ReadonlyMap<string, Histogram> = new Map();

  constructor(upstreams: readonly Upstream[], clock: Clock) {
    this.#clock = clock;
    this.list(upstreams);
  }

  /** Changes the list. The records of upstreams that stay are kept, and those of others forgotten. */
  list(upstreams: readonly Upstream[]): void {
    const [of, durations] = [this.#of, this.#durations];
    const names = upstreams.map(({ name }) => name);
    this.#of = new Map(names.map((name) => [name, of.get(name) ?? NOTHING]));
    this.#durations = new Map(
      names.map((name) => [name, durations.get(name) ?? new Histogram(DURATION_BOUNDS)]),
    );
  }

  /** Adds one result, with the present time. */
  add(upstream: string, result: ProbeResult): void {
    if (!this.#of.has(upstream)) return; // a check of one that was removed meanwhile
    const before = this.of(upstream);
    const answers = [...before.answers, { ...result, time: this.#clock.wall() }];
    const kept = { ...before, answers: answers.slice(-ANSWERS_MAX) };
    if (result.evidence === "no_verdict") {
      this.#of.set(upstream, { ...kept, noVerdict: before.noVerdict + 1 });
      return;
    }
    this.#durations.get(upstream)?.add(result.tookMs);
    const last = before.answers.findLast(({ evidence }) => evidence !== "no_verdict");
    const counted = result.passed ? "passed" : "failed";
    const run = last?.passed === result.passed ? before.run + 1 : 1;
    this.#of.set(upstream, { ...kept, [counted]: before[counted] + 1, run });
  }

  /** The record of one upstream; empty if it has no result yet. */
  of(upstream: string): UpstreamHistory {
    return this.#of.get(upstream) ?? NOTHING;
  }

  /** How long the checks of an upstream took that gave a verdict; undefined for an unknown upstream. */
  durations(upstream: string): Histogram | undefined {
    return this.#durations.get(upstream);
  }
}
