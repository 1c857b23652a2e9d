/** The rules of HTTP/2 whose breaches are counted, each for itself: the counter, and the name for people. */
export const HTTP2_RULES = {
  /** Too many streams that the client has reset, or that were reset for its mistakes (CVE-2023-44487). */
  http2Resets: "resets",
  /** Too many SETTINGS and PING frames. */
  http2Answered: "answered",
  /** Too many frames without any payload. */
  http2Empty: "empty",
  /** Too many frames that mean nothing to us. */
  http2Ignored: "ignored",
  /** Too many WINDOW_UPDATE frames. */
  http2Windows: "windows",
  /** More requests at one time than one connection may have. */
  http2Streams: "streams",
  /** A head of more bytes than one may have, before or after it was decompressed, or of more fields. */
  http2HeadSize: "head_size",
  /** A head in more CONTINUATION frames than one may have. */
  http2Continuations: "continuations",
  /** A head or the preface was not complete in time. */
  http2SlowHead: "slow_head",
  /** No window was opened for a response in time, or hardly any, or nothing was read from the connection. */
  http2SlowWindows: "slow_windows",
  /** All others. */
  http2Other: "other",
} as const;

/** A name of a rule. */
export type Http2Rule = (typeof HTTP2_RULES)[keyof typeof HTTP2_RULES];

/** How often each rule was broken. */
export type Http2Counts = Readonly<Record<keyof typeof HTTP2_RULES, number>>;

/** The counters of all rules, also of those that were never broken. */
export function http2Counts(counts: ReadonlyMap<Http2Rule, number>): Http2Counts {
  const entries = Object.entries(HTTP2_RULES).map(([key, rule]) => [key, counts.get(rule) ?? 0]);
  return Object.fromEntries(entries) as Http2Counts;
}
