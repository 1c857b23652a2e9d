/** Which clock the checks of a service use. */
import type { Clock } from "../base/clock.ts";

/** The shortest interval of checks, in milliseconds, that may be longer by the 16 ms of the coarse clock. */
const COARSE_FROM_MS = 1_000;

/** The coarse clock, unless checks follow each other so fast that 16 ms are much of the interval. */
export function checkClockOf(
  { checkInterval }: { readonly checkInterval: number },
  { clock, coarseClock }: { readonly clock: Clock; readonly coarseClock: Clock },
): Clock {
  return checkInterval < COARSE_FROM_MS ? clock : coarseClock;
}
