/**
 * The end of a session of which one side broke, on Deno's sockets. What that side said is on its way to the
 * other, and closing the other's socket while bytes of its own lie unread would throw it away (tcp(7)). So
 * it is told the end, and what it says is dropped until it ends too. How much it has taken cannot be asked
 * here; one that says nothing for a while is left to the kernel, which delivers what it has.
 */
import type { Clock } from "../../base/clock.ts";
import { drop, type FlowEnd, type Inlet, throwBug } from "./streams.ts";

/** How long after the last byte, and for how many bytes of its own, a peer may take in the rest. */
const LINGER_MS = 30_000;
const LINGER_BYTES_MAX = 64 * 1_048_576;
/** One that says nothing between two looks is not waited for. */
const LOOK_MS = 2_000;

export interface Lingering {
  /** The side that is still there, and what reads from it. */
  readonly sink: Deno.Conn;
  readonly fromSink: Inlet;
  /** The direction from it to the broken side. */
  readonly back: Promise<FlowEnd>;
  readonly clock: Clock;
  /** When a byte last moved. */
  readonly sentAt: number;
  /** Closes both sockets, which ends the wait. */
  readonly end: () => void;
}

/** Resolves when the side that is still there has ended, or need not be waited for. */
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
    cancel = clock.after(LOOK_MS, look);
  };
  cancel = clock.after(LOOK_MS, look);
  try {
    await sink.closeWrite();
    const backEnd = await back;
    isBackOver = true;
    seen = -1;
    if (backEnd === "sinkFailed") await drop(sink, LINGER_BYTES_MAX, (bytes) => dropped += bytes);
  } catch (error) {
    throwBug(error); // any other says that this socket is over too
  } finally {
    cancel();
  }
}
