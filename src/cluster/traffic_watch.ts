/** What the clients of this proxy experience with the active upstream, from what was seen in the last seconds. */
import type { Clock } from "../base/clock.ts";
import type { Traffic } from "../failover/cluster.ts";

/** How long what was seen counts, in milliseconds: several looks at the sessions. */
const LASTS_MS = 8_000;

/** The traffic of one upstream after another. */
export class TrafficWatch {
  readonly #clock: Clock;
  #upstream: string | undefined;
  #flowedAt = -Infinity;
  #failedAt = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
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
