/**
 * Finds the triggers before they are needed, so that a promotion does not wait for files. To examine a
 * file takes a thread of Deno's pool, and look-ups without an answer may occupy all threads for a minute;
 * the disk may be slow, or no descriptor may be left. The promotion then uses the last known result.
 */
import type { Clock } from "../base/clock.ts";
import { settlesWithin } from "../base/deadline.ts";
import { formatDuration } from "../base/duration.ts";
import { findTriggers, type FoundPrograms } from "./find.ts";

/** The interval, in milliseconds, at which the files are examined between promotions. */
export const REFRESH_MS = 10_000;
/** How long, in milliseconds, a promotion waits until the files have been examined again. */
export const SEARCH_MS = 1_000;
/** The same while there is no result yet. */
export const FIRST_SEARCH_MS = 10_000;

/** Examines the files from the moment it is made until its disposal; never twice at the same time. */
export class TriggerFiles implements Disposable {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #find: (path: string) => Promise<FoundPrograms>;
  #last: FoundPrograms | undefined;
  #searching: Promise<FoundPrograms> | undefined;
  #cancelRefresh = () => {};
  #disposed = false;

  constructor(path: string, clock: Clock, find = findTriggers) {
    this.#path = path;
    this.#clock = clock;
    this.#find = find;
    void this.#refresh();
  }

  /**
   * The present triggers. After `SEARCH_MS`, or if descriptors or memory are exhausted, the last known ones.
   * If there was never a result, it is an error with `isShort` after `FIRST_SEARCH_MS`. Never rejects.
   */
  async current(): Promise<FoundPrograms> {
    const waitMs = this.#last === undefined ? FIRST_SEARCH_MS : SEARCH_MS;
    const searching = this.#searchAnew();
    const found = await settlesWithin(searching, waitMs, this.#clock) ? await searching : undefined;
    if (found !== undefined && found.isShort !== true) return found;
    return this.#last ?? found ?? {
      programs: [],
      errors: [`${this.#path}: could not be looked at within ${formatDuration(waitMs)}`],
      warnings: [],
      isShort: true,
    };
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#cancelRefresh();
  }

  /** Examines the files now, or as soon as the examination under way has ended. */
  async #searchAnew(): Promise<FoundPrograms> {
    while (this.#searching !== undefined) await this.#searching;
    return await this.#search();
  }

  #search(): Promise<FoundPrograms> {
    this.#searching ??= this.#find(this.#path).then((found) => {
      this.#searching = undefined;
      if (found.isShort !== true) this.#last = found;
      return found;
    });
    return this.#searching;
  }

  async #refresh(): Promise<void> {
    await this.#search();
    if (this.#disposed) return;
    this.#cancelRefresh = this.#clock.after(REFRESH_MS, () => void this.#refresh());
  }
}
