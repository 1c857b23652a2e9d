/** What clients of HTTP/2 can do against a server that costs them little, each with the end that it must have. */
import type { Http2Rule } from "../../src/base/http2_rules.ts";
import { FLAG, FRAME, PREFACE } from "../../src/http2/frames.ts";
import {
  block,
  bytes,
  data,
  frame,
  headers,
  joined,
  requestFields,
  WHOLE,
} from "../../src/http2/testing/frames.ts";

/** One attack. */
export interface Attack {
  /** What is sent after the preface, at once. */
  readonly sends: readonly Uint8Array[];
  /** What the client must get, among other things; the last one ends the attack. */
  readonly gets: readonly string[];
  /** The rules whose counters it raises; none if it breaks no rule. */
  readonly rules?: readonly Http2Rule[];
  /** What is sent again and again after that, slowly, until the attack is over. */
  readonly drips?: Uint8Array;
  /** The client sends no preface before. */
  readonly isSilent?: boolean;
}

const many = (count: number, one: (at: number) => Uint8Array) =>
  joined(Array.from({ length: count }, (_, at) => one(at)));
const request = (id: number, path: string) =>
  frame(FRAME.headers, WHOLE, id, block(requestFields("GET", path)));
const upload = (id: number) => headers(id, FLAG.endHeaders, "POST");
const reset = (id: number) => frame(FRAME.resetStream, 0, id, bytes(0, 0, 0, 8));
const setting = (id: number, ...value: number[]) =>
  frame(FRAME.settings, 0, 0, bytes(0, id, ...value));
const window = (id: number, ...value: number[]) =>
  frame(FRAME.windowUpdate, 0, id, bytes(...value));
const continuation = (payload: Uint8Array, flags = 0, id = 1) =>
  frame(FRAME.continuation, flags, id, payload);
const NOTHING = new Uint8Array(0);
const HEAD = block(requestFields());
const EXPECT = [["content-length", "9"], ["expect", "100-continue"]] as const;
const WEB_SOCKET = [[":protocol", "websocket"], ...requestFields("CONNECT")] as const;
/** Streams of one client, 1 for the first. */
const idAt = (at: number) => at * 2 + 1;

/** Puts a field of 4000 bytes into the table, and refers to it 10 000 times: 40 MB in one frame. */
const BOMB = joined([
  HEAD,
  bytes(0x40),
  block([["a", "x".repeat(4_000)]]).subarray(1),
  new Uint8Array(10_000).fill(0xbe),
]);
/** A head whose middle is empty CONTINUATION frames. */
const withEmptyFrames = (at: number) =>
  joined([
    frame(FRAME.headers, FLAG.endStream, idAt(at), HEAD),
    many(10, () => continuation(NOTHING, 0, idAt(at))),
    continuation(NOTHING, FLAG.endHeaders, idAt(at)),
  ]);

const CALM_DOWN = "goAway 11";
const SERVED = "status 200";

/**
 * Of what a client may do 200 times at once and then 20 or 50 times a second. Here and below it is so much more that
 * some seconds for which the server stands still in between do not make it allowed.
 */
const FLOOD = 500;

