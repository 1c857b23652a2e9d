/**
 * One drain order under way: its sessions get their grace, then a reset. On soft evidence those that
 * still move bytes are spared and looked at again, until none is left.
 */
import type { Event } from "../../events/events.ts";
import type { DrainOrder } from "../../failover/ports.ts";
import type { Loop } from "../../linux/loop.ts";
import { NEVER, type Timed } from "../../linux/wheel.ts";
import { COUNT, type Counters } from "./counters.ts";
import type { Session } from "./session.ts";

export interface Drained {
  readonly loop: Loop;
  readonly counters: Counters;
  readonly publish: (event: Event) => void;
  /** All there are; a cut takes itself out of it. */
  readonly sessions: readonly Session[];
}

export class Drain implements Timed {
  due = NEVER;
  next: Timed | undefined;
  previous: Timed | undefined;
  readonly #order: DrainOrder;
  readonly #plane: Drained;

  constructor(order: DrainOrder, plane: Drained) {
    this.#order = order;
    this.#plane = plane;
  }

  /** True for a joined session that the order is about. */
  concerns(session: Session): boolean {
    return session.phase === "joined" && session.upstreamName === this.#order.upstream &&
      session.epoch <= this.#order.throughEpoch;
  }

  begin(): void {
    if (this.#order.graceMs > 0) this.#plane.loop.after(this, this.#order.graceMs);
    else this.expire(this.#plane.loop.now);
  }

  expire(now: number): void {
    const { upstream, sparedIfMovedMs, reason } = this.#order;
    const { loop, counters, publish, sessions } = this.#plane;
    let count = 0;
    let kept = 0;
    for (const session of sessions.filter((session) => this.concerns(session))) {
      if (sparedIfMovedMs !== undefined && now - session.lastMoved < sparedIfMovedMs) kept++;
      else {
        session.cut();
        count++;
      }
    }
    counters[COUNT.cut]! += count;
    if (count > 0) publish({ type: "sessions.cut", upstream, count, kept, reason });
    if (kept > 0) loop.after(this, sparedIfMovedMs!);
  }
}
