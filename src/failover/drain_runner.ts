/**
 * Carries out drain orders, with the same rules in every data plane. There is at most one drain for each
 * upstream. Its sessions get their grace and are then cut. On soft evidence those that still move bytes
 * are spared and examined again, until none is left or the upstream proves to be well.
 *
 * It knows neither sockets nor threads: the data plane provides the sessions and a timer.
 */
import type { Event } from "../events/events.ts";
import type { DrainOrder } from "./ports.ts";

/** What a data plane provides for its drains. `S`: a session, or an exchange of HTTP. */
export interface DrainHost<S> {
  /** The sessions that an order concerns, in a list that does not change when one of them is cut. */
  concerned(order: DrainOrder): readonly S[];
  /** True if a byte of the session moved within the last `ms` milliseconds. */
  hasMoved(session: S, ms: number): boolean;
  /** Ends a session at once. */
  cut(session: S, order: DrainOrder): void;
  /** Calls `run` once, in `ms` milliseconds. Returns what cancels it. */
  after(ms: number, run: () => void): () => void;
  /** Adds to the sessions that were cut so far. */
  countCut(count: number): void;
  publish(event: Event): void;
}

interface Drain {
  readonly order: DrainOrder;
  /** Cancels the next sweep. */
  cancel: () => void;
  /** True until its first sweep. */
  isFirst: boolean;
}

function nothing(): void {}

/** The drains of one data plane. Bounded: at most one for each upstream, with one timer. */
export class DrainRunner<S> {
  readonly #host: DrainHost<S>;
  readonly #drains = new Map<string, Drain>();

  constructor(host: DrainHost<S>) {
    this.#host = host;
  }

  /** How many drains are under way. */
  get size(): number {
    return this.#drains.size;
  }

  /** The orders of the drains that are under way. */
  get orders(): readonly DrainOrder[] {
    return [...this.#drains.values()].map(({ order }) => order);
  }

  /** Begins a drain, which replaces the present one of the upstream. Without a grace it sweeps at once. */
  begin(order: DrainOrder): void {
    const { upstream, graceMs } = order;
    const older = this.#drains.get(upstream);
    older?.cancel();
    // A decision on hard evidence is neither revoked nor postponed.
    if (older?.order.revocable === false) this.#sweep(older);
    const drain: Drain = { order, cancel: nothing, isFirst: true };
    this.#drains.set(upstream, drain);
    if (graceMs > 0) this.#sweepLater(drain, graceMs);
    else this.#sweep(drain);
  }

  /** Cancels the drain of an upstream, if there is one and its order may be revoked. */
  spare(upstream: string): void {
    const drain = this.#drains.get(upstream);
    if (!drain?.order.revocable) return;
    drain.cancel();
    this.#drains.delete(upstream);
  }

  /** Cancels all drains. */
  close(): void {
    for (const { cancel } of this.#drains.values()) cancel();
    this.#drains.clear();
  }

  /** Cuts the sessions that are left; if the order says so, only those that have been silent. */
  #sweep(drain: Drain): void {
    const host = this.#host;
    const { order, isFirst } = drain;
    const { upstream, sparedIfMovedMs, reason } = order;
    drain.isFirst = false;
    let count = 0;
    let kept = 0;
    for (const session of host.concerned(order)) {
      if (sparedIfMovedMs !== undefined && host.hasMoved(session, sparedIfMovedMs)) kept++;
      else {
        count++;
        host.cut(session, order);
      }
    }
    host.countCut(count);
    if (count > 0 || (isFirst && kept > 0)) {
      host.publish({ type: "sessions.cut", upstream, count, kept, reason });
    }
    if (kept > 0) this.#sweepLater(drain, sparedIfMovedMs!);
    else if (this.#drains.get(upstream) === drain) this.#drains.delete(upstream);
  }

  #sweepLater(drain: Drain, ms: number): void {
    drain.cancel = this.#host.after(ms, () => this.#sweep(drain));
  }
}
