/**
 * The drains under way, one for each upstream: its sessions get their grace, then a reset. On soft
 * evidence those that still move bytes are spared and looked at again, until none is left or the upstream
 * is known to be well.
 */
import type { Event } from "../../events/events.ts";
import type { DrainOrder } from "../../failover/ports.ts";
import type { Loop } from "../../linux/loop.ts";
import { NEVER, type Timed } from "../../linux/timer_wheel.ts";
import { COUNT, type Counters } from "./counters.ts";
import type { Session } from "./session.ts";

export interface Drained {
  readonly loop: Loop;
  readonly counters: Counters;
  readonly publish: (event: Event) => void;
  /** All there are; a cut takes itself out of it. */
  readonly sessions: readonly Session[];
}

export class Drains {
  readonly #plane: Drained;
  readonly #of = new Map<string, Drain>();

  constructor(plane: Drained) {
    this.#plane = plane;
  }

  /** How many are under way. */
  get size(): number {
    return this.#of.size;
  }

  /** True for a joined session that the order is about. */
  static concerns(order: DrainOrder, session: Session): boolean {
    return session.phase === "joined" && session.upstreamName === order.upstream &&
      session.epoch <= order.throughEpoch;
  }

  /** Begins a drain in the place of the one that the upstream had. */
  begin(order: DrainOrder): void {
    const { upstream, graceMs } = order;
    const { loop } = this.#plane;
    const older = this.#of.get(upstream);
    if (older !== undefined) {
      loop.cancel(older);
      // What was decided by hard evidence is not undone, nor put off once more.
      if (!older.order.revocable) older.expire(loop.now);
    }
    const drain = new Drain(order, this.#plane, () => {
      if (this.#of.get(upstream) === drain) this.#of.delete(upstream);
    });
    this.#of.set(upstream, drain);
    if (graceMs > 0) loop.after(drain, graceMs);
    else drain.expire(loop.now);
  }

  /** Calls off the drain of an upstream if that may be. */
  spare(upstream: string): void {
    const drain = this.#of.get(upstream);
    if (drain === undefined || !drain.order.revocable) return;
    this.#plane.loop.cancel(drain);
    this.#of.delete(upstream);
  }
}

class Drain implements Timed {
  due = NEVER;
  next: Timed | undefined;
  previous: Timed | undefined;
  readonly order: DrainOrder;
  readonly #plane: Drained;
  readonly #ended: () => void;
  #isFirst = true;

  constructor(order: DrainOrder, plane: Drained, ended: () => void) {
    this.order = order;
    this.#plane = plane;
    this.#ended = ended;
  }

  expire(now: number): void {
    const { upstream, sparedIfMovedMs, reason } = this.order;
    const { loop, counters, publish, sessions } = this.#plane;
    let count = 0;
    let kept = 0;
    for (const session of sessions.filter((session) => Drains.concerns(this.order, session))) {
      if (sparedIfMovedMs !== undefined && now - session.lastMoved < sparedIfMovedMs) kept++;
      else {
        session.cut();
        count++;
      }
    }
    counters[COUNT.cut]! += count;
    if (count > 0 || (this.#isFirst && kept > 0)) {
      publish({ type: "sessions.cut", upstream, count, kept, reason });
    }
    this.#isFirst = false;
    if (kept > 0) loop.after(this, sparedIfMovedMs!);
    else this.#ended();
  }
}
