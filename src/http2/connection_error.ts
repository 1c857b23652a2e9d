import type { Http2Rule } from "../base/http2_rules.ts";

/** Thrown when a client breaks a rule of HTTP/2 for which the whole connection ends (RFC 9113 section 5.4.1). */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";

  /** `code`: what GOAWAY says; `words`: the same for a person, in ASCII; `rule`: what is counted. */
  constructor(readonly code: number, readonly words: string, readonly rule: Http2Rule = "other") {
    super(words);
  }
}
