/**
 * Knows the triggers before they are needed. A look at files takes a thread, of which there are few, and
 * names that nobody answers keep them busy for a minute; the disk may be slow; no descriptor may be
 * left. None of this may keep a promotion waiting: what was seen last is good enough then.
 */
import type { Clock } from "../base/clock.ts";
import { formatDuration } from "../base/duration.ts";
import { findTriggers, type Found } from "./find.ts";

/** How often the files are looked at while nobody asks. */
export const REFRESH_MS = 10_000;
/** How long a promotion waits for a look of its own. */
export const LOOK_MS = 1_000;
/** The same while nothing is known yet. */
export const FIRST_LOOK_MS = 10_000;

/** Looks from the moment it is made until it is disposed of; at most one look is under way. */
export class TriggerFiles implements Disposable {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #find: (path: string) => Promise<Found>;
  #last: Found | undefined;
  #looking: Promise<Found> | undefined;
  #cancelRefresh = () => {};
  #disposed = false;

  constructor(path: string, clock: Clock, find = findTriggers) {
    this.#path = path;
    this.#clock = clock;
    this.#find = find;
    void this.#refresh();
  }

  /**
   * What is there now; after `LOOK_MS`, or if something is short here, what was seen last. Never
   * rejects. Where nothing was seen yet it is a mistake after `FIRST_LOOK_MS`, and `isShort`.
   */
  async current(): Promise<Found> {
    const waitMs = this.#last === undefined ? FIRST_LOOK_MS : LOOK_MS;
    const found = await this.#inTime(this.#lookAnew(), waitMs);
    if (found !== undefined && found.isShort !== true) return found;
    return this.#last ?? found ?? {
      programs: [],
      mistakes: [`${this.#path}: could not be looked at within ${formatDuration(waitMs)}`],
      warnings: [],
      isShort: true,
    };
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#cancelRefresh();
  }

  /** A look that begins now, or as soon as the one under way has ended. */
  async #lookAnew(): Promise<Found> {
    while (this.#looking !== undefined) await this.#looking;
    return await this.#look();
  }

  #look(): Promise<Found> {
    this.#looking ??= this.#find(this.#path).then((found) => {
      this.#looking = undefined;
      if (found.isShort !== true) this.#last = found;
      return found;
    });
    return this.#looking;
  }

  async #refresh(): Promise<void> {
    await this.#look();
    if (this.#disposed) return;
    this.#cancelRefresh = this.#clock.after(REFRESH_MS, () => void this.#refresh());
  }

  /** Undefined if it takes longer. */
  #inTime(look: Promise<Found>, ms: number): Promise<Found | undefined> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(ms, () => resolve(undefined));
      void look.then((found) => {
        cancel();
        resolve(found);
      });
    });
  }
}
