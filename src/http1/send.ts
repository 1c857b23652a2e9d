/**
 * Sends one message: a head that is already printed, then its body from any source. Bytes that are available
 * without waiting leave together with the head in one write. Otherwise reads and writes of the body alternate, so
 * that a slow receiver stops the reading.
 */
import { Fault } from "../base/fault.ts";
import type { BodySource } from "./body.ts";
import { CHUNKED, type Framing, UNTIL_CLOSE } from "./framing.ts";
import type { HeadWriter } from "./head_writer.ts";
import type { MaybeDone } from "./maybe_done.ts";
import type { BufferedConn } from "./buffered_conn.ts";

/** Payload up to this size, in bytes, is copied behind the head; larger parts get a separate write. */
const TOGETHER_BYTES_MAX = 16 * 1024;

/**
 * Sends what `out` holds, then `body` in this framing (RFC 9112 section 6). Rejects with the Fault of the
 * source or of the receiver; with a TypeError if the body is longer than its declared length.
 */
export function sendMessage(
  io: BufferedConn,
  out: HeadWriter,
  framing: Framing,
  body: BodySource | undefined,
): MaybeDone {
  if (body === undefined || framing === 0) return io.send(out.bytes, out.length);
  if (framing === CHUNKED) return sendChunked(io, out, body);
  if (framing > 0 && framing <= TOGETHER_BYTES_MAX && body.copyAllTo?.(out) === true) {
    return io.send(out.bytes, out.length);
  }
  let first: Uint8Array | undefined;
  try {
    first = body.ready?.();
  } catch (error) {
    return Promise.reject(error);
  }
  const isWhole = framing <= TOGETHER_BYTES_MAX && body.ended === true;
  if (isWhole && first?.length === framing && body.done !== undefined) {
    out.raw(first);
    body.done();
    return io.send(out.bytes, out.length);
  }
  return sendPlain(io, out, framing === UNTIL_CLOSE ? Infinity : framing, body, first);
}

async function sendPlain(
  io: BufferedConn,
  out: HeadWriter,
  length: number,
  body: BodySource,
  first: Uint8Array | undefined,
): Promise<void> {
  let left = length;
  let part = first;
  if (part !== undefined && part.length <= TOGETHER_BYTES_MAX) {
    left = reduce(left, part);
    out.raw(part);
    part = undefined;
  }
  if (out.length > 0) await io.send(out.bytes, out.length);
  out.clear();
  while (left > 0) {
    part ??= await body.read();
    if (part === undefined) break;
    left = reduce(left, part);
    await io.send(part);
    part = undefined;
  }
  // The last read shows the source that we are done, and us that it was as long as declared.
  if (left === 0 && await body.read() !== undefined) throw new TypeError(TOO_LONG);
  if (left > 0 && length !== Infinity) throw new Fault("responseCut", "body shorter than declared");
}

const TOO_LONG = "Cannot send a body longer than its declared length";

function reduce(left: number, part: Uint8Array): number {
  if (part.length > left) throw new TypeError(TOO_LONG);
  return left - part.length;
}

async function sendChunked(io: BufferedConn, out: HeadWriter, body: BodySource): Promise<void> {
  for (;;) {
    let part = body.ready?.();
    while (part !== undefined) {
      out.chunk(part);
      if (out.length > TOGETHER_BYTES_MAX) {
        await io.send(out.bytes, out.length);
        out.clear();
      }
      part = body.ready?.();
    }
    if (body.ended === true) break;
    if (out.length > 0) {
      await io.send(out.bytes, out.length);
      out.clear();
    }
    part = await body.read();
    if (part === undefined) break;
    out.chunk(part);
  }
  out.lastChunk(body.trailers);
  await io.send(out.bytes, out.length);
  // A body that ended in `ready` announces its end only in a read.
  if (body.ended === true) await body.read();
}

/** A body that is in memory. */
export function bytesSource(bytes: Uint8Array): BodySource {
  let rest: Uint8Array | undefined = bytes.length > 0 ? bytes : undefined;
  const take = () => {
    const taken = rest;
    rest = undefined;
    return taken;
  };
  return { length: bytes.length, ready: take, read: () => Promise.resolve(take()) };
}
