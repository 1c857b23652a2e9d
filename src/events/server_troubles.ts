/**
 * Turns faults between an HTTP server and its clients into events and counts. Events are rate-limited, so
 * that one client cannot fill the log; counts are not. Each server of the process has one instance.
 */
import type { Clock } from "../base/clock.ts";
import { describe } from "../base/describe.ts";
import { type Fault, type FaultName, FAULTS, statusOf } from "../base/fault.ts";
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
  /** Refusals of each kind since the last event about it. */
  readonly #unreported = new Map<FaultName, number>();
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
    const count = (this.#unreported.get(fault) ?? 0) + 1;
    this.#unreported.set(fault, count);
    if (!this.#limiter.allow(fault, this.#clock.now())) return;
    this.#unreported.delete(fault);
    const status = statusOf(fault);
    this.#publish({ type: "request.refused", client, status, reason: message, count });
  };

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
