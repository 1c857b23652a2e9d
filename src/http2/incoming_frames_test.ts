/** The rules of RFC 9113 for single frames, without any I/O. */
import { assertEquals } from "@std/assert";
import { FLAG, FRAME, PREFACE } from "./frames.ts";
import {
  block,
  bytes,
  data,
  frame,
  headers,
  joined,
  opening,
  requestFields,
  WHOLE,
} from "./testing/frames.ts";
import { ProtocolFixture } from "./testing/protocol_fixture.ts";

Deno.test("the preface and SETTINGS are answered with ours", () => {
  const fixture = new ProtocolFixture({ isNew: true });
  assertEquals(fixture.feed(PREFACE), ["settings on 0", "windowUpdate on 0 983041"]);
  assertEquals(fixture.feed(frame(FRAME.settings, 0, 0)), ["settings+1 on 0"]);
});

Deno.test("they may come in any parts", () => {
  const whole = new ProtocolFixture({ isNew: true }).feed(opening(), headers(1));
  const fixture = new ProtocolFixture({ isNew: true });
  const lines: string[] = [];
  for (const byte of joined([opening(), headers(1)])) lines.push(...fixture.feed(bytes(byte)));
  assertEquals([lines, fixture.requests.length], [whole, 1]);
});

/** Why the connection ends after these frames. */
const FATAL: readonly (readonly [name: string, code: number, ...frames: Uint8Array[]])[] = [
  ["no SETTINGS first", 1, frame(FRAME.ping, 0, 0, new Uint8Array(8))],
  ["a frame of more than 16384 bytes", 6, frame(FRAME.data, 0, 1, new Uint8Array(16_385))],
  ["DATA without a stream", 1, data(0, 1)],
  ["DATA before a head", 1, data(1, 1)],
  ["DATA with more padding than payload", 1, headers(1, 4), frame(0, FLAG.padded, 1, bytes(9, 1))],
  ["padding without its length", 6, headers(1, 4), frame(0, FLAG.padded, 1)],
  ["HEADERS without a stream", 1, headers(0)],
  ["HEADERS with an even number", 1, headers(2)],
  ["HEADERS with a lower number", 5, headers(3), headers(1)],
  ["HEADERS with a priority that is cut", 6, frame(1, WHOLE | FLAG.priority, 1, bytes(0, 0))],
  ["malformed header block", 9, frame(FRAME.headers, WHOLE, 1, bytes(0xbe))],
  ["a frame between parts of a head", 1, headers(1, 0), frame(FRAME.ping, 0, 0, new Uint8Array(8))],
  ["CONTINUATION of another stream", 1, headers(1, 0), frame(FRAME.continuation, 4, 3)],
  ["CONTINUATION without HEADERS", 1, frame(FRAME.continuation, 4, 1)],
  ["PRIORITY without a stream", 1, frame(FRAME.priority, 0, 0, bytes(0, 0, 0, 1, 1))],
  ["RST_STREAM without a stream", 1, frame(FRAME.resetStream, 0, 0, bytes(0, 0, 0, 8))],
  ["RST_STREAM before a head", 1, frame(FRAME.resetStream, 0, 1, bytes(0, 0, 0, 8))],
  ["RST_STREAM of a wrong size", 6, headers(1), frame(FRAME.resetStream, 0, 1, bytes(0))],
  ["SETTINGS of a stream", 1, frame(FRAME.settings, 0, 1)],
  ["SETTINGS of a wrong size", 6, frame(FRAME.settings, 0, 0, bytes(0, 1))],
  ["an acknowledgement with payload", 6, frame(FRAME.settings, 1, 0, new Uint8Array(6))],
  ["ENABLE_PUSH of 2", 1, frame(FRAME.settings, 0, 0, bytes(0, 2, 0, 0, 0, 2))],
  ["INITIAL_WINDOW_SIZE too large", 3, frame(FRAME.settings, 0, 0, bytes(0, 4, 0x80, 0, 0, 0))],
  ["MAX_FRAME_SIZE too small", 1, frame(FRAME.settings, 0, 0, bytes(0, 5, 0, 0, 0, 1))],
  ["PUSH_PROMISE", 1, headers(1), frame(FRAME.pushPromise, 4, 1, bytes(0, 0, 0, 2))],
  ["PING of a stream", 1, frame(FRAME.ping, 0, 1, new Uint8Array(8))],
  ["PING of a wrong size", 6, frame(FRAME.ping, 0, 0, new Uint8Array(7))],
  ["GOAWAY of a stream", 1, frame(FRAME.goAway, 0, 1, new Uint8Array(8))],
  ["WINDOW_UPDATE of a wrong size", 6, frame(FRAME.windowUpdate, 0, 0, bytes(0))],
  ["WINDOW_UPDATE by 0", 1, frame(FRAME.windowUpdate, 0, 0, bytes(0, 0, 0, 0))],
  ["WINDOW_UPDATE before a head", 1, frame(FRAME.windowUpdate, 0, 1, bytes(0, 0, 0, 1))],
  ["a window beyond 2^31-1", 3, frame(FRAME.windowUpdate, 0, 0, bytes(0x7f, 0xff, 0xff, 0xff))],
];

