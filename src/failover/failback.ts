/**
 * When traffic may return to a better rank. The policy says whether it may, and for how long the better
 * upstream must have been up; damping makes an upstream that flaps wait longer each time. All times are
 * in milliseconds.
 */

import type { FailedMoves } from "./state.ts";

/**
 * Whether traffic returns to a better rank. `never`: only by a switchover. `auto`: as soon as that upstream is
 * up. `manual`: only by order. `after`: when it has been up for `ms` milliseconds.
 */
export type FailbackPolicy =
  | { readonly kind: "never" }
  | { readonly kind: "auto" }
  | { readonly kind: "manual" }
  | { readonly kind: "after"; readonly ms: number };

/** Failbacks within this time count for damping. */
export const DAMPING_WINDOW_MS = 10 * 60_000;
const DAMPING_FREE = 2;
const DAMPING_FIRST_MS = 10_000;
const DAMPING_MAX_MS = 10 * 60_000;

/** The past failbacks that still count for damping at `now`. */
export function recentFailbacks(failbacks: readonly number[], now: number): readonly number[] {
  return failbacks.filter((at) => now - at < DAMPING_WINDOW_MS);
}

/** The extra wait before the next failback: none for two in ten minutes, then 10 s, 20 s, 40 s … 10 min. */
export function dampingMs(failbacks: readonly number[], now: number): number {
  const extra = recentFailbacks(failbacks, now).length - DAMPING_FREE;
  return extra < 0 ? 0 : Math.min(DAMPING_FIRST_MS * 2 ** Math.min(extra, 20), DAMPING_MAX_MS);
}

/** The wait after `count` consecutive failbacks whose triggers failed: 10 s, 20 s, 40 s … 10 min. */
export function retryFailbackMs(count: number): number {
  return Math.min(DAMPING_FIRST_MS * 2 ** Math.min(count - 1, 20), DAMPING_MAX_MS);
}

/** When an upstream that is up since `upSince` may take over; undefined if only the operator decides. */
export function failbackAt(
  policy: FailbackPolicy,
  upSince: number,
  dampMs: number,
): number | undefined {
  if (policy.kind === "auto") return upSince + dampMs;
  if (policy.kind === "after") return upSince + policy.ms + dampMs;
  return undefined;
}

/** The delay of the next automatic failback to an upstream whose triggers failed `now`, longer each time. */
export function postponed(
  failedMoves: FailedMoves | undefined,
  to: string,
  now: number,
): FailedMoves {
  const count = failedMoves?.to === to ? failedMoves.count + 1 : 1;
  return { to, count, until: now + retryFailbackMs(count) };
}
