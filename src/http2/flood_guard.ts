/**
 * Limits what a client can have us do for little work of its own: resets (CVE-2023-44487), pings, settings,
 * empty frames and the like. Each kind has a budget that fills again with time; a connection that uses one up
 * ends with ENHANCE_YOUR_CALM.
 */

/** The kinds, with the most at one time and how many are added a second. */
const BUDGETS = {
  /** Streams that were reset by the client, or by us for a mistake of the client. */
  resets: { most: 200, perSecond: 50 },
  /** SETTINGS and PING, each of which must be answered, beyond those that our own DATA explains. */
  answered: { most: 200, perSecond: 20 },
  /** DATA, HEADERS and CONTINUATION without any payload that do not end a stream. */
  empty: { most: 100, perSecond: 10 },
  /** PRIORITY, GOAWAY and frames of unknown types. */
  ignored: { most: 1_000, perSecond: 100 },
  /** WINDOW_UPDATE beyond those that our own DATA explains. */
  windows: { most: 2_000, perSecond: 200 },
} as const;

/** A kind of frames that is limited. */
export type FloodKind = keyof typeof BUDGETS;

/** What a client did that has used up the budget of a kind, for people and in ASCII. */
export const FLOOD_WORDS: Readonly<Record<FloodKind, string>> = {
  resets: "too many requests were taken back, or reset for mistakes in them",
  answered: "too many PING and SETTINGS frames",
  empty: "too many frames without payload",
  ignored: "too many PRIORITY, GOAWAY and unknown frames",
  windows: "too many WINDOW_UPDATE frames",
};

/** WINDOW_UPDATE frames that each of our DATA frames explains, whatever its size: of the stream and the connection. */
const WINDOWS_PER_DATA = 4;
/** One more for so many bytes of DATA. Go's client opens both windows after each 4 KB that its user has read. */
const BYTES_PER_WINDOW = 2_048;
/** The most that are explained at one time: a client may open windows long after the DATA has come. */
const WINDOWS_MAX = 250_000;
/**
 * PING frames that our DATA explains at most at one time, each frame one: gRPC's and hyper's clients measure with them
 * how much is under way, one after the other as long as DATA comes.
 */
const PINGS_MAX = 1_000;

/** The budgets of one connection. */
export class FloodGuard {
  readonly #left: Record<FloodKind, number> = {
    resets: BUDGETS.resets.most,
    answered: BUDGETS.answered.most,
    empty: BUDGETS.empty.most,
    ignored: BUDGETS.ignored.most,
    windows: BUDGETS.windows.most,
  };
  /** WINDOW_UPDATE frames that are still to come for DATA that we have sent. */
  #windows = 0;
  /** The same of PING. */
  #pings = 0;
  #refilledAt: number;

  /** `now`: the coarse time, in milliseconds, here and in `spend`. */
  constructor(now: number) {
    this.#refilledAt = now;
  }

  /** Counts one, or the part `cost` of one; false if that is too many. */
  spend(kind: FloodKind, now: number, cost = 1): boolean {
    if (kind === "windows" && this.#windows > 0) {
      this.#windows--;
      return true;
    }
    if (kind === "answered" && this.#pings > 0) {
      this.#pings--;
      return true;
    }
    if (now > this.#refilledAt) this.#refill(now);
    return (this.#left[kind] -= cost) >= 0;
  }

  /** We have sent a DATA frame of `count` bytes, for which the client may open windows and measure the way. */
  dataSent(count: number): void {
    const windows = WINDOWS_PER_DATA + Math.floor(count / BYTES_PER_WINDOW);
    this.#windows = Math.min(WINDOWS_MAX, this.#windows + windows);
    if (this.#pings < PINGS_MAX) this.#pings++;
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