for (const [name, code, ...frames] of FATAL) {
  Deno.test(`the connection ends after ${name}`, () => {
    const isFirst = name === "no SETTINGS first";
    const fixture = new ProtocolFixture({ isNew: isFirst });
    if (isFirst) fixture.feed(PREFACE);
    const last = fixture.feed(...frames).at(-1) ?? "";
    assertEquals(last.startsWith(`ends with ${code}: `), true, last);
  });
}

Deno.test("a client that speaks another protocol is not taken for HTTP/2", () => {
  const fixture = new ProtocolFixture({ isNew: true });
  const lines = fixture.feed(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
  assertEquals([lines, fixture.protocol.hasPreface], [
    ["ends with 1: no preface of HTTP/2"],
    false,
  ]);
});

/** Why one stream ends after these frames; the connection goes on. */
const OF_STREAM: readonly (readonly [name: string, code: number, ...frames: Uint8Array[]])[] = [
  ["DATA after its end", 5, headers(1), data(1, 1)],
  ["HEADERS after its end", 5, headers(1), headers(1)],
  ["trailers that are not the end", 1, headers(1, 4), headers(1, 4)],
  ["pseudo-headers in trailers", 1, headers(1, 4), headers(1)],
  ["a malformed head", 1, frame(1, WHOLE, 1, block([[":method", "GET"]]))],
  ["a head that depends on itself", 1, frame(1, WHOLE | 0x20, 1, bytes(0, 0, 0, 1, 9, 0x82))],
  ["PRIORITY on itself", 1, headers(1), frame(FRAME.priority, 0, 1, bytes(0, 0, 0, 1, 1))],
  ["PRIORITY of a wrong size", 6, headers(1), frame(FRAME.priority, 0, 1, bytes(0))],
  ["WINDOW_UPDATE by 0", 1, headers(1), frame(FRAME.windowUpdate, 0, 1, bytes(0, 0, 0, 0))],
  [
    "a window beyond 2^31-1",
    3,
    headers(1),
    frame(FRAME.windowUpdate, 0, 1, bytes(0x7f, 0xff, 0xff, 0xff)),
  ],
  [
    "a body shorter than declared",
    1,
    frame(1, 4, 1, block(requestFields("POST", "/", [["content-length", "5"]]))),
    data(1, 4, 1),
  ],
  [
    "a body longer than declared",
    1,
    frame(1, 4, 1, block(requestFields("POST", "/", [["content-length", "5"]]))),
    data(1, 6),
  ],
  [
    "no body where one is declared",
    1,
    frame(1, WHOLE, 1, block(requestFields("POST", "/", [["content-length", "5"]]))),
  ],
];

for (const [name, code, ...frames] of OF_STREAM) {
  Deno.test(`one stream ends after ${name}`, () => {
    const fixture = new ProtocolFixture();
    assertEquals(fixture.feed(...frames), [`resetStream on 1 code ${code}`]);
    assertEquals(fixture.broken.length, 1);
    fixture.feed(headers(11));
    assertEquals(fixture.requests.at(-1)!.id, 11);
  });
}

/** Frames that bring nobody further, and the first that is one too many. */
const FOR_NOTHING: readonly (readonly [name: string, most: number, frame: Uint8Array])[] = [
  ["DATA without payload", 100, data(1, 0)],
  ["DATA of nothing but padding", 100, frame(FRAME.data, FLAG.padded, 1, bytes(2, 0, 0))],
  ["GOAWAY", 1_000, frame(FRAME.goAway, 0, 0, new Uint8Array(8))],
];

for (const [name, most, one] of FOR_NOTHING) {
  Deno.test(`the connection ends after too many frames: ${name}`, () => {
    const fixture = new ProtocolFixture();
    fixture.feed(headers(1, FLAG.endHeaders, "POST"));
    for (let count = 0; count < most; count++) fixture.feed(one);
    assertEquals(fixture.feed(one).at(-1)?.startsWith("ends with 11: "), true);
  });
}
