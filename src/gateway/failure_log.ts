/** Exchanges that failed: each is counted, and events about them are limited in rate. */
import type { Clock } from "../base/clock.ts";
import { describe } from "../base/describe.ts";
import { type Fault, faultOf } from "../base/fault.ts";
import { LogLimiter } from "../base/log_limiter.ts";
import type { Publish } from "../events/events.ts";
import type { Client } from "./downstream.ts";

/** The same failure is published at most once in this time, in milliseconds. */
const LOG_INTERVAL_MS = 1_000;

/** The failures of one service in one thread. */
export class FailureLog {
  readonly #clock: Clock;
  readonly #publish: Publish;
  readonly #limiter = new LogLimiter(LOG_INTERVAL_MS);
  /** Exchanges that were answered with an error or cut, because of an upstream or of this program. */
  lost = 0;
  /** Exchanges that a bug in this program ended. */
  faulted = 0;

  constructor(clock: Clock, publish: Publish) {
    this.#clock = clock;
    this.#publish = publish;
  }

  /** Records a response that was not passed on to its end, unless that was because its client left. */
  cut({ gone, peer }: Client, upstream: string, { message: reason }: Fault): void {
    if (gone !== undefined) return;
    this.lost++;
    if (!this.#limiter.allow(`${upstream} ${reason}`, this.#clock.now())) return;
    this.#publish({ type: "session.failed", upstream, client: peer, reason });
  }

  /** Returns what was thrown as a Fault. Anything else is a bug in this program, which is counted and published. */
  faultOf(error: unknown): Fault {
    const fault = faultOf(error);
    if (fault.fault !== "internalError" || fault.isReported) return fault;
    const reason = describe(fault.cause ?? fault);
    this.faulted++;
    fault.isReported = true;
    if (this.#limiter.allow(reason, this.#clock.now())) {
      this.#publish({ type: "proxy.faulted", reason });
    }
    return fault;
  }
}
