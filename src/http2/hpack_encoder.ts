/**
 * Encodes header blocks (RFC 7541) without a dynamic table: a name of the static table is sent as its index, all
 * else as it is. That costs some bytes and saves a table for each connection and the search in it.
 */
import { FLAG, FRAME, type FrameWriter, PAYLOAD_BYTES_MAX } from "./frames.ts";
import { staticNameIndex } from "./static_table.ts";

/** The first byte of a literal that is not kept in a table … */
const LITERAL = 0x00;
/** … and of one that no proxy may ever keep in a table, because it is a secret. */
const NEVER_INDEXED = 0x10;
/** Sets the size of the dynamic table to 0; must begin the first block of a connection. */
export const NO_TABLE = 0x20;

const STATUS_INDEXES: Readonly<Record<number, number>> = {
  200: 8,
  204: 9,
  206: 10,
  304: 11,
  400: 12,
  404: 13,
  500: 14,
};
const STATUS_NAME = 8;
/** `set-cookie` and `authorization`. */
const SECRET_NAMES = new Set([55, 23]);

/** Adds an integer, RFC 7541 section 5.1, with these bits before it in its first byte. */
export function putInteger(
  out: FrameWriter,
  first: number,
  prefixBits: number,
  value: number,
): void {
  const most = (1 << prefixBits) - 1;
  if (value < most) return out.byte(first | value);
  out.byte(first | most);
  let rest = value - most;
  while (rest >= 0x80) {
    out.byte((rest & 0x7f) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  out.byte(rest);
}

/** Adds `:status`. */
export function putStatus(out: FrameWriter, status: number): void {
  const index = STATUS_INDEXES[status];
  if (index !== undefined) return out.byte(0x80 | index);
  out.byte(LITERAL | STATUS_NAME);
  out.byte(3);
  out.byte(48 + Math.floor(status / 100));
  out.byte(48 + Math.floor(status / 10) % 10);
  out.byte(48 + status % 10);
}

/** Adds a field. Its name is put into lower case (RFC 9113 section 8.2). */
export function putField(
  out: FrameWriter,
  bytes: Uint8Array,
  nameStart: number,
  nameEnd: number,
  valueStart: number,
  valueEnd: number,
): void {
  const nameLength = nameEnd - nameStart;
  out.room(nameLength + 16);
  // First as if the name were not in the table; if it is, its place is taken back.
  const at = out.length;
  putInteger(out, LITERAL, 4, 0);
  putInteger(out, 0, 7, nameLength);
  const to = out.length;
  for (let i = 0; i < nameLength; i++) {
    const code = bytes[nameStart + i]!;
    out.bytes[to + i] = code >= 65 && code <= 90 ? code | 0x20 : code;
  }
  const index = staticNameIndex(out.bytes, to, to + nameLength);
  if (index === 0) out.length = to + nameLength;
  else {
    out.length = at;
    putInteger(out, SECRET_NAMES.has(index) ? NEVER_INDEXED : LITERAL, 4, index);
  }
  putInteger(out, 0, 7, valueEnd - valueStart);
  out.part(bytes, valueStart, valueEnd);
}

/**
 * Ends the HEADERS frame that began at `at`. A block that does not fit into one frame goes on in CONTINUATION
 * frames, for which its bytes move.
 */
export function endBlock(out: FrameWriter, at: number, stream: number): void {
  const start = at + 9;
  const length = out.length - start;
  if (length <= PAYLOAD_BYTES_MAX) {
    out.bytes[at + 4]! |= FLAG.endHeaders;
    return out.end(at);
  }
  const block = out.bytes.slice(start, out.length);
  out.length = start + PAYLOAD_BYTES_MAX;
  out.end(at);
  for (let done = PAYLOAD_BYTES_MAX; done < length; done += PAYLOAD_BYTES_MAX) {
    const end = Math.min(length, done + PAYLOAD_BYTES_MAX);
    const next = out.begin(FRAME.continuation, end === length ? FLAG.endHeaders : 0, stream);
    out.part(block, done, end);
    out.end(next);
  }
}