/** Attacks that end as soon as they have begun, by their names. */
export const ATTACKS: Readonly<Record<string, Attack>> = {
  "requests that are taken back at once (CVE-2023-44487)": {
    sends: [many(FLOOD, (at) => joined([headers(idAt(at)), reset(idAt(at))]))],
    gets: [CALM_DOWN],
    rules: ["resets"],
  },
  "uploads that are taken back under way": {
    sends: [many(FLOOD, (at) => joined([upload(idAt(at)), data(idAt(at), 9), reset(idAt(at))]))],
    gets: [CALM_DOWN],
    rules: ["resets"],
  },
  "requests that we are made to reset (CVE-2025-8671)": {
    sends: [many(FLOOD, (at) => joined([upload(idAt(at)), window(idAt(at), 0, 0, 0, 0)]))],
    gets: ["resetStream 1", CALM_DOWN],
    rules: ["other", "resets"],
  },
  "empty heads": {
    sends: [many(FLOOD, (at) => frame(FRAME.headers, WHOLE, idAt(at)))],
    gets: ["resetStream 1", CALM_DOWN],
    rules: ["other", "resets"],
  },
  "SETTINGS": { sends: [many(FLOOD, () => setting(3, 0, 0, 0, 9))], ...calm("answered") },
  "answers to SETTINGS that we have not sent": {
    sends: [many(FLOOD, () => frame(FRAME.settings, FLAG.ack, 0))],
    ...calm("answered"),
  },
  "PING": { sends: [many(FLOOD, () => frame(FRAME.ping, 0, 0, "12345678"))], ...calm("answered") },
  "answers to PING that we have not sent": {
    sends: [many(FLOOD, () => frame(FRAME.ping, FLAG.ack, 0, "12345678"))],
    ...calm("answered"),
  },
  "DATA without payload": {
    sends: [upload(1), many(150, () => data(1, 0))],
    ...calm("empty"),
  },
  "DATA of nothing but padding": {
    sends: [upload(1), many(150, () => frame(FRAME.data, FLAG.padded, 1, bytes(3, 0, 0, 0)))],
    ...calm("empty"),
  },
  "CONTINUATION without payload, in many heads": {
    sends: [many(15, withEmptyFrames)],
    ...calm("empty"),
  },
  "CONTINUATION without end (CVE-2024-27316)": {
    sends: [frame(FRAME.headers, 0, 1, bytes(0x82)), many(80, () => continuation(bytes(0x82)))],
    ...calm("continuations"),
  },
  "a head that is too large before it is decoded": {
    sends: [
      frame(FRAME.headers, 0, 1, HEAD),
      many(10, () => continuation(new Uint8Array(8_000).fill(0x82))),
    ],
    ...calm("head_size"),
  },
  "PRIORITY": {
    sends: [many(1_600, (at) => frame(FRAME.priority, 0, idAt(at), bytes(0, 0, 0, 0, 9)))],
    ...calm("ignored"),
  },
  "frames of unknown types": {
    sends: [many(1_600, () => frame(0xbe, 0xff, 0, "?"))],
    ...calm("ignored"),
  },
  "GOAWAY": {
    sends: [many(1_600, () => frame(FRAME.goAway, 0, 0, new Uint8Array(8)))],
    ...calm("ignored"),
  },
  "windows of the connection that nobody needs": {
    sends: [many(3_500, () => window(0, 0, 0, 0, 1))],
    ...calm("windows"),
  },
  "windows of a stream that nobody needs": {
    sends: [upload(1), many(3_500, () => window(1, 0, 0, 0, 1))],
    ...calm("windows"),
  },
  "a window of the connection that overflows": {
    sends: [window(0, 0x7f, 255, 255, 255)],
    gets: ["goAway 3"],
    rules: ["other"],
  },
  "a window at the start that is too large": {
    sends: [setting(4, 0x80, 0, 0, 0)],
    gets: ["goAway 3"],
    rules: ["other"],
  },
  "a window of a stream that overflows, beside another request": {
    sends: [request(1, "/wait"), window(1, 0x7f, 255, 255, 255), request(3, "/")],
    gets: ["resetStream 3", SERVED],
    rules: ["other"],
  },
  "a window that shrinks below zero, and grows again": {
    sends: [
      setting(4, 0, 0, 64, 0),
      request(1, "/big"),
      setting(4, 0, 0, 0, 0),
      request(3, "/"),
      setting(4, 0, 0, 64, 0),
    ],
    gets: [SERVED, "ended 3"],
  },
  "a head that is too large after it is decoded, beside another request": {
    sends: [frame(FRAME.headers, WHOLE, 1, BOMB), request(3, "/")],
    gets: ["status 431", SERVED, "ended 3"],
    rules: ["head_size"],
  },
  "heads that are too large after they are decoded, again and again": {
    sends: [many(50, (at) => frame(FRAME.headers, WHOLE, idAt(at), BOMB)), request(101, "/")],
    gets: ["status 431", SERVED, "ended 101"],
    rules: ["head_size"],
  },
  "trailers that are too large after they are decoded": {
    sends: [upload(1), frame(FRAME.headers, WHOLE, 1, BOMB.subarray(HEAD.length)), request(3, "/")],
    gets: ["reset 1", SERVED, "ended 3"],
    rules: ["head_size"],
  },
  "a field that is in no table": {
    sends: [frame(FRAME.headers, WHOLE, 1, bytes(0xff, 0xff, 0xff, 0x7f))],
    gets: ["goAway 9"],
    rules: ["other"],
  },
  "a table that is larger than ours": {
    sends: [frame(FRAME.headers, WHOLE, 1, joined([bytes(0x3f, 0xff, 0xff, 0x7f), HEAD]))],
    gets: ["goAway 9"],
    rules: ["other"],
  },
  "SETTINGS that allow us a table of 4 GB": {
    sends: [setting(1, 255, 255, 255, 255), request(1, "/")],
    gets: [SERVED, "ended 1"],
  },
  "more requests at one time than allowed": {
    sends: [many(101, (at) => request(idAt(at), "/wait"))],
    gets: ["resetStream 7"],
    rules: ["streams"],
  },
  "DATA and HEADERS after the end of their request": {
    sends: [
      request(1, "/wait"),
      data(1, 9),
      request(3, "/wait"),
      headers(3),
      request(5, "/"),
    ],
    gets: ["resetStream 5", SERVED, "ended 5"],
    rules: ["other"],
  },
  "a request on a stream that is over": {
    sends: [headers(3), reset(3), headers(3)],
    gets: ["goAway 5"],
    rules: ["other"],
  },
  "a GOAWAY, and then a request": {
    sends: [frame(FRAME.goAway, 0, 0, new Uint8Array(8)), request(1, "/")],
    gets: [SERVED, "ended 1"],
  },
  "a WebSocket that its upstream refuses, and that the client keeps open": {
    sends: [frame(FRAME.headers, FLAG.endHeaders, 1, block(WEB_SOCKET)), request(3, "/")],
    gets: [SERVED, "ended 1", "ended 3", "reset 1"],
  },
  "a promise": {
    sends: [frame(FRAME.pushPromise, FLAG.endHeaders, 1, bytes(0, 0, 0, 2))],
    gets: ["goAway 1"],
    rules: ["other"],
  },
  "a frame of 16 MB": {
    sends: [request(1, "/wait"), bytes(255, 255, 255, 0, 0, 0, 0, 0, 1)],
    gets: ["goAway 6"],
    rules: ["other"],
  },
};

