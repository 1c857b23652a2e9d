/**
 * Limits what a client can have us do for little work of its own: resets (CVE-2023-44487), pings, settings,
 * empty frames and the like. Each kind has a budget that fills again with time; a connection that uses one up
 * ends with ENHANCE_YOUR_CALM.
 */

/** The kinds, with the most at one time and how many are added a second. */
const BUDGETS = {
  /** Streams that were reset by the client, or by us for a mistake of the client. */
  resets: { most: 200, perSecond: 50 },
  /** SETTINGS and PING, each of which must be answered. */
  answered: { most: 200, perSecond: 20 },
  /** DATA, HEADERS and CONTINUATION without any payload that do not end a stream. */
  empty: { most: 100, perSecond: 10 },
  /** PRIORITY and frames of unknown types. */
  ignored: { most: 1_000, perSecond: 100 },
  /** WINDOW_UPDATE beyond those that our own DATA explains. */
  windows: { most: 2_000, perSecond: 200 },
} as const;

/** A kind of frames that is limited. */
export type FloodKind = keyof typeof BUDGETS;

/** WINDOW_UPDATE frames that each of our DATA frames explains: one of the stream, one of the connection. */
const WINDOWS_PER_DATA = 4;

/** The budgets of one connection. */
export class FloodGuard {
  readonly #left: Record<FloodKind, number> = {
    resets: BUDGETS.resets.most,
    answered: BUDGETS.answered.most,
    empty: BUDGETS.empty.most,
    ignored: BUDGETS.ignored.most,
    windows: BUDGETS.windows.most,
  };
  #refilledAt: number;

  /** `now`: the coarse time, in milliseconds, here and in `spend`. */
  constructor(now: number) {
    this.#refilledAt = now;
  }

  /** Counts one; false if that is too many. */
  spend(kind: FloodKind, now: number): boolean {
    if (now > this.#refilledAt) this.#refill(now);
    return --this.#left[kind] >= 0;
  }

  /** We have sent a DATA frame, which the client may answer by opening windows. */
  dataSent(): void {
    const { most } = BUDGETS.windows;
    this.#left.windows = Math.min(most, this.#left.windows + WINDOWS_PER_DATA);
  }

  #refill(now: number): void {
    const seconds = (now - this.#refilledAt) / 1_000;
    this.#refilledAt = now;
    for (const kind of Object.keys(BUDGETS) as FloodKind[]) {
      const { most, perSecond } = BUDGETS[kind];
      this.#left[kind] = Math.min(most, this.#left[kind] + seconds * perSecond);
    }
  }
}
