/**
 * When traffic may return to a better rank. The policy says whether and how long a better upstream must
 * have been up; damping makes an upstream that keeps coming and going wait longer each time.
 */

export type FailbackPolicy =
  | { readonly kind: "never" }
  | { readonly kind: "auto" }
  | { readonly kind: "manual" }
  | { readonly kind: "after"; readonly ms: number };

/** Failbacks this young count as flapping. */
export const DAMPING_WINDOW_MS = 10 * 60_000;
const DAMPING_FREE = 2;
const DAMPING_FIRST_MS = 10_000;
const DAMPING_MAX_MS = 10 * 60_000;

/** Those of the past failbacks that still count. */
export function recentFailbacks(failbacks: readonly number[], now: number): readonly number[] {
  return failbacks.filter((at) => now - at < DAMPING_WINDOW_MS);
}

/** Extra wait for the next failback: 0 for the first two in ten minutes, then 10 s, 20 s, 40 s … 10 min. */
export function dampingMs(failbacks: readonly number[], now: number): number {
  const extra = recentFailbacks(failbacks, now).length - DAMPING_FREE;
  return extra < 0 ? 0 : Math.min(DAMPING_FIRST_MS * 2 ** Math.min(extra, 20), DAMPING_MAX_MS);
}

/** Wait before the next automatic failback after `count` in a row whose triggers failed: 10 s, 20 s … 10 min. */
export function retryFailbackMs(count: number): number {
  return Math.min(DAMPING_FIRST_MS * 2 ** Math.min(count - 1, 20), DAMPING_MAX_MS);
}

/** When an upstream that is up since `upSince` may take over; undefined if only an operator can say. */
export function failbackAt(
  policy: FailbackPolicy,
  upSince: number,
  dampMs: number,
): number | undefined {
  if (policy.kind === "auto") return upSince + dampMs;
  if (policy.kind === "after") return upSince + policy.ms + dampMs;
  return undefined;
}
