/**
 * What is true of a client only while it has no upstream: deadlines, in the loop's time, and what was
 * tried for it. Joined sessions are the many, and idle most of the time; they do without this record,
 * which goes back to the pool and serves the next client.
 */
import type { FaultName } from "../../base/fault.ts";
import type { SockAddr } from "../../linux/kernel.ts";
import { NEVER } from "../../linux/timer_wheel.ts";

export class Wait {
  /** When it waits no longer. */
  giveUpAt = NEVER;
  /** When no attempt was left to wait for; `NEVER` if the first is under way. */
  since = NEVER;
  /** When the attempt under way makes us doubt the upstream, when it is over, when the next begins. */
  doubtAt = NEVER;
  attemptEndsAt = NEVER;
  retryAt = NEVER;
  /** The address that is tried, and where in the target's list the first one stood. */
  address: SockAddr | undefined;
  first = 0;
  /** Connects that failed, addresses of the upstream tried in this one, and what failed last. */
  failures = 0;
  tried = 0;
  fault: FaultName | undefined;
  /** It lacks a descriptor or a port for its upstream: the next that is free is for it. */
  isStarved = false;
  /** It stands in the queue of those; it stays there while it tries again. */
  isQueued = false;
  /** How the upstream ended before any byte, while that is being judged. */
  unusedEnd: "end" | "reset" | undefined;

  begin(giveUpAt: number): void {
    this.giveUpAt = giveUpAt;
    this.since =
      this.doubtAt =
      this.attemptEndsAt =
      this.retryAt =
        NEVER;
    this.failures = this.tried = this.first = 0;
    this.address = this.fault = this.unusedEnd = undefined;
    this.isStarved = this.isQueued = false;
  }
}
