/**
 * What a failed `accept` means, the same for every listener of the process. Pure.
 *
 * accept(2) also reports errors of the connection that it was about to return: it was reset while it waited
 * (ECONNABORTED; Deno says ENOTCONN), a firewall forbids it, its network has gone. That connection is lost and
 * the next one is waiting, so a pause would let a port scan close the port to everybody. Only a shortage is a
 * reason to wait.
 */
import { backoffMs } from "../base/backoff.ts";
import { concernsOneConnection, errorCode } from "../base/errno.ts";

/** Connections that the kernel keeps in an accept queue; `net.core.somaxconn` limits it further (listen(2)). */
export const BACKLOG = 4_096;

/** Accept again at once; wait, because a resource is exhausted; or stop, because the listener is closed. */
export type AcceptVerdict = "again" | "wait" | "stop";

/** Judges what `Deno.Listener.accept` threw. An unknown error means `wait`, so that no loop can spin. */
export function acceptVerdict(error: unknown): AcceptVerdict {
  // Deno throws these if the listener was closed, before or during the call.
  if (error instanceof Deno.errors.BadResource) return "stop";
  if (error instanceof Deno.errors.Interrupted) return "stop";
  return concernsOneConnection(errorCode(error)) ? "again" : "wait";
}

/** The first pause of a shortage, and the longest. */
const PAUSE_FIRST_MS = 10;
const PAUSE_MAX_MS = 1_000;
/** A shortage that returns within this time after the last log line about it is not reported again. */
const LOG_INTERVAL_MS = 10_000;

/** The pauses of one listener in a shortage: each longer than the one before, with one log line for all. */
export class AcceptPauses {
  #failures = 0;
  #publishedAt = -Infinity;

  /** A client was accepted: the shortage is over. */
  over(): void {
    this.#failures = 0;
  }

  /** An accept failed in a shortage: how long to wait, and whether it should be reported. `now` in milliseconds. */
  next(now: number): { readonly pauseMs: number; readonly isNews: boolean } {
    const pauseMs = backoffMs(++this.#failures, PAUSE_MAX_MS, PAUSE_FIRST_MS);
    const isNews = now - this.#publishedAt >= LOG_INTERVAL_MS;
    this.#publishedAt = isNews ? now : this.#publishedAt;
    return { pauseMs, isNews };
  }
}
