/** The state of one exchange over all its attempts. */
import type { Fault, FaultName } from "../base/fault.ts";
import type { AccessNotes } from "./access_log.ts";
import { type KeptTotal, RequestBody } from "./body.ts";
import { Task } from "../http1/task.ts";
import type { Client } from "./downstream.ts";
import { NO_UPSTREAM } from "./request_times.ts";
import { DELIVERIES_MAX, isRepeatable } from "./retry.ts";

/** The options that apply to a request from its beginning. */
export interface RequestSettings {
  /** The largest request body, in bytes. */
  readonly bodyMax: number;
  /** Whether an `Idempotency-Key` makes any request repeatable. */
  readonly honourIdempotencyKey: boolean;
  /** The value of `Strict-Transport-Security` in responses over HTTPS; none where it is missing. */
  readonly hsts?: string | undefined;
}

const NONE: readonly string[] = [];

/** One exchange, over all its attempts. It ends as a task when its client is served, or cannot be. */
export class RequestState extends Task {
  readonly body: RequestBody | undefined;
  readonly isRepeatable: boolean;
  attempts = 0;
  /** The number of the upstream that it was sent to last; `NO_UPSTREAM` if we answer it ourselves. */
  upstream = NO_UPSTREAM;
  /** How many permits of the retry budget it holds. */
  retryPermits = 0;
  /** Failed attempts in which at least one byte was sent. */
  deliveries = 0;
  /** Failed attempts that ended because of a shortage on this machine. */
  shortages = 0;
  /** True if a fresh connection was tried already in place of a stale one. */
  refreshed = false;
  /** Why the last attempt failed. */
  reason: FaultName | undefined;
  /** When its waiting must end, in the milliseconds of the clock; set by the first wait. */
  holdBy: number | undefined;
  /** Names of the upstreams on which it failed since its last wait. */
  failed: readonly string[] = NONE;
  /** The attempt that an upstream is working on. Set and cleared by that attempt alone. */
  attempt: { clientLeft(fault: Fault): void } | undefined;
  /** What the access log will tell of it, if there is one. */
  notes: AccessNotes | undefined;
  /** What upstream and client receive as `X-Request-Id`, if requests get one. */
  requestId: string | undefined;
  /** The value of `Strict-Transport-Security` for the client, if it is to have one. */
  readonly hsts: string | undefined;
  #leaving: AbortController | undefined;

  constructor(
    readonly client: Client,
    readonly scheme: "http" | "https",
    settings: RequestSettings,
    kept: KeptTotal,
    /** When it began, in the milliseconds of the clock. */
    readonly since: number,
  ) {
    super();
    const { head, body } = client;
    this.hsts = scheme === "https" ? settings.hsts : undefined;
    const isHonoured = settings.honourIdempotencyKey && head.fields.find("idempotency-key") >= 0;
    this.isRepeatable = isRepeatable(head.method, isHonoured);
    this.body = body.none
      ? undefined
      : new RequestBody(body, settings.bodyMax, this.isRepeatable, kept);
    client.whenGone = (fault) => {
      this.attempt?.clientLeft(fault);
      this.#leaving?.abort();
    };
  }

  /** True if all of it that the client has sent so far, and will send, can be sent once more. */
  get mayBeRepeated(): boolean {
    return this.isRepeatable && this.deliveries + 1 < DELIVERIES_MAX &&
      (this.body === undefined || (this.client.body.ended === true && this.body.replayable));
  }

  /** For `RequestSource`: who the client is, for the lines that upstreams get. */
  get peer(): string {
    return this.client.peer;
  }

  get connection(): Client {
    return this.client;
  }

  /**
   * Aborted when the client leaves. Everything that the exchange waits for between its attempts takes it. It
   * is made when it is first asked for, since most exchanges never wait.
   */
  get signal(): AbortSignal {
    if (this.#leaving === undefined) {
      this.#leaving = new AbortController();
      if (this.client.gone !== undefined) this.#leaving.abort();
    }
    return this.#leaving.signal;
  }
}