/** So many requests that are taken back with the next frame. */
export function rapidResets(count: number): Uint8Array {
  return many(count, (at) => joined([request(idAt(at), "/wait"), reset(idAt(at))]));
}

function calm(rule: Http2Rule): Pick<Attack, "gets" | "rules"> {
  return { gets: [CALM_DOWN], rules: [rule] };
}

/** Attacks that end at a time-out, by their names. */
export const SLOW_ATTACKS: Readonly<Record<string, Attack>> = {
  "a head that is never complete": {
    sends: [frame(FRAME.headers, 0, 1, HEAD)],
    ...calm("slow_head"),
  },
  "a head of which one byte comes at a time": {
    sends: [frame(FRAME.headers, 0, 1, HEAD)],
    drips: continuation(bytes(0x82)),
    ...calm("slow_head"),
  },
  "a frame with a head that is never complete": {
    sends: [headers(1).subarray(0, 20)],
    ...calm("slow_head"),
  },
  "the same, while another request is under way": {
    sends: [request(1, "/wait"), headers(3).subarray(0, 20)],
    ...calm("slow_head"),
  },
  "a preface that is never complete": {
    isSilent: true,
    sends: [PREFACE.subarray(0, 20)],
    ...calm("slow_head"),
  },
  "a body that never comes, beside another request": {
    sends: [upload(1), request(3, "/")],
    gets: [SERVED, "status 408"],
  },
  "a body of which one byte comes at a time": {
    sends: [upload(1)],
    drips: data(1, 1),
    gets: ["status 408"],
  },
  "no window for 100 large responses": {
    sends: [setting(4, 0, 0, 0, 0), many(100, (at) => request(idAt(at), "/big"))],
    gets: [SERVED, ...Array.from({ length: 100 }, (_, at) => `reset ${idAt(at)}`)],
    rules: ["slow_windows"],
  },
  "no window of the connection for 100 large responses": {
    sends: [
      setting(4, 0x7f, 255, 255, 255),
      many(100, (at) => request(idAt(at), "/big")),
    ],
    gets: [SERVED, ...Array.from({ length: 100 }, (_, at) => `reset ${idAt(at)}`)],
    rules: ["slow_windows"],
  },
  "a window of one byte at a time": {
    sends: [setting(4, 0, 0, 0, 1), request(1, "/big")],
    drips: window(1, 0, 0, 0, 1),
    gets: [SERVED, "reset 1"],
    rules: ["slow_windows"],
  },
  "an upload that waits for 100 Continue, and then never comes": {
    sends: [
      frame(FRAME.headers, FLAG.endHeaders, 1, block(requestFields("POST", "/", EXPECT))),
      request(3, "/"),
    ],
    gets: [SERVED, "status 408"],
  },
  "a connection that is held after a malformed request": {
    sends: [frame(FRAME.headers, WHOLE, 1), request(3, "/")],
    gets: ["resetStream 1", SERVED, "goAway 0", "closed"],
    rules: ["other"],
  },
  "a connection that is held after a head that is too large": {
    sends: [frame(FRAME.headers, WHOLE, 1, BOMB)],
    gets: ["status 431", "goAway 0", "closed"],
    rules: ["head_size"],
  },
  "a connection that is held with DATA for a request that is over": {
    sends: [upload(1), reset(1)],
    drips: data(1, 0, FLAG.endStream),
    gets: ["resetStream 5", "goAway 0"],
    rules: ["other"],
  },
  "a connection that is held after a GOAWAY": {
    sends: [frame(FRAME.goAway, 0, 0, new Uint8Array(8)), request(1, "/")],
    gets: [SERVED, "goAway 0", "closed"],
  },
  "a connection that is held after a WebSocket that was refused": {
    sends: [frame(FRAME.headers, FLAG.endHeaders, 1, block(WEB_SOCKET))],
    drips: data(1, 1),
    gets: [SERVED, "reset 1", "goAway 0"],
  },
  "a connection that is only held": { sends: [], gets: ["goAway 0", "closed"] },
  "a connection that is held with PING": {
    sends: [],
    drips: frame(FRAME.ping, 0, 0, "12345678"),
    gets: ["goAway 0"],
  },
};

/** Asks for 20 large pages, and gives a window for all of them: for a client that reads nothing. */
export const DEAF: Uint8Array = joined([
  setting(4, 0x7f, 255, 255, 255),
  window(0, 0x7f, 0, 0, 0),
  many(20, (at) => request(idAt(at), "/big")),
]);
