/**
 * Work that is often done by the time its function returns, such as a write that the system takes at once.
 * A promise for it would cost a microtask and an allocation for each message, so there is none then.
 */

/** Undefined if the work is done; else a promise for its end. What fails rejects: nothing is thrown. */
export type MaybeDone = Promise<void> | undefined;

/**
 * Calls `next(on)` when `work` is done: at once if it is done already, and not at all if it fails. `next`
 * must not throw. It gets what it works on as an argument, so that no closure is made for work that is done.
 */
export function whenDone<T>(work: MaybeDone, next: (on: T) => void, on: T): MaybeDone {
  if (work !== undefined) return work.then(() => next(on));
  next(on);
}
