/**
 * Turns faults between an HTTP server and its clients into events and counts. Events are rate-limited, so
 * that one client cannot fill the log; counts are not. Each server of the process has one instance.
 */
import type { Clock } from "../base/clock.ts";
import { describe } from "../base/describe.ts";
import { type Fault, type FaultName, FAULTS, statusOf } from "../base/fault.ts";
import { type Http2Counts, http2Counts, type Http2Rule } from "../base/http2_rules.ts";
import { LogLimiter } from "../base/log_limiter.ts";
import type { Publish } from "./events.ts";

/** Shortest time between two events of the same kind, in milliseconds; a port scanner causes thousands. */
const LOG_INTERVAL_MS = 10_000;

/** Refusals that are not the client's fault and are published nevertheless. */
const OURS: ReadonlySet<FaultName> = new Set<FaultName>(["tooManyHeld"]);

/** The troubles of one server. Its functions may be passed on without their object. */
export class ServerTroubles {
  readonly #clock: Clock;
  readonly #publish: Publish;
  readonly #limiter = new LogLimiter(LOG_INTERVAL_MS);
  /** Refusals and broken rules of each kind since the last event about it. */
  readonly #unreported = new Map<string, number>();
  readonly #broken = new Map<Http2Rule, number>();
  /** Requests that the server itself answered with an error: 400, 408, 413, 431 … */
  refused = 0;
  /**
   * Exchanges and connections that a bug of the proxy ended, without those that the gateway has counted.
   */
  faulted = 0;

  constructor(clock: Clock, publish: Publish) {
    this.#clock = clock;
    this.#publish = publish;
  }

  /** A request or connection ended with a fault. An event is published only if the client got a refusal. */
  readonly onFault = (
    { fault, message, cause, isReported }: Fault,
    client: string,
  ): void => {
    if (fault === "internalError") {
      if (!isReported) this.onError(cause, client);
      return;
    }
    const row: { readonly side: string; readonly status?: number } = FAULTS[fault];
    const isRefusal = OURS.has(fault) || (row.side === "client" && row.status !== undefined);
    if (!isRefusal) return;
    this.refused++;
    const count = this.#countToReport(fault);
    if (count === 0) return;
    const status = statusOf(fault);
    this.#publish({ type: "request.refused", client, status, reason: message, count });
  };

  /** A client has broken a rule of HTTP/2, for which a request or its connection ended without an answer. */
  readonly onBroken = (rule: Http2Rule, reason: string, client: string): void => {
    this.#broken.set(rule, (this.#broken.get(rule) ?? 0) + 1);
    const count = this.#countToReport(`http2 ${rule}`);
    if (count > 0) this.#publish({ type: "http2.broken", client, rule, reason, count });
  };

  /** How often each rule of HTTP/2 was broken. */
  get http2(): Http2Counts {
    return http2Counts(this.#broken);
  }

  /** Counts one of this kind; how many an event about it must tell of, 0 if there may be none now. */
  #countToReport(kind: string): number {
    const count = (this.#unreported.get(kind) ?? 0) + 1;
    const isAllowed = this.#limiter.allow(kind, this.#clock.now());
    this.#unreported.set(kind, isAllowed ? 0 : count);
    return isAllowed ? count : 0;
  }

  /** An error other than a `Fault` was thrown and ended the exchange or connection: a bug. */
  readonly onError = (error: unknown, client: string): void => {
    this.faulted++;
    const reason = `an exchange of client ${client} ended: ${describe(error)}`;
    if (!this.#limiter.allow(describe(error), this.#clock.now())) return;
    this.#publish({ type: "proxy.faulted", reason });
  };

  /** The limit of connections, `max`, was reached. The caller limits how often (`base/limit_watch.ts`). */
  readonly onFull = (max: number): void => {
    this.#publish({ type: "limit.reached", limit: "connections", max });
  };
}
