/** Giving up: how a question ends when its signal is aborted. */
import { Fault } from "../base/fault.ts";
import type { Link } from "./link.ts";

/** The question was given up by whoever asked it. */
export function cancelled(): Fault {
  return new Fault("connectFailed", "cancelled");
}

/** Runs `work`; if it fails or the signal is aborted, the link is ended. */
export async function endingOnAbort<T>(
  link: Link,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const end = () => {
    link.abort();
    aborted.reject(cancelled());
  };
  aborted.promise.catch(() => {});
  signal.addEventListener("abort", end, { once: true });
  try {
    if (signal.aborted) end();
    return await Promise.race([work(), aborted.promise]);
  } catch (error) {
    link.abort();
    throw error;
  } finally {
    signal.removeEventListener("abort", end);
  }
}

/** Awaits `work`, or rejects as soon as the signal is aborted; the work goes on. */
export async function untilAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  if (signal.aborted) throw cancelled();
  const aborted = Promise.withResolvers<never>();
  const end = () => aborted.reject(cancelled());
  signal.addEventListener("abort", end, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", end);
  }
}
