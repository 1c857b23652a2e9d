/** What a service did in the last 24 hours: each change of its phase, of its upstream and of its admission. */
import type { Clock } from "../base/clock.ts";
import { activeOf, letsClientsThrough, type State } from "../failover/state.ts";

/** A change; what it says holds until the next one. */
export interface Change {
  /** ISO 8601. */
  readonly time: string;
  readonly phase: State["phase"]["name"];
  /** The upstream that gets new clients, or the fail-open target. */
  readonly upstream: string | null;
  /** Its place in the operator's list; 0 is the primary. */
  readonly rank: number | null;
  readonly admission: "open" | "holding" | "closed" | "failOpen";
  readonly paused: boolean;
}

interface KeptChange {
  /** By the clock's `now`. */
  readonly at: number;
  readonly change: Change;
}

const KEPT_MS = 24 * 3_600_000;
/** Most changes of one service; with more, the oldest are forgotten. */
export const CHANGES_MAX = 1_000;

/** The timeline of one service, in memory only: at most `CHANGES_MAX` changes. */
export class Timeline {
  readonly #clock: Clock;
  readonly #kept: KeptChange[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The last change before the last 24 hours, and those since then, oldest first. */
  get changes(): readonly Change[] {
    this.#forget();
    return this.#kept.map(({ change }) => change);
  }

  /** Takes a state; it is remembered if it differs from the one before. */
  note(state: State): void {
    const target = state.admission.is === "failOpen" ? state.admission.target : undefined;
    const upstream = activeOf(state)?.upstream.name ?? target ?? null;
    const { paused, phase } = state;
    const admission = letsClientsThrough(state) || state.held === undefined
      ? state.admission.is
      : "holding";
    const last = this.#kept.at(-1)?.change;
    const isSame = last?.phase === phase.name && last.upstream === upstream &&
      last.admission === admission && last.paused === (paused !== undefined);
    if (isSame) return;
    const rank = state.upstreams.find(({ name }) => name === upstream)?.rank ?? null;
    const time = new Date(this.#clock.wall()).toISOString();
    this.#kept.push({
      at: this.#clock.now(),
      change: { time, phase: phase.name, upstream, rank, admission, paused: paused !== undefined },
    });
    this.#forget();
  }

  #forget(): void {
    const since = this.#clock.now() - KEPT_MS;
    while (this.#kept.length > CHANGES_MAX || (this.#kept[1]?.at ?? Infinity) <= since) {
      this.#kept.shift();
    }
  }
}
