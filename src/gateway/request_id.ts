/**
 * The id of a request, by which it is found in the logs of all that it passes: `X-Request-Id`. One that the client
 * sent is taken over if it is short and harmless, otherwise one is made.
 */
import type { Fields } from "../http1/fields.ts";

/** Characters that mean nothing in a log line, a shell or a URL. */
const HARMLESS = /^[\w.:=+@~-]{1,128}$/;
const RANDOM_BYTES = 8;
const COUNT_DIGITS = 8;

export class RequestIds {
  /** Different in each process and thread. */
  readonly #prefix: string;
  #count = 0;

  constructor() {
    const random = crypto.getRandomValues(new Uint8Array(RANDOM_BYTES));
    this.#prefix = Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  /** The id of the request with these fields. */
  of(fields: Fields): string {
    const at = fields.find("x-request-id");
    if (at >= 0 && fields.find("x-request-id", at + 1) < 0) {
      const sent = fields.value(at);
      if (HARMLESS.test(sent)) return sent;
    }
    return this.#prefix + (++this.#count).toString(16).padStart(COUNT_DIGITS, "0");
  }
}
