/**
 * The exchanges that an upstream is working on: so that they can be ended when it goes down, when they
 * are silent for too long, or when the time to drain is up. Whether one still moves is looked at once a
 * tick for all of them together, so that a byte on its way costs nothing.
 */
import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import { type Member, Slab } from "../base/slab.ts";
import type { Publish } from "../events/events.ts";
import type { DrainOrder } from "../failover/ports.ts";
import type { Deadlines, Timed } from "../net/deadlines.ts";

/** One attempt of an exchange, from its request on. */
export interface Drainable extends Member {
  /** How often it had moved when last looked at, and when that had changed; set here. */
  count: number;
  at: number;
  readonly upstream: string;
  /** The decision it was begun under. */
  readonly epoch: number;
  /** Grows with every byte that moves either way. */
  moved(): number;
  /** Ends it; what it becomes then is decided by the ledger. */
  cut(fault: Fault): void;
}

/** A drain under way. */
interface Drain {
  readonly order: DrainOrder;
  cancel: () => void;
}

export class Running implements Timed {
  place = -1;
  readonly #clock: Clock;
  readonly #deadlines: Deadlines;
  readonly #publish: Publish;
  readonly #idleMs: number;
  readonly #attempts = new Slab<Drainable>();
  /** One for each upstream that has attempts to end. */
  readonly #drains = new Map<string, Drain>();
  #cut = 0;

  /** `idleMs`: an attempt in which no byte moves for so long is ended; 0 is never. */
  constructor(clock: Clock, deadlines: Deadlines, publish: Publish, idleMs: number) {
    this.#clock = clock;
    this.#deadlines = deadlines;
    this.#publish = publish;
    this.#idleMs = idleMs;
  }

  get size(): number {
    return this.#attempts.size;
  }

  /** Attempts ended because their upstream went down. */
  get cut(): number {
    return this.#cut;
  }

  add(attempt: Drainable): void {
    if (this.#attempts.size === 0) this.#deadlines.add(this);
    attempt.count = 0;
    attempt.at = this.#deadlines.now;
    this.#attempts.add(attempt);
  }

  delete(attempt: Drainable): void {
    if (this.#attempts.delete(attempt) && this.#attempts.size === 0) this.#deadlines.delete(this);
  }

  tick(now: number): void {
    for (const attempt of this.#attempts.all()) {
      const count = attempt.moved();
      if (count !== attempt.count) {
        attempt.count = count;
        attempt.at = now;
      } else if (this.#idleMs > 0 && now - attempt.at > this.#idleMs) {
        attempt.cut(new Fault("idleTimeout"));
      }
    }
  }

  /** Ends attempts as ordered, after their grace; in the place of an older order for the upstream. */
  drain(order: DrainOrder): void {
    const { upstream, graceMs } = order;
    const older = this.#drains.get(upstream);
    older?.cancel();
    // What was decided by hard evidence is not undone, nor put off once more.
    if (older?.order.revocable === false) this.#drainNow(older, true);
    const drain: Drain = { order, cancel: () => {} };
    this.#drains.set(upstream, drain);
    if (graceMs > 0) this.#drainLater(drain, graceMs, true);
    else this.#drainNow(drain, true);
  }

  /** Calls off the drain of an upstream if that may be. */
  spare(upstream: string): void {
    const drain = this.#drains.get(upstream);
    if (!drain?.order.revocable) return;
    drain.cancel();
    this.#drains.delete(upstream);
  }

  #drainNow(drain: Drain, first: boolean): void {
    const { upstream, throughEpoch, sparedIfMovedMs, reason } = drain.order;
    const isSpared = (attempt: Drainable) =>
      sparedIfMovedMs !== undefined &&
      (attempt.at > this.#deadlines.now - sparedIfMovedMs || attempt.moved() !== attempt.count);
    let count = 0;
    let kept = 0;
    for (const attempt of this.#attempts.all()) {
      if (attempt.upstream !== upstream || attempt.epoch > throughEpoch) continue;
      if (isSpared(attempt)) kept++;
      else {
        count++;
        attempt.cut(new Fault("upstreamDown", reason));
      }
    }
    this.#cut += count;
    if (count > 0 || (first && kept > 0)) {
      this.#publish({ type: "sessions.cut", upstream, count, kept, reason });
    }
    if (kept > 0) this.#drainLater(drain, sparedIfMovedMs!, false);
    else if (this.#drains.get(upstream) === drain) this.#drains.delete(upstream);
  }

  #drainLater(drain: Drain, ms: number, first: boolean): void {
    drain.cancel = this.#clock.after(ms, () => this.#drainNow(drain, first));
  }

  /** Forgets the drains that are still to come. */
  close(): void {
    for (const { cancel } of this.#drains.values()) cancel();
    this.#drains.clear();
  }
}
