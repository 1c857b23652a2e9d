/**
 * Retries: whether an exchange may be attempted again after a failed attempt, and how many retries there may
 * be at the same time. Pure, except for that count.
 *
 * If nothing was sent, the request may go to any upstream at once, whatever its method. If something was sent,
 * it may be repeated only if a repetition does no harm, only while no byte of a response has come, and only
 * once, whether or not the first attempt used a kept connection.
 */
import type { Clock } from "../base/clock.ts";
import { endAfter } from "../base/deadline.ts";
import type { FaultName } from "../base/fault.ts";

/** How far an attempt came before it failed. */
export type Stage =
  /** No byte of the request was given to the operating system. */
  | "nothingSent"
  /** At least one byte was sent, of a request that may be sent twice. */
  | "sentSafe"
  /** At least one byte was sent, of a request that might take effect twice if it is sent twice. */
  | "sentUnsafe"
  /** At least one byte of the response has come: only this upstream can finish it. */
  | "responseStarted";

/** Safe or idempotent by definition (RFC 9110 section 9.2.2). */
const REPEATABLE = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** Whether a request of this method has the same effect when it is sent twice as when it is sent once. */
export function isRepeatable(method: string, hasHonouredKey: boolean): boolean {
  return method === "GET" || hasHonouredKey || REPEATABLE.has(method);
}

/** How often an exchange may be sent: twice, the first time included. */
export const DELIVERIES_MAX = 2;

/** Faults of a kept connection that do not mean that it had gone stale: this proxy ended it. */
const OURS: ReadonlySet<FaultName> = new Set<FaultName>([
  "upstreamDown",
  "responseTimeout",
  "upstreamStalled",
  "idleTimeout",
  "statusRefused",
]);

/** True if a kept connection that ended with this fault may have been stale. */
export function mayMeanStale(fault: FaultName): boolean {
  return !OURS.has(fault);
}

/** True for a fault of this machine on the way to an upstream, which is no evidence about the upstream. */
export function isLocal(fault: FaultName): boolean {
  return fault === "localShortage" || fault === "nameSilent";
}

/** What the decision depends on, after an attempt that failed. */
export interface FailedAttempt {
  readonly stage: Stage;
  /** True if it used a connection that had carried requests before. */
  readonly reused: boolean;
  /** True if every byte of the request body that was read so far is still kept. */
  readonly replayable: boolean;
  /** Attempts so far in which at least one byte was sent, this one included. */
  readonly deliveries: number;
  /** True if a fresh connection was tried already in place of a stale one. */
  readonly refreshed: boolean;
}

/** `next`: try another upstream. `fresh`: try the same upstream on a new connection. `never`: do not retry. */
export function retryDecision(failed: FailedAttempt): "next" | "fresh" | "never" {
  const { stage, reused, replayable, deliveries, refreshed } = failed;
  if (!replayable || stage === "responseStarted" || stage === "sentUnsafe") return "never";
  if (stage === "sentSafe" && deliveries >= DELIVERIES_MAX) return "never";
  // That an upstream closes an idle connection is no evidence against it.
  return reused && !refreshed ? "fresh" : "next";
}

/** Retries at one time, as a share of the exchanges under way … */
const SHARE = 0.2;
/** … but never fewer than this. */
const REPEATS_MIN = 3;

/**
 * Limits the retries at one time to a share of the exchanges under way, so that an outage does not multiply
 * the load. An exchange that gets no permit waits until another retry ends, which is better than to fail.
 */
export class RetryBudget {
  readonly #clock: Clock;
  readonly #active: () => number;
  readonly #waiting = new Set<(taken: boolean) => void>();
  #running = 0;

  /** `active` returns how many exchanges are under way. */
  constructor(clock: Clock, active: () => number) {
    this.#clock = clock;
    this.#active = active;
  }

  /**
   * Takes one permit, which the caller must release. Resolves with false if none was free for `ms` milliseconds,
   * or when `signal` is aborted. Never rejects.
   */
  acquire(ms: number, signal: AbortSignal): Promise<boolean> {
    if (this.#takeRoom()) return Promise.resolve(true);
    if (ms <= 0 || signal.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const end = (taken: boolean) => {
        cancel();
        this.#waiting.delete(end);
        resolve(taken);
      };
      this.#waiting.add(end);
      const cancel = endAfter(signal, ms, this.#clock, () => end(false));
    });
  }

  /** Takes one permit if there is one at once. */
  tryAcquire(): boolean {
    return this.#takeRoom();
  }

  /** Releases one permit. It goes to the exchange that has waited longest, unless the budget has shrunk. */
  release(): void {
    this.#running--;
    for (const end of this.#waiting) {
      if (!this.#takeRoom()) return;
      end(true);
    }
  }

  #takeRoom(): boolean {
    if (this.#running >= Math.max(REPEATS_MIN, this.#active() * SHARE)) return false;
    this.#running++;
    return true;
  }
}
