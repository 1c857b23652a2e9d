/**
 * Operations on the files of one folder, a few at a time: the deadline of each begins with its turn, so that many
 * services that write at the same time do not look like a file system that does not answer. If it really is silent,
 * those that wait for their turn fail together with the first one that is late, and not one after another.
 */
import type { Clock } from "../base/clock.ts";
import { FILE_SILENT, inFileTime } from "../base/file_time.ts";

/** How many operations are under way at one time. */
export const FILES_MAX = 16;

/** One queue of operations. */
export class FileTurns {
  readonly #clock: Clock;
  readonly #ms: number;
  #underWay = 0;
  /** Called with true when it is their turn, with false when it will not come. */
  #waiting: ((isTurn: boolean) => void)[] = [];

  /** `ms` is how long one operation may take unless said otherwise, in milliseconds. */
  constructor(clock: Clock, ms: number) {
    this.#clock = clock;
    this.#ms = ms;
  }

  /** Rejects as `work` does, or with an Error if the file system does not answer within `ms` milliseconds. */
  async run<T>(work: () => Promise<T>, ms = this.#ms): Promise<T> {
    if (this.#underWay < FILES_MAX) this.#underWay++;
    else if (!await this.#turn()) throw new Error(FILE_SILENT);
    try {
      return await inFileTime(work(), this.#clock, ms);
    } catch (error) {
      if (error instanceof Error && error.message === FILE_SILENT) this.#giveUp();
      throw error;
    } finally {
      // The place goes to the next one, or is free.
      const next = this.#waiting.shift();
      if (next === undefined) this.#underWay--;
      else next(true);
    }
  }

  #turn(): Promise<boolean> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #giveUp(): void {
    for (const each of this.#waiting.splice(0)) each(false);
  }
}
