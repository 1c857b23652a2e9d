/**
 * What a failed `accept` means, the same for every listener of the process. Pure.
 *
 * accept(2) also reports what befell the connection that was about to be handed over: one that was reset
 * while it waited (ECONNABORTED; Deno says ENOTCONN), one that a firewall forbids, one whose network went
 * away. That connection is gone and the next one is waiting, so a pause would only let a port scan close the
 * port to everybody. Only a shortage is a reason to wait.
 */
import { backoffMs } from "../base/backoff.ts";
import { concernsOneConnection, errorCode } from "../base/errno.ts";

/** Accept again at once; wait, because something is short here; or end, because the listener is closed. */
export type AcceptVerdict = "again" | "wait" | "stop";

/** Judges what `Deno.Listener.accept` threw. What nobody foresaw waits, so that no loop can spin. */
export function acceptVerdict(error: unknown): AcceptVerdict {
  // This is how Deno says that the listener was closed, before or during the call.
  if (error instanceof Deno.errors.BadResource) return "stop";
  if (error instanceof Deno.errors.Interrupted) return "stop";
  return concernsOneConnection(errorCode(error)) ? "again" : "wait";
}

/** The first pause of a shortage, and the longest. */
const PAUSE_FIRST_MS = 10;
const PAUSE_MAX_MS = 1_000;
/** A shortage that comes back within so long of the last line about it is the same one. */
const TELL_AGAIN_MS = 10_000;

/** How one listener bears a shortage: longer pauses from one failure to the next, one line for all. */
export class AcceptPauses {
  #failures = 0;
  #toldAt = -Infinity;

  /** A client was taken: the shortage is over. */
  over(): void {
    this.#failures = 0;
  }

  /** Accepting failed for want of something: how long to wait, and whether people are to be told. */
  next(now: number): { readonly pauseMs: number; readonly isNews: boolean } {
    const pauseMs = backoffMs(++this.#failures, PAUSE_MAX_MS, PAUSE_FIRST_MS);
    const isNews = now - this.#toldAt >= TELL_AGAIN_MS;
    this.#toldAt = isNews ? now : this.#toldAt;
    return { pauseMs, isNews };
  }
}
