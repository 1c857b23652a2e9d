/**
 * The state of a client while it has no upstream: deadlines, in the loop's time, and the attempts so far. Most
 * sessions are joined, and most of those are idle; they need no such record, so it returns to the pool and serves
 * the next client.
 */
import type { FaultName } from "../../base/fault.ts";
import type { SockAddr } from "../../linux/kernel.ts";
import { NEVER } from "../../linux/timer_wheel.ts";

/**
 * What a client waits for.
 * `connect`: for the attempt under way.
 * `order`: for a decision of the control plane.
 * `retry`: for the pause before the next attempt, until `nextAt`.
 * `resources`: for a descriptor or a port that this machine is short of; tries again at `nextAt`.
 * `settling`: its upstream ended before any byte; at `nextAt` the control plane is asked about the upstream.
 * `verdict`: the control plane has been asked and has not answered yet.
 */
export type WaitsFor = "connect" | "order" | "retry" | "resources" | "settling" | "verdict";

/** One such record. */
export class Wait {
  waitsFor: WaitsFor = "connect";
  /** When `retry`, `resources` or `settling` is over; `NEVER` in the other states. */
  nextAt = NEVER;
  /** When the client has waited long enough and is closed. */
  giveUpAt = NEVER;
  /** Since when the client has been waiting without an attempt; `NEVER` while its first is under way. */
  since = NEVER;
  /** When the attempt under way makes us doubt the upstream, and when it is over. */
  doubtAt = NEVER;
  attemptEndsAt = NEVER;
  /** The address that is tried, and the index of the first one in the route's list. */
  address: SockAddr | undefined;
  first = 0;
  /** Rounds of connects that failed, addresses tried in this round, and what failed last. */
  failures = 0;
  tried = 0;
  fault: FaultName | undefined;
  /** It is in the queue of those that lack resources, where it stays while it tries again. */
  isQueued = false;
  /** How the upstream ended, in the states `settling` and `verdict`. */
  unusedEnd: "end" | "reset" = "end";

  /** Resets the record for the next client. `giveUpAt` is in the loop's time, in milliseconds. */
  begin(giveUpAt: number): void {
    this.waitsFor = "connect";
    this.giveUpAt = giveUpAt;
    this.since =
      this.doubtAt =
      this.attemptEndsAt =
      this.nextAt =
        NEVER;
    this.failures = this.tried = this.first = 0;
    this.address = this.fault = undefined;
    this.isQueued = false;
  }

  /** Enters a state, which lasts until `nextAt` or until something else ends it. */
  enter(waitsFor: WaitsFor, nextAt = NEVER): void {
    this.waitsFor = waitsFor;
    this.nextAt = nextAt;
  }
}
