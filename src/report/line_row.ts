/** What a row of the log's lines is made of: a level, a sentence, and the words that many sentences share. Pure. */
import { formatDuration } from "../base/duration.ts";
import type { Event, EventOf } from "../events/events.ts";

/** The levels of the log, the least important first. */
export const LEVELS = ["debug", "info", "warn", "error"] as const;

/** One of `LEVELS`. */
export type Level = typeof LEVELS[number];

/** The level of an event, and its sentence. */
export interface LineRow<E> {
  readonly level: Level;
  readonly line: (event: E) => string;
}

/** The rows of some events. */
export type LineRows<T extends Event["type"]> = { readonly [K in T]: LineRow<EventOf<K>> };

/** A time in milliseconds, without fractions. */
export function took(ms: number): string {
  return formatDuration(Math.max(0, Math.round(ms)));
}

/** A reason in brackets, or nothing. */
export function because(reason: string): string {
  return reason === "" ? "" : ` (${reason})`;
}
