/** Lengths of time as people write them (`250ms`, `2s`, `1m30s`) and as code has them: milliseconds. */
import { ConfigError, type Parsed } from "./config_error.ts";

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** The longest time we take: a timer of more milliseconds than this fires at once in JavaScript. */
export const DURATION_MAX_MS = 2 ** 31 - 1;

/** Reads a duration into milliseconds. A bare number counts in seconds, as in the original program. */
export function parseDuration(text: string): Parsed<number> {
  const expected = new ConfigError(
    "a duration like 250ms, 2s, 1m30s or a number of seconds, at most 24d",
  );
  const whole = /^\d+(\.\d+)?$/.test(text) ? `${text}s` : text;
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(whole)) return expected;
  let totalMs = 0;
  for (const [, amount, unit] of whole.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    totalMs += Number(amount) * UNIT_MS[unit!]!;
  }
  return totalMs <= DURATION_MAX_MS ? Math.round(totalMs) : expected;
}

/** Prints milliseconds in the shortest exact way: `0s`, `250ms`, `1.5s`, `1m30s`, `2h`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  const rounded = Math.round(ms);
  if (rounded < 1_000) return `${rounded}ms`;
  if (rounded < 60_000) return `${rounded / 1_000}s`;
  const parts: string[] = [];
  let rest = Math.round(rounded / 1_000) * 1_000;
  for (const unit of ["d", "h", "m", "s"]) {
    const size = UNIT_MS[unit]!;
    const count = Math.floor(rest / size);
    if (count > 0) parts.push(`${count}${unit}`);
    rest -= count * size;
  }
  return parts.join("");
}
