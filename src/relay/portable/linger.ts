/**
 * The end of a session in which one side broke, on Deno's sockets. The bytes that this side sent are still
 * on their way to the other, and closing the other socket while it has unread bytes would discard them
 * (tcp(7)). So the other side gets the end, and what it sends is dropped until it ends too. Deno cannot tell
 * how much it has acknowledged; a side that sends nothing for a while is closed, and the kernel delivers the
 * rest.
 */
import type { Clock } from "../../base/clock.ts";
import { drop, type FlowEnd, type SourceReader, throwBug } from "./streams.ts";

/** How long after the last byte, and for how many dropped bytes, we wait for the peer. */
const LINGER_MS = 30_000;
const LINGER_BYTES_MAX = 64 * 1_048_576;
/** A peer that sends nothing in this time is not waited for. */
const POLL_MS = 2_000;

export interface Lingering {
  /** The side that is not broken, and the reader of its socket. */
  readonly sink: Deno.Conn;
  readonly fromSink: SourceReader;
  /** The direction from it to the broken side. */
  readonly back: Promise<FlowEnd>;
  readonly clock: Clock;
  /** When a byte last moved. */
  readonly sentAt: number;
  /** Closes both sockets, which ends the wait. */
  readonly end: () => void;
}

/** Resolves when the side that is not broken has ended, or need not be waited for. */
export async function linger(session: Lingering): Promise<void> {
  const { sink, fromSink, back, clock, sentAt, end } = session;
  let dropped = 0;
  let seen = 0;
  let isBackOver = false;
  let cancel = () => {};
  const look = () => {
    const isStuck = !isBackOver && !fromSink.isReading; // a write to the broken side is not over yet
    if (clock.now() >= sentAt + LINGER_MS || (dropped === seen && !isStuck)) return end();
    seen = dropped;
    cancel = clock.after(POLL_MS, look);
  };
  cancel = clock.after(POLL_MS, look);
  try {
    await sink.closeWrite();
    const backEnd = await back;
    isBackOver = true;
    seen = -1;
    if (backEnd === "sinkFailed") await drop(sink, LINGER_BYTES_MAX, (bytes) => dropped += bytes);
  } catch (error) {
    throwBug(error); // any other error means that this socket is over too
  } finally {
    cancel();
  }
}
