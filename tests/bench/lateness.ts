/**
 * How late checks begin, computed from the times at which an upstream saw them. Schedules count from one
 * check to the next, so each check is compared with the one before it. Pure functions.
 */

/**
 * How late each check was, in milliseconds, of those that were due from `from` to `to`. `arrivals` are the
 * times of one upstream's checks, in order. There is no allowance for a schedule that varies by some
 * percent, as ours does. A check that was due and had not arrived at `to` counts as late by the time that
 * had passed, so that checks that stopped are seen.
 */
export function latenesses(
  arrivals: readonly number[],
  from: number,
  to: number,
  intervalMs: number,
): number[] {
  const found: number[] = [];
  let last = arrivals.findLast((at) => at <= from) ?? from;
  for (const at of arrivals) {
    if (at <= from || at > to) continue;
    found.push(Math.max(0, at - last - intervalMs));
    last = at;
  }
  if (to - last > intervalMs) found.push(to - last - intervalMs);
  return found;
}

/** Reads one line of `arrivals_program.ts`. */
export function readArrival(line: string): { readonly port: number; readonly at: number } {
  const [port, at] = line.split(" ").map(Number);
  if (!(port! > 0) || !(at! > 0)) throw new Error(`Not an arrival: ${line}`);
  return { port: port!, at: at! };
}
