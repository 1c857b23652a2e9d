/** Frames as a client of a test writes and reads them. */
import type { Bytes } from "../../base/bytes.ts";
import { FLAG, FRAME, FrameWriter, PREFACE, readUint31 } from "../frames.ts";
import { type FieldSink, HpackDecoder } from "../hpack_decoder.ts";
import { putField } from "../hpack_encoder.ts";

/** A frame that was read. */
export interface Frame {
  readonly type: string;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Bytes;
}

const TYPES = Object.entries(FRAME);
const encoder = new TextEncoder();

/** The bytes of what `print` puts into a writer. */
export function printed(print: (out: FrameWriter) => void): Bytes {
  const out = new FrameWriter();
  print(out);
  return out.bytes.slice(0, out.length);
}

/** One frame. */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array | string = "",
): Bytes {
  const bytes = typeof payload === "string" ? encoder.encode(payload) : payload;
  return printed((out) => {
    const at = out.begin(type, flags, stream);
    out.part(bytes, 0, bytes.length);
    out.end(at);
  });
}

/** A header block of these fields, all of them literals. */
export function block(fields: readonly (readonly [name: string, value: string])[]): Bytes {
  return printed((out) => {
    for (const [name, value] of fields) {
      const bytes = encoder.encode(name + value);
      const end = encoder.encode(name).length;
      putField(out, bytes, 0, end, end, bytes.length);
    }
  });
}

/** The fields of a usual request, with `more` behind the pseudo-headers. */
export function requestFields(
  method = "GET",
  path = "/",
  more: readonly (readonly [string, string])[] = [],
): readonly (readonly [string, string])[] {
  return [
    [":method", method],
    [":scheme", "https"],
    [":path", path],
    [":authority", "a.test"],
    ...more,
  ];
}

/** Flags of a HEADERS frame that is a whole request. */
export const WHOLE = FLAG.endHeaders | FLAG.endStream;

/** A HEADERS frame of a usual request. */
export function headers(id: number, flags: number = WHOLE, method = "GET"): Bytes {
  return frame(FRAME.headers, flags, id, block(requestFields(method)));
}

/** A DATA frame with `size` zeros. */
export function data(id: number, size: number, flags = 0): Bytes {
  return frame(FRAME.data, flags, id, new Uint8Array(size));
}

/** These bytes. */
export function bytes(...values: number[]): Bytes {
  return new Uint8Array(values);
}

/** The preface and empty settings: what a client sends first. */
export function opening(): Bytes {
  return joined([PREFACE, frame(FRAME.settings, 0, 0)]);
}

/** All bytes one after another. */
export function joined(parts: readonly Uint8Array[]): Bytes {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** The whole frames of `bytes`, and how many bytes they take. */
export function framesOf(bytes: Bytes): readonly [frames: Frame[], taken: number] {
  const frames: Frame[] = [];
  let at = 0;
  while (bytes.length - at >= 9) {
    const end = at + 9 + (bytes[at]! * 65536 + bytes[at + 1]! * 256 + bytes[at + 2]!);
    if (end > bytes.length) break;
    const type = TYPES.find(([, number]) => number === bytes[at + 3])?.[0] ?? "unknown";
    const payload = bytes.slice(at + 9, end);
    frames.push({ type, flags: bytes[at + 4]!, stream: readUint31(bytes, at + 5), payload });
    at = end;
  }
  return [frames, at];
}

/** A frame in one line: what tests compare. */
export function summary({ type, flags, stream, payload }: Frame): string {
  const code = type === "resetStream" ? ` code ${payload[3]}` : "";
  const goAway = type === "goAway" ? ` last ${readUint31(payload, 0)} code ${payload[7]}` : "";
  const size = type === "data" ? ` ${payload.length}` : "";
  const window = type === "windowUpdate" ? ` ${readUint31(payload, 0)}` : "";
  return `${type}${flags === 0 ? "" : `+${flags}`} on ${stream}${code}${goAway}${size}${window}`;
}

/** Decodes header blocks into lines of `name: value`. */
export class BlockReader {
  readonly #decoder = new HpackDecoder();

  lines(bytes: Bytes): string[] | undefined {
    const lines: string[] = [];
    const text = new TextDecoder();
    const sink: FieldSink = {
      field: (names, nameStart, nameEnd, values, valueStart, valueEnd) => {
        const name = text.decode(names.subarray(nameStart, nameEnd));
        lines.push(`${name}: ${text.decode(values.subarray(valueStart, valueEnd))}`);
      },
    };
    return this.#decoder.decode(bytes, 0, bytes.length, sink) ? lines : undefined;
  }
}
