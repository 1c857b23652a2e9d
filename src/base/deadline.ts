/**
 * Deadlines joined with abort signals: work ends when its time is up or when its caller cancels it, and no timer
 * and no listener is left afterwards. Every place that has both a deadline and a signal uses one of these.
 *
 * This file is in `base` and not in `net`, because `report` and `hooks` have deadlines too and no connections.
 */
import type { Clock } from "./clock.ts";

/** A signal that is never aborted. */
export const NEVER_ABORTED: AbortSignal = new AbortController().signal;

/** Why something ended early: its time was up, or its signal was aborted. */
export type EndCause = "late" | "aborted";

/**
 * Calls `end` once: after `ms` milliseconds (`Infinity`: never), or as soon as `signal` is aborted, whichever
 * comes first. If it is aborted already, `end` is called before this function returns. The returned function
 * cancels that; it may be called at any time and repeatedly.
 */
export function endAfter(
  signal: AbortSignal | undefined,
  ms: number,
  clock: Clock,
  end: (cause: EndCause) => void,
): () => void {
  if (signal?.aborted) {
    end("aborted");
    return () => {};
  }
  const onAbort = () => {
    cancelTimer();
    end("aborted");
  };
  const cancelTimer = ms === Infinity ? () => {} : clock.after(ms, () => {
    signal?.removeEventListener("abort", onAbort);
    end("late");
  });
  signal?.addEventListener("abort", onAbort, { once: true });
  return () => {
    cancelTimer();
    signal?.removeEventListener("abort", onAbort);
  };
}

/** A signal with a deadline. Dispose it when the work is done. */
export interface Deadline extends Disposable {
  /** Aborted when the time is up, or together with the signal that it was made from. */
  readonly signal: AbortSignal;
  /** True if it was aborted because the time was up. */
  readonly isLate: boolean;
}

/** A signal that is aborted after `ms` milliseconds or with `signal`, whichever comes first. */
export function withDeadline(signal: AbortSignal, ms: number, clock: Clock): Deadline {
  const abort = new AbortController();
  let isLate = false;
  const cancel = endAfter(signal, ms, clock, (cause) => {
    isLate = cause === "late";
    abort.abort();
  });
  return {
    signal: abort.signal,
    get isLate() {
      return isLate;
    },
    [Symbol.dispose]: cancel,
  };
}

/** Resolves when `signal` is aborted, at once if it is already. */
export function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** True if `work` has settled within `ms` milliseconds, one way or the other. It is not cancelled. */
export async function settlesWithin(
  work: Promise<unknown>,
  ms: number,
  clock: Clock,
): Promise<boolean> {
  const late = Promise.withResolvers<false>();
  const cancel = clock.after(ms, () => late.resolve(false));
  const isInTime = await Promise.race([work.then(() => true, () => true), late.promise]);
  cancel();
  return isInTime;
}

/**
 * The outcome of `work`, or a rejection with what `onLate` makes if `work` has not settled after `ms`
 * milliseconds. The work itself is not cancelled; its outcome is ignored then.
 */
export async function inTime<T>(
  work: Promise<T>,
  ms: number,
  clock: Clock,
  onLate: () => Error,
): Promise<T> {
  const late = Promise.withResolvers<never>();
  const cancel = clock.after(ms, () => late.reject(onLate()));
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    cancel();
  }
}
