/**
 * Sends one message: a head that is printed already, then its body from wherever it comes. What is at
 * hand leaves together with the head in one write; a body that waits is pumped, read and written by
 * turns, so that a slow receiver stops the reading.
 */
import { Fault } from "../base/fault.ts";
import type { BodySource } from "./body.ts";
import { CHUNKED, type Framing, UNTIL_CLOSE } from "./framing.ts";
import type { HeadWriter } from "./head_writer.ts";
import type { BufferedConn } from "./buffered_conn.ts";

/** Payload up to this size is copied behind what waits to be written; more gets its own write. */
const TOGETHER_BYTES_MAX = 16 * 1024;

/**
 * Sends what `out` holds, then `body` in this framing; undefined if all of it went at once. Rejects, or
 * throws, the Fault of either side.
 */
export function sendMessage(
  wire: BufferedConn,
  out: HeadWriter,
  framing: Framing,
  body: BodySource | undefined,
): Promise<void> | undefined {
  if (body === undefined || framing === 0) return wire.send(out.bytes, out.length);
  if (framing === CHUNKED) return sendChunked(wire, out, body);
  const first = body.ready?.();
  const isWhole = first?.length === framing && framing <= TOGETHER_BYTES_MAX && body.ended === true;
  if (isWhole && body.done !== undefined) {
    out.raw(first);
    body.done();
    return wire.send(out.bytes, out.length);
  }
  return sendPlain(wire, out, framing === UNTIL_CLOSE ? Infinity : framing, body, first);
}

async function sendPlain(
  wire: BufferedConn,
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
  if (out.length > 0) await wire.send(out.bytes, out.length);
  out.clear();
  while (left > 0) {
    part ??= await body.read();
    if (part === undefined) break;
    left = reduce(left, part);
    await wire.send(part);
    part = undefined;
  }
  // Asked once more, the source learns that we are done, and we that it was as long as it said.
  if (left === 0 && await body.read() !== undefined) throw new TypeError(TOO_LONG);
  if (left > 0 && length !== Infinity) throw new Fault("responseCut", "body shorter than declared");
}

const TOO_LONG = "Cannot send a body longer than its declared length";

function reduce(left: number, part: Uint8Array): number {
  if (part.length > left) throw new TypeError(TOO_LONG);
  return left - part.length;
}

async function sendChunked(wire: BufferedConn, out: HeadWriter, body: BodySource): Promise<void> {
  for (;;) {
    let part = body.ready?.();
    while (part !== undefined) {
      out.chunk(part);
      if (out.length > TOGETHER_BYTES_MAX) {
        await wire.send(out.bytes, out.length);
        out.clear();
      }
      part = body.ready?.();
    }
    if (body.ended === true) break;
    if (out.length > 0) {
      await wire.send(out.bytes, out.length);
      out.clear();
    }
    part = await body.read();
    if (part === undefined) break;
    out.chunk(part);
  }
  out.lastChunk(body.trailers);
  await wire.send(out.bytes, out.length);
  // Lets a body that ended while it was `ready` say so.
  if (body.ended === true) await body.read();
}

/** Bytes at hand as a source. */
export function bytesSource(bytes: Uint8Array): BodySource {
  let rest: Uint8Array | undefined = bytes.length > 0 ? bytes : undefined;
  const take = () => {
    const taken = rest;
    rest = undefined;
    return taken;
  };
  return { length: bytes.length, ready: take, read: () => Promise.resolve(take()) };
}
