/** What a response head says about its connection, beside the framing. Pure functions. */
import type { ResponseHead } from "./head.ts";

/**
 * A 204 or 304 ends with its head (RFC 9112 section 6.3). If it declares a body nevertheless, we cannot know
 * whether the upstream sends one.
 */
export function hasDoubtfulFraming({ status, semantics }: ResponseHead): boolean {
  return (status === 204 || status === 304) && (semantics.chunked || semantics.length > 0);
}

/** `Keep-Alive: timeout=5`: how long the upstream keeps an idle connection, in milliseconds. */
export function announcedMs({ fields, semantics }: ResponseHead): number | undefined {
  if (semantics.keepAliveLine < 0) return undefined;
  const value = fields.value(semantics.keepAliveLine);
  const seconds = /(?:^|[,;\s])timeout=(\d{1,6})/i.exec(value)?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1_000;
}

/** How long we keep a connection that the upstream keeps for `ms`: a second less, but at least half. */
export function keptFor(ms: number): number {
  return Math.max(ms - 1_000, ms / 2, 1);
}

/** True for server-sent events, in which silence is normal. */
export function isEventStream({ fields }: ResponseHead): boolean {
  return /^text\/event-stream\s*(?:;|$)/i.test(fields.get("content-type") ?? "");
}
