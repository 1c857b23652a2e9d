/** The deadline of file operations: a network file system may never answer, and a thread may never be free. */
import type { Clock } from "./clock.ts";

/** How long one file operation may take, in milliseconds, where the caller has no shorter limit. */
export const FILE_MS = 10_000;
/** The text of the error for an operation that takes longer. */
export const FILE_SILENT = "the file system does not answer";

/** The timers of one deadline, one after another. */
const PARTS = 8;

/**
 * The outcome of a file operation; rejects with an Error if it takes longer than `ms` milliseconds. Time in which this
 * process stood still (it was stopped, or had no core) hardly counts: only one of the timers passes in it, however long
 * it was, since an outcome that came meanwhile is still unread.
 */
export async function inFileTime<T>(work: Promise<T>, clock: Clock, ms = FILE_MS): Promise<T> {
  const late = Promise.withResolvers<never>();
  let cancel = () => {};
  const wait = (parts: number) => {
    cancel = clock.after(ms / PARTS, () => {
      if (parts === 1) late.reject(new Error(FILE_SILENT));
      else wait(parts - 1);
    });
  };
  wait(PARTS);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    cancel();
  }
}
