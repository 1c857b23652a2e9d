/** Heads in one frame and in many, and what becomes of them. */
import { assertEquals } from "@std/assert";
import { FLAG, FRAME } from "./frames.ts";
import {
  block,
  bytes,
  data,
  frame,
  headers,
  joined,
  printed,
  requestFields,
  WHOLE,
} from "./testing/frames.ts";
import { ProtocolFixture } from "./testing/protocol_fixture.ts";

Deno.test("frames that were under way when we reset a stream are ignored", () => {
  const fixture = new ProtocolFixture();
  fixture.feed(frame(FRAME.headers, 4, 1, block([[":method", "GET"]])));
  assertEquals(fixture.feed(data(1, 100), headers(1)), []);
});

Deno.test("more requests than allowed are refused, and may be repeated by the client", () => {
  const fixture = new ProtocolFixture({ streamsMax: 2 });
  const lines = fixture.feed(headers(1), headers(3), headers(5));
  assertEquals([lines, fixture.requests.length], [["resetStream on 5 code 7"], 2]);
});

Deno.test("a head in CONTINUATION frames", () => {
  const fixture = new ProtocolFixture();
  const fields = block(requestFields("GET", "/", [["x-own", "1"]]));
  fixture.feed(
    frame(FRAME.headers, FLAG.endStream, 1, fields.subarray(0, 3)),
    frame(FRAME.continuation, 0, 1, fields.subarray(3, 9)),
    frame(FRAME.continuation, FLAG.endHeaders, 1, fields.subarray(9)),
  );
  assertEquals(fixture.requests[0]!.head!.fields.get("x-own"), "1");
});

Deno.test("a head that is too large is answered, and the table stays right", () => {
  const fixture = new ProtocolFixture();
  // Kept in the table, and referred to thirty times: short when encoded.
  const entry = printed((out) => {
    out.part(bytes(0x40, 1, 0x78, 0x7f, 0xed, 0x02), 0, 6); // x: 492 bytes
    out.part(new Uint8Array(492).fill(97), 0, 492);
  });
  const again = new Uint8Array(30).fill(0xbe);
  const large = joined([block(requestFields()), entry, again]);
  fixture.feed(frame(FRAME.headers, WHOLE, 1, large));
  assertEquals(fixture.refusals, ["headTooLarge"]);
  fixture.feed(frame(FRAME.headers, WHOLE, 3, joined([block(requestFields()), bytes(0xbe)])));
  assertEquals(fixture.requests[1]!.head!.fields.get("x")!.length, 492);
});

Deno.test("a flood of empty DATA, and of CONTINUATION, ends the connection", () => {
  const empty = new ProtocolFixture();
  empty.feed(headers(1, FLAG.endHeaders));
  const flood = Array.from({ length: 200 }, () => data(1, 0));
  assertEquals(empty.feed(...flood).at(-1), "ends with 11: too many frames without payload");
  const parts = new ProtocolFixture();
  const more = Array.from({ length: 100 }, () => frame(FRAME.continuation, 0, 1, "x"));
  assertEquals(
    parts.feed(headers(1, 0), ...more).at(-1),
    "ends with 11: too many CONTINUATION frames in one head",
  );
});

Deno.test("a head that never ends is cut off at the limit", () => {
  const fixture = new ProtocolFixture();
  const part = frame(FRAME.continuation, 0, 1, new Uint8Array(1_000));
  const lines = fixture.feed(headers(1, 0), part, part, part, part, part);
  assertEquals(lines, ["ends with 11: a head has more than 4096 bytes"]);
});
