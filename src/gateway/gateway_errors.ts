/** Counts consecutive 502, 503 and 504 responses of each upstream (outlier detection). */

/** This many 502, 503 or 504 in a row put an upstream in doubt. */
export const GATEWAY_ERRORS_MAX = 5;

/** The counts of one thread, by the name of the upstream. */
export class GatewayErrors {
  readonly #inRow = new Map<string, number>();

  /** Counts a status. True if it is the last of `GATEWAY_ERRORS_MAX` errors in a row; the count then restarts. */
  isDoubtful(upstream: string, status: number): boolean {
    if (status < 502 || status > 504) {
      if (this.#inRow.size > 0) this.#inRow.delete(upstream);
      return false;
    }
    const inRow = (this.#inRow.get(upstream) ?? 0) + 1;
    this.#inRow.set(upstream, inRow % GATEWAY_ERRORS_MAX);
    return inRow === GATEWAY_ERRORS_MAX;
  }
}
