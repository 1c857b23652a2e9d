/** The deadline of file operations: a network file system may never answer, and a thread may never be free. */
import type { Clock } from "./clock.ts";
import { inTime } from "./deadline.ts";

/** How long one file operation may take, in milliseconds, where the caller has no shorter limit. */
export const FILE_MS = 10_000;
/** The text of the error for an operation that takes longer. */
export const FILE_SILENT = "the file system does not answer";

/** The outcome of a file operation; rejects with an Error if it takes longer than `ms` milliseconds. */
export function inFileTime<T>(work: Promise<T>, clock: Clock, ms = FILE_MS): Promise<T> {
  return inTime(work, ms, clock, () => new Error(FILE_SILENT));
}
