/**
 * The retry ledger: how far an exchange has come, and so whether it may be tried again. Pure, but for the
 * count of repeats under way.
 *
 * What proves that nothing was sent may go anywhere, at once, whatever its method. What was sent may be
 * repeated only if repeating it does no harm, only while not a byte of a response has come, and only once,
 * whether the first time went over a kept connection or not.
 */
import type { Clock } from "../base/clock.ts";
import { endAfter } from "../base/deadline.ts";
import type { FaultName } from "../base/fault.ts";

export type Stage =
  /** Not a byte of the request was handed to the system. */
  | "nothingSent"
  /** Something was sent, of a request that may be sent twice. */
  | "sentSafe"
  /** Something was sent, and a second time it might do something a second time. */
  | "sentUnsafe"
  /** A byte of the response has come: it is this upstream's to finish. */
  | "responseStarted";

/** Safe or idempotent by definition (RFC 9110 section 9.2.2). */
const REPEATABLE = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** Whether sending this request twice is like sending it once. */
export function isRepeatable(method: string, hasHonouredKey: boolean): boolean {
  return hasHonouredKey || REPEATABLE.has(method);
}

/** How often an exchange may be sent: once, and once more. */
const DELIVERIES_MAX = 2;

/** Ends of a kept connection that do not say that it had gone stale. */
const OURS: ReadonlySet<FaultName> = new Set<FaultName>([
  "upstreamDown",
  "responseTimeout",
  "upstreamStalled",
  "idleTimeout",
]);

/** True unless a kept connection ended for a reason that a fresh one would meet as well. */
export function maySayStale(fault: FaultName): boolean {
  return !OURS.has(fault);
}

/** True for trouble of this machine on the way to an upstream, which says nothing about the upstream. */
export function isLocal(fault: FaultName): boolean {
  return fault === "localShortage" || fault === "nameSilent";
}

/** What one attempt has left behind. */
export interface Entry {
  readonly stage: Stage;
  /** True if it was made on a connection that had carried requests before. */
  readonly reused: boolean;
  /** True if every byte of the request body that was taken so far is still there. */
  readonly replayable: boolean;
  /** How often something of the exchange was sent so far, this attempt included. */
  readonly deliveries: number;
  /** True if a fresh connection was tried already for one that had gone stale. */
  readonly refreshed: boolean;
}

/** `next`: another upstream; `fresh`: the same upstream on a new connection; `never`: that was it. */
export function retryDecision(entry: Entry): "next" | "fresh" | "never" {
  const { stage, reused, replayable, deliveries, refreshed } = entry;
  if (!replayable || stage === "responseStarted" || stage === "sentUnsafe") return "never";
  if (stage === "sentSafe" && deliveries >= DELIVERIES_MAX) return "never";
  // The upstream closing a connection that was idle says nothing about the upstream.
  return reused && !refreshed ? "fresh" : "next";
}

const SHARE = 0.2;
const REPEATS_MIN = 3;

/**
 * Repeats at one time: a share of the exchanges under way, so that an outage is not answered by a flood.
 * Whoever finds no room waits for another repeat to end, which is better than to fail.
 */
export class RetryBudget {
  readonly #clock: Clock;
  readonly #active: () => number;
  readonly #waiting = new Set<(taken: boolean) => void>();
  #running = 0;

  /** `active` tells how many exchanges are under way. */
  constructor(clock: Clock, active: () => number) {
    this.#clock = clock;
    this.#active = active;
  }

  /**
   * Takes one repeat, to be given back. Resolves with false if there was no room for `ms` milliseconds, or
   * when `signal` is aborted. Never rejects.
   */
  take(ms: number, signal: AbortSignal): Promise<boolean> {
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

  giveBack(): void {
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
