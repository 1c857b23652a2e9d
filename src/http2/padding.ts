/** Padding of frames (RFC 9113 section 6.1). */
import { ConnectionError } from "./connection_error.ts";
import { ERROR, FLAG } from "./frames.ts";

/** Where the payload of a frame begins and ends that may be padded. */
export function unpadded(
  flags: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): readonly [start: number, end: number] {
  if ((flags & FLAG.padded) === 0) return [start, end];
  if (start === end) throw new ConnectionError(ERROR.frameSizeError, "no room for the padding");
  const padding = bytes[start]!;
  if (padding > end - start - 1) {
    throw new ConnectionError(ERROR.protocolError, "more padding than payload");
  }
  return [start + 1, end - padding];
}
