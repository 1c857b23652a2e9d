/**
 * What a new exchange meets: a way to the active upstream, a wait, or a refusal. The controller turns the
 * gate through the gateway's orders; those who wait are woken by such an order, by their own deadline, or
 * by leaving. Nothing polls.
 */
import type { Clock } from "../base/clock.ts";
import type { FaultName } from "../base/fault.ts";
import type { Route } from "../failover/ports.ts";
import type { Upstream } from "../failover/upstream.ts";

/** Why a wait ended without a route. */
export type Rejection = "closed" | "late" | "full" | "gone";

/** What the client of such a wait is answered. */
export const DENIALS = {
  closed: "noUpstream",
  late: "holdTimeout",
  full: "tooManyHeld",
  gone: "clientGone",
} as const satisfies Record<Rejection, FaultName>;

export interface AdmissionLimits {
  /** Exchanges that may wait at one time; 0 lets none wait. */
  readonly heldMax: number;
}

interface Waiter {
  readonly end: (result: Route | Rejection) => void;
}

export class AdmissionGate {
  readonly #clock: Clock;
  readonly #limits: AdmissionLimits;
  readonly #waiting = new Set<Waiter>();
  #door: Route | "holding" | "closed" = "holding";
  #epoch = 0;
  #isFinal = false;
  /** Exchanges that waited and got a route. */
  released = 0;
  longestHoldMs = 0;

  /** Holding, until the first order. */
  constructor(clock: Clock, limits: AdmissionLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** The way that is open now, if one is. */
  get route(): Route | undefined {
    return typeof this.#door === "object" ? this.#door : undefined;
  }

  /** True if new exchanges are turned away. */
  get isClosed(): boolean {
    return this.#door === "closed";
  }

  /** Exchanges that wait. */
  get held(): number {
    return this.#waiting.size;
  }

  /** Ignored if a newer epoch was seen. */
  open(upstream: Upstream, epoch: number): void {
    if (epoch < this.#epoch) return;
    this.#epoch = epoch;
    const door: Route = { upstream, epoch };
    this.#door = door;
    for (const waiter of this.#waiting) waiter.end(door);
  }

  hold(): void {
    this.#door = "holding";
  }

  close(): void {
    this.#door = "closed";
    for (const waiter of this.#waiting) waiter.end("closed");
  }

  /** No order comes any more: an open door stays open, and nobody waits for another. */
  decideNoMore(): void {
    this.#isFinal = true;
    if (this.route === undefined) return this.close();
    for (const waiter of this.#waiting) waiter.end("closed");
  }

  /** The active upstream answers after all: those who doubted it may try it again. */
  confirm(upstream: string): void {
    const door = this.route;
    if (door?.upstream.name !== upstream) return;
    for (const waiter of this.#waiting) waiter.end(door);
  }

  /**
   * Waits for a route other than `after`, for at most `ms`. `onLeave` is handed a function to call if
   * the client leaves meanwhile.
   */
  wait(
    after: Route | undefined,
    ms: number,
    onLeave: (leave: () => void) => void,
  ): Promise<Route | Rejection> {
    const door = this.#door;
    if (door === "closed") return Promise.resolve("closed");
    if (door !== "holding" && door !== after) return Promise.resolve(door);
    if (this.#isFinal) return Promise.resolve("closed");
    return this.#enter(ms, onLeave);
  }

  /** Waits for at most `ms`, unless a decision comes first: `late` is the usual end. */
  pause(ms: number, onLeave: (leave: () => void) => void): Promise<Route | Rejection> {
    if (this.#door === "closed") return Promise.resolve("closed");
    return this.#enter(ms, onLeave);
  }

  #enter(ms: number, onLeave: (leave: () => void) => void): Promise<Route | Rejection> {
    if (this.#waiting.size >= this.#limits.heldMax) return Promise.resolve("full");
    if (ms <= 0) return Promise.resolve("late");
    const since = this.#clock.now();
    return new Promise((resolve) => {
      const end = (result: Route | Rejection) => {
        if (!this.#waiting.delete(waiter)) return;
        cancel();
        this.longestHoldMs = Math.max(this.longestHoldMs, this.#clock.now() - since);
        if (typeof result === "object") this.released++;
        resolve(result);
      };
      const waiter: Waiter = { end };
      const cancel = this.#clock.after(ms, () => end("late"));
      this.#waiting.add(waiter);
      onLeave(() => end("gone"));
    });
  }
}
