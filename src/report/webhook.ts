/**
 * Sends notices of failovers and recoveries to a web service. Notices wait in a short queue and are sent one
 * after another in the background; a receiver that is slow, broken or unreachable can cost a notice, but
 * never delays anything else. The URL is a secret: it, and errors that may contain it, never leave this
 * module.
 */
import { backoffMs } from "../base/backoff.ts";
import { type Clock, sleep } from "../base/clock.ts";
import { withDeadline } from "../base/deadline.ts";
import type { Publish } from "../events/events.ts";
import type { Stamped } from "../events/stream.ts";
import type { Notice, Notices } from "./notices.ts";
import { formatFor, type PayloadFormat, payloadOf } from "./payload.ts";

/** Where notices go, and in which format. */
export interface WebhookSettings {
  readonly url: URL;
  /** `auto` chooses by the host of the URL. */
  readonly format: PayloadFormat | "auto";
}

/** Most notices that wait; beyond this the oldest is dropped. */
export const NOTICES_MAX = 32;
/** Deadline of one attempt, in milliseconds. */
export const ATTEMPT_MS = 5_000;

/** How often a notice is sent until it is given up; the pauses grow (`base/backoff.ts`). */
export const ATTEMPTS_MAX = 5;
/** Longest pause between two attempts, in milliseconds. */
const PAUSE_MAX_MS = 30_000;
/** How long the end of the process waits for notices that are not sent yet, in milliseconds. */
export const FLUSH_MS = 2_000;

/** The outcome of an attempt: sent, or the reason why not and whether to try again. */
type DeliveryOutcome = "sent" | { readonly reason: string; readonly mayRetry: boolean };

/** The sender of the process. A notice that is lost is counted in `lost` and published. */
export class Webhook implements AsyncDisposable {
  readonly #settings: WebhookSettings;
  readonly #format: PayloadFormat;
  readonly #notices: Notices;
  readonly #clock: Clock;
  readonly #publish: Publish;
  readonly #queue: Notice[] = [];
  readonly #stop = new AbortController();
  #sending: Promise<void> | undefined;
  #lost = 0;
  #closed = false;

  constructor(
    settings: WebhookSettings,
    ports: { readonly notices: Notices; readonly clock: Clock; readonly publish: Publish },
  ) {
    this.#settings = settings;
    this.#format = settings.format === "auto" ? formatFor(settings.url) : settings.format;
    this.#notices = ports.notices;
    this.#clock = ports.clock;
    this.#publish = ports.publish;
  }

  /** Notices dropped since the start, because the queue was full or every attempt failed. */
  get lost(): number {
    return this.#lost;
  }

  /** Takes one event. Returns at once and never throws, so it can subscribe to the event stream. */
  readonly take = (stamped: Stamped): void => {
    const notice = this.#notices.take(stamped);
    if (notice === undefined || this.#closed) return;
    if (this.#queue.length >= NOTICES_MAX) {
      const dropped = this.#queue.shift()!;
      this.#giveUp(dropped, 0, "too many are waiting");
    }
    this.#queue.push(notice);
    this.#sending ??= this.#sendAll();
  };

  /** Stops taking events and sends the waiting notices, for at most `FLUSH_MS`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    const cancel = this.#clock.after(FLUSH_MS, () => this.#stop.abort());
    await this.#sending;
    cancel();
  }

  async #sendAll(): Promise<void> {
    // Starts in a later microtask, after the decision that caused the notice was carried out.
    await Promise.resolve();
    for (let notice = this.#queue.shift(); notice; notice = this.#queue.shift()) {
      await this.#send(notice);
    }
    this.#sending = undefined;
  }

  async #send(notice: Notice): Promise<void> {
    const { signal } = this.#stop;
    const body = JSON.stringify(payloadOf(this.#format, notice));
    for (let attempt = 1;; attempt++) {
      if (signal.aborted) return this.#giveUp(notice, attempt - 1, "the proxy stops");
      const outcome = await this.#post(body);
      if (outcome === "sent") {
        return this.#publish({ type: "notification.sent", kind: notice.kind, attempts: attempt });
      }
      if (!outcome.mayRetry || attempt === ATTEMPTS_MAX) {
        return this.#giveUp(notice, attempt, outcome.reason);
      }
      // Only the stop signal rejects it; the next iteration sees that.
      await sleep(this.#clock, backoffMs(attempt, PAUSE_MAX_MS), signal).catch(() => {});
    }
  }

  #giveUp({ kind }: Notice, attempts: number, reason: string): void {
    this.#lost++;
    this.#publish({ type: "notification.lost", kind, attempts, reason });
  }

  /** Makes one attempt. Redirects are not followed, so that a notice goes only to the configured URL. */
  async #post(body: string): Promise<DeliveryOutcome> {
    using deadline = withDeadline(this.#stop.signal, ATTEMPT_MS, this.#clock);
    try {
      const response = await fetch(this.#settings.url, {
        method: "POST",
        headers: { "content-type": "application/json", "user-agent": "failover" },
        body,
        redirect: "manual",
        signal: deadline.signal,
      });
      await response.body?.cancel();
      return outcomeOf(response.status);
    } catch {
      // The error's message contains the URL, which is secret.
      return {
        reason: deadline.isLate ? "no answer in time" : "cannot be reached",
        mayRetry: true,
      };
    }
  }
}

/** The outcome for a response's status. After 408, 425, 429 and 5xx another attempt may succeed. */
function outcomeOf(status: number): DeliveryOutcome {
  if (status >= 200 && status < 300) return "sent";
  const mayRetry = status >= 500 || status === 408 || status === 425 || status === 429;
  return { reason: `answered with status ${status}`, mayRetry };
}
