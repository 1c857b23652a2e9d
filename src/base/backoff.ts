/** How long to wait before attempt n: 1, 2, 4 … seconds up to a maximum. Pure. */

/** Milliseconds to wait after `failures` failed attempts in a row (1 or more), at most `maxMs`. */
export function backoffMs(failures: number, maxMs: number, firstMs = 1_000): number {
  const doublings = Math.min(Math.max(0, failures - 1), 30);
  return Math.min(firstMs * 2 ** doublings, maxMs);
}
