/**
 * The end of a session in which one side broke, on Deno's sockets. The bytes that this side sent are still
 * on their way to the other, and closing the other socket while it has unread bytes, or gets more after that,
 * would discard them (tcp(7)). So the other side gets the end, and what it sends is dropped until it ends too.
 * Deno cannot say how much it has acknowledged, so it has a fixed time after the last byte sent to it.
 */
import type { Clock } from "../../base/clock.ts";
import { drop, type FlowEnd, throwBug } from "./streams.ts";

/** How long the peer is waited for after the last byte sent to it, in milliseconds, and how many bytes are dropped. */
const LINGER_MS = 30_000;
const LINGER_BYTES_MAX = 64 * 1_048_576;
/** It has at least this time, in milliseconds. */
const LINGER_MIN_MS = 2_000;

/** A session in which one side broke. Times are in milliseconds. */
export interface Lingering {
  /** The side that is not broken. */
  readonly sink: Deno.Conn;
  /** The direction from it to the broken side. */
  readonly back: Promise<FlowEnd>;
  readonly clock: Clock;
  /** When the last byte was sent to it. */
  readonly sentAt: number;
  /** Closes both sockets, which ends the wait. */
  readonly end: () => void;
}

/** Resolves when the side that is not broken has ended, or need not be waited for. */
export async function lingerAfterBreak(
  { sink, back, clock, sentAt, end }: Lingering,
): Promise<void> {
  const leftMs = Math.max(LINGER_MIN_MS, sentAt + LINGER_MS - clock.now());
  const cancel = clock.after(leftMs, end);
  try {
    await sink.closeWrite();
    if (await back === "sinkFailed") await drop(sink, LINGER_BYTES_MAX);
  } catch (error) {
    throwBug(error); // any other error means that this socket is over too
  } finally {
    cancel();
  }
}
