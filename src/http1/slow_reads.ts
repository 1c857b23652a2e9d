/** How a server reads bytes that arrive slowly, and bytes that it does not use. */
import type { Fault } from "../base/fault.ts";
import type { Body } from "./body.ts";
import type { BufferedConn } from "./buffered_conn.ts";

/**
 * After a response the client may still be sending, and closing at once would destroy the response (RFC 9112
 * section 9.6). So we read and drop, within these limits (a lingering close).
 */
const LINGER_MS = 5_000;
const LINGER_BYTES_MAX = 64 * 1024 * 1024;

const LF = 10;

/**
 * Reads until a line of a head may be complete: parsing after each byte would take quadratic time. False if the
 * client has closed its side. Rejects with a Fault.
 */
export async function readLine(io: BufferedConn, headBytesMax: number): Promise<boolean> {
  const { input } = io;
  const had = input.length;
  for (;;) {
    if (!await io.fill()) return false;
    const have = input.length;
    if (have >= headBytesMax || have - had >= 1024) return true;
    if (input.bytes.subarray(input.start + had, input.end).includes(LF)) return true;
  }
}

/**
 * Reads and drops the rest of a body: `ended` if that worked, else why not. Rejects with the Fault of the
 * connection.
 */
export async function discard(body: Body): Promise<"ended" | "tooMuch" | Fault> {
  let bytes = 0;
  try {
    while (bytes <= LINGER_BYTES_MAX) {
      const view = await body.read();
      if (view === undefined) return "ended";
      bytes += view.length;
    }
  } catch (error) {
    if (error !== body.broken) throw error;
    return body.broken!;
  }
  return "tooMuch";
}

/** Closes our sending side and reads for a moment what the client still sends (RFC 9112 section 9.6). */
export async function lingerAfterResponse(io: BufferedConn): Promise<void> {
  await io.closeWrite();
  const by = io.deadlines.in(LINGER_MS);
  const before = io.received;
  do {
    io.input.clear();
    // Set again each time, because a read of the body that was still pending clears the deadline.
    io.readBy(by, "idleTimeout");
  } while (io.received - before < LINGER_BYTES_MAX && await io.fill(true));
}
