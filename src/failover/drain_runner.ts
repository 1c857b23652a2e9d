/**
 * Carries out drain orders, with the same rules in every data plane. There is at most one drain for each
 * upstream. Its sessions get their grace and are then cut. On soft evidence those that still move bytes
 * are spared and examined again, until none is left or the upstream proves to be well.
 *
 * It knows neither sockets nor threads: a data plane lends it its sessions and its timer.
 */
import type { Event } from "../events/events.ts";
import type { DrainOrder } from "./ports.ts";

/** What a data plane lends to its drains. `S`: a session, or an exchange of HTTP. */
export interface DrainHost<S> {
  /** The sessions that an order concerns, in a list that does not change when one of them is cut. */
  concerned(order: DrainOrder): readonly S[];
  /** True if a byte of the session moved within the last `ms` milliseconds. */
  hasMoved(session: S, ms: number): boolean;
  /** Ends a session at once. */
  cut(session: S, order: DrainOrder): void;
  /** Calls `run` once, in `ms` milliseconds. Returns what calls it off. */
  after(ms: number, run: () => void): () => void;
  /** Adds to the sessions that were cut so far. */
  countCut(count: number): void;
  publish(event: Event): void;
}

interface Drain {
  readonly order: DrainOrder;
  /** Calls the next sweep off. */
  cancel: () => void;
  /** No sweep of it has been made yet. */
  isFirst: boolean;
}

function nothing(): void {}

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

  /** Begins a drain, in the place of the one that the upstream had. Without a grace it sweeps at once. */
  begin(order: DrainOrder): void {
    const { upstream, graceMs } = order;
    const older = this.#drains.get(upstream);
    older?.cancel();
    // What was decided on hard evidence is neither undone nor put off once more.
    if (older?.order.revocable === false) this.#sweep(older);
    const drain: Drain = { order, cancel: nothing, isFirst: true };
    this.#drains.set(upstream, drain);
    if (graceMs > 0) this.#sweepLater(drain, graceMs);
    else this.#sweep(drain);
  }

  /** Calls off the drain of an upstream, if there is one and its order may be revoked. */
  spare(upstream: string): void {
    const drain = this.#drains.get(upstream);
    if (!drain?.order.revocable) return;
    drain.cancel();
    this.#drains.delete(upstream);
  }

  /** Calls off all drains. */
  close(): void {
    for (const { cancel } of this.#drains.values()) cancel();
    this.#drains.clear();
  }

  /** Cuts what is left; where the order says so, only what has been silent. */
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
