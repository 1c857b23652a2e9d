/** Frames of a client and their mutations: seeded, so that a failure can be repeated. */
import type { Bytes } from "../../base/bytes.ts";
import { FLAG, FRAME } from "../frames.ts";
import { block, bytes, data, frame, headers, joined, requestFields } from "./frames.ts";

/** Gives a number from 0 to below `below`. */
export type Next = (below: number) => number;

const POST = FLAG.endHeaders;
const TRAILERS = frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 1, block([["t", "u"]]));
const HEAD = block(requestFields("POST", "/x", [["content-length", "3"], ["cookie", "a=b"]]));

/** What clients send that keep the rules, after the preface and the settings. */
const GOOD: readonly (readonly Bytes[])[] = [
  [headers(1), headers(3), headers(5)],
  [headers(1, POST, "POST"), data(1, 5), data(1, 0, FLAG.endStream), headers(3)],
  [frame(FRAME.headers, POST, 1, HEAD), data(1, 3, FLAG.endStream), headers(3)],
  [headers(1, POST, "POST"), data(1, 40_000 % 16_384), TRAILERS],
  [
    frame(FRAME.headers, 0, 1, HEAD.subarray(0, 7)),
    frame(FRAME.continuation, 0, 1, HEAD.subarray(7, 20)),
    frame(FRAME.continuation, FLAG.endHeaders, 1, HEAD.subarray(20)),
    frame(FRAME.data, FLAG.padded | FLAG.endStream, 1, bytes(2, 97, 98, 99, 0, 0)),
  ],
  [
    headers(1, POST, "POST"),
    frame(FRAME.resetStream, 0, 1, bytes(0, 0, 0, 8)),
    data(1, 9),
    headers(3),
  ],
  [
    frame(FRAME.settings, 0, 0, bytes(0, 4, 0, 0, 0, 9)),
    headers(1),
    frame(FRAME.windowUpdate, 0, 1, bytes(0, 0, 0, 9)),
    frame(FRAME.windowUpdate, 0, 0, bytes(0, 1, 0, 0)),
    frame(FRAME.settings, FLAG.ack, 0),
  ],
  [
    frame(FRAME.ping, 0, 0, "12345678"),
    frame(FRAME.priority, 0, 3, bytes(0, 0, 0, 1, 9)),
    headers(3),
    frame(FRAME.goAway, 0, 0, new Uint8Array(8)),
    frame(0x77, 3, 9, "what"),
  ],
];

const PIECES: readonly Bytes[] = [
  ...[0, 1, 2, 0x3f, 0x40, 0x7f, 0x80, 0x82, 0xbe, 0xff].map((value) => bytes(value)),
  block([["connection", "close"]]),
  block([[":path", "/again"]]),
  block([["Upper", "case"]]),
  bytes(0x3f, 0xff, 0xff, 0xff, 0xff, 0xff),
];

/** A sequence of frames with up to four mutations. */
export function mutatedFrames(next: Next): Bytes {
  const frames = [...GOOD[next(GOOD.length)]!];
  for (let count = next(5); count > 0; count--) {
    const at = next(frames.length);
    const old = frames[at];
    if (old === undefined) break;
    const how = next(7);
    if (how === 0) frames.splice(at, 1);
    else if (how === 1) frames.splice(next(frames.length), 0, old);
    else if (how === 2) frames.splice(next(frames.length), 0, ...frames.splice(at, 1));
    else if (how === 3) frames.splice(at, 0, ...GOOD[next(GOOD.length)]!);
    else frames[at] = how === 4 ? withPiece(old, next) : withByte(old, next);
  }
  return joined(frames);
}

/** The same type, flags and stream, with another payload. */
function withPiece(old: Bytes, next: Next): Bytes {
  const at = 9 + next(old.length - 8);
  const piece = PIECES[next(PIECES.length)]!;
  const payload = joined([old.subarray(9, at), piece, old.subarray(at + next(3))]);
  const changed = joined([old.subarray(0, 9), payload]);
  changed.set([payload.length >> 16, (payload.length >> 8) & 255, payload.length & 255]);
  return changed;
}

/** One byte of it is another one, most often in its header. */
function withByte(old: Bytes, next: Next): Bytes {
  const changed = old.slice();
  const at = next(3) === 0 ? next(old.length) : [2, 3, 4, 8][next(4)]!;
  changed[at] = next(2) === 0 ? next(256) : changed[at]! ^ (1 << next(8));
  return changed;
}
