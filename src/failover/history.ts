/**
 * What the probes of one service said lately, per upstream, and how often they passed and failed. For
 * reports only: the machine decides by `health.ts` and never looks here.
 */
import type { Clock } from "../base/clock.ts";
import type { ProbeResult } from "./ports.ts";
import type { Upstream } from "./upstream.ts";

/** A probe's answer and when it came. */
export interface Answer extends ProbeResult {
  /** Milliseconds since 1970. */
  readonly time: number;
}

/** The record of one upstream. */
export interface UpstreamHistory {
  /** The last answers, oldest first. */
  readonly answers: readonly Answer[];
  /** How many passed since the start. */
  readonly passed: number;
  /** How many failed since the start. */
  readonly failed: number;
  /** How many gave no verdict since the start. */
  readonly unheard: number;
  /** How many verdicts of the same kind as the last came in a row, the last included. */
  readonly run: number;
}

/** Answers kept per upstream. */
export const ANSWERS_MAX = 10;

const NOTHING: UpstreamHistory = { answers: [], passed: 0, failed: 0, unheard: 0, run: 0 };

export class History {
  readonly #clock: Clock;
  readonly #of: Map<string, UpstreamHistory>;

  constructor(upstreams: readonly Upstream[], clock: Clock) {
    this.#clock = clock;
    this.#of = new Map(upstreams.map(({ name }) => [name, NOTHING]));
  }

  add(upstream: string, result: ProbeResult): void {
    const before = this.of(upstream);
    const answers = [...before.answers, { ...result, time: this.#clock.wall() }];
    const kept = { ...before, answers: answers.slice(-ANSWERS_MAX) };
    if (result.evidence === "none") {
      this.#of.set(upstream, { ...kept, unheard: before.unheard + 1 });
      return;
    }
    const last = before.answers.findLast(({ evidence }) => evidence !== "none");
    const counted = result.passed ? "passed" : "failed";
    const run = last?.passed === result.passed ? before.run + 1 : 1;
    this.#of.set(upstream, { ...kept, [counted]: before[counted] + 1, run });
  }

  of(upstream: string): UpstreamHistory {
    return this.#of.get(upstream) ?? NOTHING;
  }
}
