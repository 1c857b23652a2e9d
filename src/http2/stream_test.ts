/** The state and the windows of one stream. */
import { assertEquals, assertRejects } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { FLAG, FRAME } from "./frames.ts";
import { block, frame, requestFields } from "./testing/frames.ts";
import { ProtocolFixture } from "./testing/protocol_fixture.ts";

/** A POST whose body has not ended. */
function posted(fixture: ProtocolFixture, id = 1) {
  fixture.feed(frame(FRAME.headers, FLAG.endHeaders, id, block(requestFields("POST"))));
  return fixture.requests.at(-1)!;
}

const data = (size: number) => frame(FRAME.data, 0, 1, new Uint8Array(size));

Deno.test("a body that nobody uses stops at the window", () => {
  const fixture = new ProtocolFixture();
  const stream = posted(fixture);
  const lines = fixture.feed(data(16_384), data(16_384), data(16_384), data(16_383));
  assertEquals([lines, stream.receiveWindow], [[], 0]);
  assertEquals(fixture.feed(data(1)), ["resetStream on 1 code 3"]);
});

Deno.test("a body that is used gets a larger window", async () => {
  const fixture = new ProtocolFixture();
  const stream = posted(fixture);
  fixture.feed(data(1_000));
  await stream.body.read();
  stream.body.ready();
  assertEquals(fixture.sent(), ["windowUpdate on 1 197609"]);
  assertEquals(stream.receiveWindow, 256 * 1024);
});

Deno.test("padding is given back at once", () => {
  const fixture = new ProtocolFixture();
  const stream = posted(fixture);
  const padded = new Uint8Array(201);
  padded[0] = 200;
  fixture.feed(frame(FRAME.data, FLAG.padded, 1, padded));
  assertEquals(fixture.protocol.receiveWindow, 1024 * 1024 - 201);
  assertEquals(stream.body.received, 0);
});

Deno.test("a response takes what the smaller window allows", async () => {
  const fixture = new ProtocolFixture();
  const stream = posted(fixture);
  assertEquals(stream.room, 16_384);
  stream.sendData(new Uint8Array(16_000), 0, 16_000, false);
  stream.sendWindow = 100;
  assertEquals([stream.windowRoom, stream.room], [100, 100]);
  stream.sendWindow = -5;
  assertEquals(stream.room, 0);
  const waiting = stream.waitForRoom();
  const more = new Uint8Array([0, 0, 0, 9]);
  fixture.feed(frame(FRAME.windowUpdate, 0, 1, more));
  await waiting;
  assertEquals(stream.room, 4);
});

Deno.test("a stream that fails wakes who waits, and tells its owner once", async () => {
  const fixture = new ProtocolFixture();
  const stream = posted(fixture);
  const told: string[] = [];
  stream.owner = { failed: (fault) => told.push(fault.fault), bodyAwaited() {} };
  stream.sendWindow = 0;
  const waiting = stream.waitForRoom();
  const reading = stream.body.read();
  stream.reset(8, new Fault("drained"));
  stream.reset(8, new Fault("drained"));
  stream.fail(new Fault("clientReset"));
  await assertRejects(() => waiting, Fault, "drain time");
  await assertRejects(() => reading, Fault, "drain time");
  assertEquals([told, fixture.sent()], [["drained"], ["resetStream on 1 code 8"]]);
  assertEquals([fixture.protocol.streams.length, fixture.ended], [0, 1]);
});

Deno.test("both sides must end", () => {
  const fixture = new ProtocolFixture();
  const stream = posted(fixture);
  stream.sendData(new Uint8Array(0), 0, 0, true);
  assertEquals([stream.isLocalEnd, stream.isOver], [true, false]);
  fixture.feed(frame(FRAME.data, FLAG.endStream, 1));
  assertEquals([stream.isOver, fixture.protocol.streams.length], [true, 0]);
});

Deno.test("after the response, a long rest of the request is stopped", () => {
  const fixture = new ProtocolFixture();
  const stream = posted(fixture);
  stream.sendData(new Uint8Array(0), 0, 0, true);
  fixture.sent();
  let lines: string[] = [];
  for (let i = 0; i < 5 && !stream.isOver; i++) lines = fixture.feed(data(16_384));
  assertEquals([lines.at(-1), stream.isOver], ["resetStream on 1 code 0", true]);
});
