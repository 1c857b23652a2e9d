/**
 * What goes wrong between a server and its clients, as events: limiter enough for a log, and counted. Each
 * server of the process has one of these, whatever it serves.
 */
import type { Clock } from "../base/clock.ts";
import { type Fault, type FaultName, FAULTS, statusOf } from "../base/fault.ts";
import { LogLimiter } from "../base/log_limiter.ts";
import type { Publish } from "./events.ts";

/** The same is told once in this time; a scanner brings thousands. */
const SAY_AGAIN_MS = 10_000;

/** Refusals that are no fault of the client, and are told all the same. */
const OURS: ReadonlySet<FaultName> = new Set<FaultName>(["tooManyHeld"]);

export class ServerTroubles {
  readonly #clock: Clock;
  readonly #publish: Publish;
  readonly #limiter = new LogLimiter(SAY_AGAIN_MS);
  /** How many of each kind were refused since it was told last. */
  readonly #untold = new Map<FaultName, number>();
  /** Requests that were answered with a refusal of the server itself: 400, 408, 413, 431 … */
  refused = 0;
  /** Exchanges and connections that a bug of ours ended, without those that were counted where it happened. */
  faulted = 0;

  constructor(clock: Clock, publish: Publish) {
    this.#clock = clock;
    this.#publish = publish;
  }

  /** A request or connection ended badly; only what was answered by a refusal is told. */
  readonly onFault = ({ fault, message, cause, isTold }: Fault, client: string): void => {
    if (fault === "internalError") {
      if (!isTold) this.onError(cause, client);
      return;
    }
    const row: { readonly side: string; readonly status?: number } = FAULTS[fault];
    const isRefusal = OURS.has(fault) || (row.side === "client" && row.status !== undefined);
    if (!isRefusal) return;
    this.refused++;
    const count = (this.#untold.get(fault) ?? 0) + 1;
    this.#untold.set(fault, count);
    if (!this.#limiter.allow(fault, this.#clock.now())) return;
    this.#untold.delete(fault);
    const status = statusOf(fault);
    this.#publish({ type: "request.refused", client, status, reason: message, count });
  };

  /** Something that is no Fault was thrown; it ended what it happened in. */
  readonly onError = (error: unknown, client: string): void => {
    this.faulted++;
    const reason = `an exchange of client ${client} ended: ${described(error)}`;
    if (!this.#limiter.allow(described(error), this.#clock.now())) return;
    this.#publish({ type: "proxy.faulted", reason });
  };

  /** The limit of connections was reached. */
  readonly onFull = (max: number): void => {
    if (!this.#limiter.allow("full", this.#clock.now())) return;
    this.#publish({ type: "limit.reached", limit: "connections", max });
  };
}

/** The error in one line, with the innermost place in our own code. */
function described(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const place = /\bat (?:.*\()?\S*?((?:src|tests)\/[\w/.]+:\d+)/.exec(error.stack ?? "")?.[1];
  const text = `${error.name}: ${error.message}`.replace(/\s+/g, " ");
  return place === undefined ? text : `${text} (${place})`;
}
