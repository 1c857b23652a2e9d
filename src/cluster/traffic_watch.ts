/** What the clients of this proxy experience with the active upstream, from what was seen in the last seconds. */
import type { Clock } from "../base/clock.ts";
import { settlesWithin } from "../base/deadline.ts";
import type { Traffic } from "../failover/cluster.ts";

/** How long what was seen counts, in milliseconds: several looks at the sessions. */
const LASTS_MS = 8_000;
/** How long one look at the sessions is awaited, in milliseconds. An answer that comes later counts from then on. */
const LOOK_MS = 200;

/** The traffic of one upstream after another. */
export class TrafficWatch {
  readonly #clock: Clock;
  #upstream: string | undefined;
  #flowedAt = -Infinity;
  #failedAt = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes the number of sessions of `upstream` that move bytes, when it comes. Resolves soon in any case. */
  async look(upstream: string, busy: Promise<number>): Promise<void> {
    const taken = busy.then((count) => {
      if (count > 0) this.flowed(upstream);
    });
    await settlesWithin(taken, LOOK_MS, this.#clock);
  }

  /** Sessions of `upstream` moved bytes. */
  flowed(upstream: string): void {
    this.#about(upstream);
    this.#flowedAt = this.#clock.now();
  }

  /** A connection of a client to `upstream` failed. */
  failed(upstream: string): void {
    this.#about(upstream);
    this.#failedAt = this.#clock.now();
  }

  /** The traffic of `upstream`. What was seen later counts more. */
  of(upstream: string | undefined): Traffic {
    if (upstream === undefined || upstream !== this.#upstream) return "none";
    const since = this.#clock.now() - LASTS_MS;
    if (Math.max(this.#flowedAt, this.#failedAt) < since) return "none";
    return this.#flowedAt > this.#failedAt ? "flows" : "fails";
  }

  #about(upstream: string): void {
    if (upstream === this.#upstream) return;
    this.#upstream = upstream;
    this.#flowedAt = this.#failedAt = -Infinity;
  }
}
