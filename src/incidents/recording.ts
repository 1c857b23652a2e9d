/** The recorded inputs of one incident: what `replay` feeds to the machine again. */
import type { Taken } from "../failover/controller.ts";
import { type Decided, decisionsOf, type Entry, entryOf, type InputRange } from "./input_log.ts";

/** Most entries of one incident; what comes after them is not recorded. */
export const ENTRIES_MAX = 2_000;

/** How often upstreams are checked, in milliseconds: usually, and while a verdict is in doubt. */
export interface CheckPace {
  readonly steadyMs: number;
  readonly doubtMs: number;
}

/** What a recording holds. */
export interface Recorded extends InputRange {
  readonly pace: CheckPace;
  /** What must be added to the machine's times to get milliseconds since 1970. */
  readonly wallOffset: number;
  /** True if the incident went on after the last entry. */
  readonly isCutOff: boolean;
}

/** The recording of one incident, from some time before its beginning until `end`. */
export class Recording {
  readonly wallOffset: number;
  readonly #pace: CheckPace;
  readonly #range: InputRange;
  readonly #entries: Entry[];
  readonly #decided: Decided[];
  #hasEnded = false;
  #isCutOff = false;

  /** `range`: what happened until now; `wallOffset` as in `Recorded`. */
  constructor(range: InputRange, pace: CheckPace, wallOffset: number) {
    this.#pace = pace;
    this.wallOffset = wallOffset;
    this.#range = range;
    this.#entries = [...range.entries];
    this.#decided = [...range.decided];
  }

  /** Adds a step that was taken after the range. */
  add(taken: Taken): void {
    if (this.#hasEnded || this.#isCutOff) return;
    const entry = entryOf(taken);
    if (entry === undefined) return;
    if (this.#entries.length >= ENTRIES_MAX) {
      this.#isCutOff = true;
      return;
    }
    this.#entries.push(entry);
    this.#decided.push(...decisionsOf(taken));
  }

  /** Nothing is added any more. */
  end(): void {
    this.#hasEnded = true;
  }

  /** The inputs so far, those of the range included. */
  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** What a replay needs; it grows until `end`. */
  get recorded(): Recorded {
    return {
      start: this.#range.start,
      entries: this.#entries,
      decided: this.#decided,
      policy: this.#range.policy,
      pace: this.#pace,
      wallOffset: this.wallOffset,
      isCutOff: this.#isCutOff,
    };
  }
}
