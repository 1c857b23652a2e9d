/** Slow heads are parsed only when a line may have ended, and unwanted bytes are dropped within limits. */
import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import { Deadlines } from "../net/deadlines.ts";
import { type MakePair, onConns } from "../net/testing/fake_conn.ts";
import { Body } from "./body.ts";
import { BufferedConn } from "./buffered_conn.ts";
import { CHUNKED, type Framing } from "./framing.ts";
import { discard, lingerAfterResponse, readLine } from "./slow_reads.ts";

function fixture(pair: MakePair) {
  const clock = new ManualClock();
  const [near, far] = pair();
  const io = new BufferedConn(near, {
    deadlines: new Deadlines(clock),
    writeMs: 5_000,
    faults: { reset: "clientReset", slowWrite: "slowReader" },
  });
  const bodyOf = (framing: Framing) =>
    new Body(io, framing, {
      side: "request",
      waitMs: 1_000,
      rateMin: 0,
      lateFault: "requestTimeout",
      cutFault: "clientReset",
    });
  return { clock, io, far, bodyOf };
}

onConns(
  "a head is parsed again when a line may have ended, not after each byte",
  async (pair) => {
    const { io, far } = fixture(pair);
    let hasMore: boolean | undefined;
    const reading = readLine(io, 4_096).then((result) => hasMore = result);
    await far.sendText("GET / HTT");
    await far.sendText("P/1.1\r");
    assertEquals(hasMore, undefined);
    await far.sendText("\n");
    assertEquals(await reading, true);
    const last = readLine(io, 4_096);
    await far.closeWrite();
    assertEquals(await last, false);
    io.dispose();
  },
);

onConns("a head without line ends is parsed as soon as it is too long", async (pair) => {
  const { io, far } = fixture(pair);
  const reading = readLine(io, 512);
  await far.sendText("x".repeat(512));
  assertEquals(await reading, true);
  io.dispose();
});

onConns(
  "the rest of a body is discarded, and malformed framing in it is reported",
  async (pair) => {
    const { io, far, bodyOf } = fixture(pair);
    const whole = discard(bodyOf(4));
    await far.sendText("rest");
    assertEquals(await whole, "ended");
    const malformed = discard(bodyOf(CHUNKED));
    await far.sendText("no size\r\n");
    const fault = await malformed;
    assertEquals(fault instanceof Fault && fault.fault, "badRequest");
    io.dispose();
  },
);

onConns("after a response, what the client still sends is dropped until its end", async (pair) => {
  const { io, far } = fixture(pair);
  const lingering = lingerAfterResponse(io);
  assertEquals(await far.readAllText(), "");
  await far.sendText("more");
  await far.closeWrite();
  await lingering;
  io.dispose();
});

onConns(
  "a client that neither ends nor sends is not waited for beyond five seconds",
  async (pair) => {
    const { clock, io } = fixture(pair);
    const lingering = lingerAfterResponse(io).then(() => "ended", ({ fault }) => fault);
    await clock.advance(5_500);
    assertEquals(await lingering, "idleTimeout");
    io.dispose();
  },
);
