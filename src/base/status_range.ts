/** Ranges of HTTP status codes (RFC 9110 section 15). */

/** Status codes from `from` to `to`, both included. */
export interface StatusRange {
  readonly from: number;
  /** Not less than `from`. */
  readonly to: number;
}

/** True if `status` is in one of the ranges. */
export function isInRanges(status: number, ranges: readonly StatusRange[]): boolean {
  return ranges.some(({ from, to }) => status >= from && status <= to);
}
