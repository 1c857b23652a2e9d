/**
 * Admission: a new exchange gets the route to the active upstream, waits for one, or is rejected. The
 * controller opens, holds and closes the gate. An exchange that waits is woken by such an order, by its
 * deadline, or because its client left. Nothing polls.
 */
import type { Clock } from "../base/clock.ts";
import { endAfter } from "../base/deadline.ts";
import type { FaultName } from "../base/fault.ts";
import { Histogram, HOLD_BOUNDS } from "../base/histogram.ts";
import { LocalSemaphore, type Semaphore } from "../base/semaphore.ts";
import type { Route } from "../failover/ports.ts";
import type { Upstream } from "../failover/upstream.ts";

/** Why a wait ended without a route. */
export type Rejection = "closed" | "late" | "full" | "gone";

/** The fault that each rejection becomes, and with it the status of the answer. */
export const REJECTIONS = {
  closed: "noUpstream",
  late: "holdTimeout",
  full: "tooManyHeld",
  gone: "clientGone",
} as const satisfies Record<Rejection, FaultName>;

/** How many exchanges may wait, and where that is counted. */
export interface AdmissionLimits {
  /** Exchanges that may wait at the same time. 0: none may wait. */
  readonly heldMax: number;
  /** Limits those that wait, where the limit is shared with other threads; else `heldMax` does. */
  readonly semaphore?: Semaphore;
  /** Where to count how long exchanges waited. */
  readonly waits?: Histogram;
}

interface Waiter {
  readonly end: (result: Route | Rejection) => void;
}

/** The gate of one service in one thread. */
export class AdmissionGate {
  readonly #clock: Clock;
  readonly #semaphore: Semaphore;
  /** The same, if it is this gate's alone. */
  readonly #own: LocalSemaphore | undefined;
  readonly #waiting = new Set<Waiter>();
  #state: Route | "holding" | "closed" = "holding";
  #epoch = 0;
  #isFinal = false;
  /** Exchanges that waited and got a route. */
  released = 0;
  /** The longest that an exchange waited, in milliseconds. */
  longestHoldMs = 0;
  /** How long exchanges waited for a route, however that ended. */
  readonly waits: Histogram;

  /** Every exchange waits until the first order. */
  constructor(clock: Clock, limits: AdmissionLimits) {
    this.#clock = clock;
    this.#own = limits.semaphore === undefined ? new LocalSemaphore(limits.heldMax) : undefined;
    this.#semaphore = limits.semaphore ?? this.#own!;
    this.waits = limits.waits ?? new Histogram(HOLD_BOUNDS);
  }

  /** Changes how many exchanges may wait, unless that is counted elsewhere; those that wait go on waiting. */
  setHeldMax(heldMax: number): void {
    if (this.#own !== undefined) this.#own.max = heldMax;
  }

  /** The route that new exchanges take now; undefined while they wait or are rejected. */
  get route(): Route | undefined {
    return typeof this.#state === "object" ? this.#state : undefined;
  }

  /** True if new exchanges are rejected. */
  get isClosed(): boolean {
    return this.#state === "closed";
  }

  /** How many exchanges are waiting now. */
  get held(): number {
    return this.#waiting.size;
  }

  /** Sends all exchanges to `upstream`. Ignored if an order with a higher epoch came before. */
  open(upstream: Upstream, epoch: number): void {
    if (epoch < this.#epoch) return;
    this.#epoch = epoch;
    const state: Route = { upstream, epoch };
    this.#state = state;
    for (const waiter of this.#waiting) waiter.end(state);
  }

  /** New exchanges wait until the next order. */
  hold(): void {
    this.#state = "holding";
  }

  /** Rejects all exchanges, those that wait included. */
  close(): void {
    this.#state = "closed";
    for (const waiter of this.#waiting) waiter.end("closed");
  }

  /** There will be no further order: an open route stays open, and no exchange waits for another one. */
  decideNoMore(): void {
    this.#isFinal = true;
    if (this.route === undefined) return this.close();
    for (const waiter of this.#waiting) waiter.end("closed");
  }

  /** The active upstream has passed a check: exchanges that failed on it may try it again. */
  confirm(upstream: string): void {
    const state = this.route;
    if (state?.upstream.name !== upstream) return;
    for (const waiter of this.#waiting) waiter.end(state);
  }

  /**
   * Waits for a route other than `after`, for at most `ms` milliseconds. Resolves with `gone` when `signal` is
   * aborted, as it is when the client leaves. Never rejects.
   */
  wait(after: Route | undefined, ms: number, signal: AbortSignal): Promise<Route | Rejection> {
    const state = this.#state;
    if (state === "closed") return Promise.resolve("closed");
    if (state !== "holding" && state !== after) return Promise.resolve(state);
    if (this.#isFinal) return Promise.resolve("closed");
    return this.#enter(ms, signal, this.waits);
  }

  /**
   * Waits for at most `ms` milliseconds, unless a decision comes first: `late` is the usual end. Otherwise as
   * `wait`.
   */
  pause(ms: number, signal: AbortSignal): Promise<Route | Rejection> {
    if (this.#state === "closed") return Promise.resolve("closed");
    return this.#enter(ms, signal);
  }

  #enter(ms: number, signal: AbortSignal, waits?: Histogram): Promise<Route | Rejection> {
    if (!this.#semaphore.tryAcquire()) return Promise.resolve("full");
    if (signal.aborted || ms <= 0) {
      this.#semaphore.release();
      return Promise.resolve(signal.aborted ? "gone" : "late");
    }
    const since = this.#clock.now();
    return new Promise((resolve) => {
      const end = (result: Route | Rejection) => {
        if (!this.#waiting.delete(waiter)) return;
        this.#semaphore.release();
        cancel();
        const waitedMs = this.#clock.now() - since;
        waits?.add(waitedMs);
        this.longestHoldMs = Math.max(this.longestHoldMs, waitedMs);
        if (typeof result === "object") this.released++;
        resolve(result);
      };
      const waiter: Waiter = { end };
      this.#waiting.add(waiter);
      const cancel = endAfter(
        signal,
        ms,
        this.#clock,
        (cause) => end(cause === "late" ? "late" : "gone"),
      );
    });
  }
}
