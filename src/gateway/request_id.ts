/**
 * The id of a request (`X-Request-Id`), by which it can be found in the logs of all servers that it passes. The
 * client's id is kept if it is short and has harmless characters only; otherwise one is made.
 */
import type { Fields } from "../http1/fields.ts";

/** Characters without a special meaning in a log line, a shell or a URL. */
const HARMLESS = /^[\w.:=+@~-]{1,128}$/;
const RANDOM_BYTES = 8;
const COUNT_DIGITS = 8;

/** Makes the ids of one thread. */
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
