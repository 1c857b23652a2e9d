/** A connection as a whole: floods, limits and its end. */
import { assertEquals } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { FLOOD_WORDS, type FloodKind } from "./flood_guard.ts";
import { ERROR, FLAG, FRAME } from "./frames.ts";
import { bytes, data, frame, headers, joined } from "./testing/frames.ts";
import { ProtocolFixture } from "./testing/protocol_fixture.ts";

Deno.test("a request is served, and its end is noticed", () => {
  const fixture = new ProtocolFixture();
  fixture.feed(headers(1), headers(3, FLAG.endHeaders, "POST"), data(3, 5), data(3, 0, 1));
  const [one, two] = fixture.requests;
  assertEquals([one!.head!.method, one!.body.none], ["GET", true]);
  assertEquals([two!.head!.method, two!.body.isComplete], ["POST", true]);
});

/** Floods, with the most frames of the kind that a well-behaved client sends at once. */
const FLOODS:
  readonly (readonly [kind: FloodKind, usual: number, one: (i: number) => Uint8Array])[] = [
    ["resets", 150, (i) => {
      const id = 2 * i + 1;
      return joined([headers(id), frame(FRAME.resetStream, 0, id, bytes(0, 0, 0, 8))]);
    }],
    ["answered", 150, () => frame(FRAME.ping, 0, 0, new Uint8Array(8))],
    ["answered", 150, () => frame(FRAME.settings, 0, 0)],
    ["ignored", 900, () => frame(FRAME.priority, 0, 1, bytes(0, 0, 0, 0, 1))],
    ["ignored", 900, () => frame(0xee, 0, 0)],
    ["windows", 1_900, () => frame(FRAME.windowUpdate, 0, 0, bytes(0, 0, 0, 1))],
  ];

for (const [kind, usual, one] of FLOODS) {
  Deno.test(`a flood of frames ends the connection: ${kind}, ${usual} are usual`, () => {
    const fixture = new ProtocolFixture();
    for (let i = 0; i < usual; i++) {
      assertEquals(fixture.feed(one(i)).some((line) => line.startsWith("ends")), false);
    }
    let last = "";
    for (let i = usual; i < usual + 500 && last === ""; i++) {
      last = fixture.feed(one(i)).find((line) => line.startsWith("ends")) ?? "";
    }
    assertEquals(last, `ends with 11: ${FLOOD_WORDS[kind]}`);
  });
}

Deno.test("a client that answers nothing is not read any more", () => {
  const fixture = new ProtocolFixture();
  const { protocol } = fixture;
  for (let i = 0; i < 40; i++) protocol.putData(1, new Uint8Array(8_192), 0, 8_192, false);
  assertEquals([protocol.isBackedUp, protocol.isStopped], [true, true]);
  fixture.sent();
  assertEquals([protocol.isBackedUp, protocol.isStopped], [false, false]);
});

Deno.test("after the last GOAWAY no request begins, and those under way go on", () => {
  const fixture = new ProtocolFixture();
  fixture.feed(headers(1, FLAG.endHeaders));
  fixture.protocol.goAway(false);
  fixture.feed(headers(3));
  assertEquals(fixture.requests.length, 2);
  fixture.protocol.goAway(true);
  assertEquals(fixture.feed(headers(5)), ["goAway on 0 last 3 code 0"]);
  assertEquals(fixture.requests.length, 2);
  fixture.feed(data(1, 3, 1));
  assertEquals(fixture.requests[0]!.body.isComplete, true);
});

Deno.test("what a client had sent on a stream before it read of the last GOAWAY is ignored", () => {
  const fixture = new ProtocolFixture();
  fixture.feed(headers(1, FLAG.endHeaders));
  fixture.protocol.goAway(true);
  const window = frame(FRAME.windowUpdate, 0, 3, bytes(0, 0, 0, 1));
  const reset = frame(FRAME.resetStream, 0, 5, bytes(0, 0, 0, 8));
  const late = [headers(3, FLAG.endHeaders), data(3, 9), window, headers(3)];
  const sent = fixture.feed(...late, headers(5, FLAG.endHeaders), data(5, 9), reset);
  assertEquals(sent, ["goAway on 0 last 1 code 0"]);
  assertEquals(fixture.broken, []);
  // Nothing but a head begins a stream.
  assertEquals(fixture.feed(data(7, 1)), ["ends with 1: DATA before a head"]);
});

Deno.test("after 100 streams were reset at one time, what is still under way on them is ignored", () => {
  const fixture = new ProtocolFixture({ streamsMax: 100 });
  const ids = Array.from({ length: 100 }, (_, at) => 2 * at + 1);
  for (const id of ids) fixture.feed(headers(id, FLAG.endHeaders, "POST"));
  for (const stream of fixture.requests) {
    stream.reset(ERROR.internalError, new Fault("upstreamReset"));
  }
  fixture.sent();
  const late = ids.map((id) => joined([data(id, 1), headers(id)]));
  assertEquals([fixture.feed(...late), fixture.broken], [[], []]);
});

Deno.test("a client that ends hundreds of uploads when they are answered is no flood", () => {
  const fixture = new ProtocolFixture();
  for (let id = 1; id < 1_800; id += 2) {
    fixture.feed(headers(id, FLAG.endHeaders, "POST"));
    fixture.requests.at(-1)!.sendData(new Uint8Array(0), 0, 0, true);
    const sent = fixture.feed(frame(FRAME.resetStream, 0, id, bytes(0, 0, 0, 8)));
    assertEquals(sent.filter((line) => !line.startsWith("data")), []);
  }
  assertEquals(fixture.protocol.streams.length, 0);
});

Deno.test("a request that is taken back in the same read is never served (CVE-2023-44487)", () => {
  const fixture = new ProtocolFixture();
  const reset = (id: number) => frame(FRAME.resetStream, 0, id, bytes(0, 0, 0, 8));
  fixture.feed(headers(1), reset(1), headers(3), headers(5, FLAG.endHeaders, "POST"), data(5, 9));
  assertEquals(fixture.requests.map(({ id }) => id), [3, 5]);
  assertEquals(fixture.requests[1]!.body.ready()?.length, 9);
  // Nor is one that came together with what ends the connection.
  fixture.feed(headers(7), frame(FRAME.ping, 0, 0, "1234567"));
  assertEquals(fixture.requests.length, 2);
});
