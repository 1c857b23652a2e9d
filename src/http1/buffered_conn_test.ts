/** A buffered connection works alike on connections with promises only and on those with synchronous calls. */
import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { Fault, type FaultName } from "../base/fault.ts";
import { type FakeConn, type MakePair, onConns } from "../net/testing/fake_conn.ts";
import { Deadlines } from "../net/deadlines.ts";
import { BufferedConn, type BufferedConnEvents } from "./buffered_conn.ts";
import { rejectedWith } from "../base/testing/faults.ts";

const WRITE_MS = 5_000;

interface Fixture {
  readonly clock: ManualClock;
  readonly io: BufferedConn;
  /** Our end, which the buffered connection uses, and the peer's end. */
  readonly near: FakeConn;
  readonly far: FakeConn;
  /** The calls of `onArrival` and `onFail`, by their argument. */
  readonly reported: (boolean | FaultName)[];
}

function fixture(pair: MakePair, room?: number, events: BufferedConnEvents = {}): Fixture {
  const clock = new ManualClock();
  const [near, far] = pair(room);
  const reported: Fixture["reported"] = [];
  const io = new BufferedConn(near, {
    deadlines: new Deadlines(clock),
    writeMs: WRITE_MS,
    faults: { reset: "clientReset", slowWrite: "slowReader" },
  }, {
    ...events,
    onArrival: (more) => reported.push(more),
    onFail: ({ fault }) => reported.push(fault),
  });
  return { clock, io, near, far, reported };
}

/** What has been read and not been used. */
const unused = ({ input: { bytes, start, end } }: BufferedConn) =>
  new TextDecoder().decode(bytes.subarray(start, end));

const bytes = (text: string) => new TextEncoder().encode(text);

onConns(
  "bytes that have arrived are read at once, others are waited for, and a second call joins the first",
  async (pair) => {
    const { io, far, reported } = fixture(pair);
    await far.sendText("one ");
    assertEquals(await io.fill(), true);
    const [second, joined] = [io.fill(), io.fill()];
    await far.sendText("two ");
    assertEquals([await second, await joined], [true, true]);
    assertEquals([unused(io), io.received], ["one two ", 8]);
    await far.closeWrite();
    assertEquals([await io.fill(), await io.fill()], [false, false]);
    assertEquals([io.atEnd, reported], [true, [true, true, false]]);
    io.close();
  },
);

onConns(
  "the bytes of a head stay in place while more is read, however much",
  async (pair) => {
    const { io, far } = fixture(pair);
    await far.sendText("head");
    await io.fill();
    const { bytes: held } = io.input;
    io.input.clear();
    io.input.hold();
    for (let i = 0; i < 20; i++) {
      await far.sendText(`body ${i} `.repeat(100));
      await io.fill(true);
    }
    assertEquals(new TextDecoder().decode(held.subarray(0, 4)), "head");
    const body = Array.from({ length: 20 }, (_, i) => `body ${i} `.repeat(100)).join("");
    assertEquals(unused(io), body);
    io.input.unhold();
    io.close();
  },
);

onConns(
  "a late read fails for the reader, and fails the connection where there is no reader",
  async (pair) => {
    for (const isAsked of [true, false]) {
      const late: FaultName[] = [];
      const events = isAsked ? { onLate: ({ fault }: Fault) => late.push(fault) } : {};
      const { io, clock, reported, near } = fixture(pair, undefined, events);
      io.readBy(io.deadlines.in(1_000), "requestTimeout");
      const filling = io.fill();
      const ended = isAsked ? undefined : rejectedWith(filling);
      await clock.advance(1_000);
      assertEquals([late, reported], [[], []]);
      await clock.advance(500);
      assertEquals(late, isAsked ? ["requestTimeout"] : []);
      assertEquals(near.end, isAsked ? "open" : "reset");
      if (!isAsked) assertEquals(await ended, "requestTimeout");
      if (isAsked) {
        const closed = rejectedWith(filling);
        io.close();
        await closed;
      }
      assertEquals(clock.pending, 0);
    }
  },
);

onConns(
  "a peer that reads a little now and then gets everything; one that reads nothing is too slow",
  async (pair) => {
    const { io, clock, far, reported } = fixture(pair, 10);
    const sending = io.send(bytes("x".repeat(50)));
    for (let i = 0; i < 4; i++) {
      await clock.advance(WRITE_MS - 1_000);
      assertEquals((await far.readUntil("x".repeat(10))).length, 10);
    }
    await sending;
    assertEquals(await far.readUntil("x".repeat(10)), "x".repeat(10));
    // Now there is room for ten, and nobody reads.
    const stuck = rejectedWith(io.send(bytes("y".repeat(11)))!);
    await clock.advance(WRITE_MS + 1_000);
    assertEquals([await stuck, reported], ["slowReader", ["slowReader"]]);
    assertEquals([io.wrote, io.fault?.fault, clock.pending], [true, "slowReader", 0]);
  },
);

onConns(
  "a connection in which nothing moves is quiet, and one byte either way keeps it active",
  async (pair) => {
    const { io, clock, far, near } = fixture(pair);
    io.endWhenQuiet(1_000, "clientGone");
    for (let i = 0; i < 3; i++) {
      await clock.advance(900);
      await io.send(bytes("o"));
      await clock.advance(900);
      const filling = io.fill();
      await far.sendText("i");
      await filling;
    }
    assertEquals(near.end, "open");
    await clock.advance(1_500);
    assertEquals([near.end, io.fault?.fault], ["reset", "clientGone"]);
  },
);

onConns("all waiters get the first fault, and it is reported once", async (pair) => {
  const { io, near, reported } = fixture(pair, 1);
  const reading = rejectedWith(io.fill());
  const writing = rejectedWith(io.send(bytes("more than fits"))!);
  io.fail(new Fault("drained"));
  io.fail(new Fault("clientGone"));
  io.close();
  assertEquals([await reading, await writing], ["drained", "drained"]);
  assertEquals(await rejectedWith(io.fill()), "drained");
  assertEquals(await rejectedWith(io.send(bytes("x"))!), "drained");
  assertEquals([near.end, reported], ["reset", ["drained"]]);
});

onConns("a peer's reset is the fault of this side, for the reader and the writer", async (pair) => {
  const { io, far, reported } = fixture(pair);
  const reading = rejectedWith(io.fill());
  far.reset();
  assertEquals([await reading, reported], ["clientReset", ["clientReset"]]);
  assertEquals(await rejectedWith(io.send(bytes("x"))!), "clientReset");
});

onConns(
  "a failed write leaves the reading side open: the peer may have sent the reason",
  async (pair) => {
    const { io, near, far } = fixture(pair);
    await far.sendText("413");
    await near.closeWrite(); // any write fails from now on
    assertEquals(await rejectedWith(io.send(bytes("x"))!), "clientReset");
    assertEquals([io.fault, io.writeFault?.fault], [undefined, "clientReset"]);
    assertEquals([await io.fill(), unused(io)], [true, "413"]);
    io.close();
  },
);

onConns(
  "used as a connection it returns what was read ahead first, and then the rest",
  async (pair) => {
    const { io, far } = fixture(pair);
    await far.sendText("early");
    await io.fill();
    const room = new Uint8Array(3);
    assertEquals([await io.read(room), await io.read(room)], [3, 2]);
    const later = io.read(room);
    await far.sendText("on");
    await far.closeWrite();
    assertEquals([await later, await io.read(room)], [2, null]);
    assertEquals(await io.write(bytes("out")), 3);
    await io.closeWrite();
    assertEquals(await far.readAllText(), "out");
    io.close();
  },
);

onConns(
  "a filler is notified of bytes, of the peer's end and of a failure, each once",
  async (pair) => {
    const { io, far } = fixture(pair);
    const heard: unknown[] = [];
    const filler = {
      filled: (hasMore: boolean) => void heard.push(hasMore),
      fillFailed: ({ fault }: Fault) => void heard.push(fault),
    };
    io.fillFor(filler);
    await far.sendText("a");
    assertEquals(heard, [true]);
    io.fillFor(filler);
    await far.closeWrite();
    await far.sendText("").catch(() => {});
    assertEquals(heard, [true, false]);
    // At once, as nothing can arrive any more.
    io.fillFor(filler);
    io.close(new Fault("drained"));
    io.fillFor(filler);
    assertEquals(heard, [true, false, false, "drained"]);
  },
);

onConns("a filler may ask for the next bytes as soon as it is notified of some", async (pair) => {
  const { io, far } = fixture(pair);
  let text = "";
  const filler = {
    filled(hasMore: boolean) {
      text += unused(io);
      io.input.clear();
      if (hasMore) io.fillFor(filler);
    },
    fillFailed() {},
  };
  await far.sendText("a");
  io.fillFor(filler);
  await far.sendText("b");
  await far.sendText("c");
  await far.closeWrite();
  await far.sendText("").catch(() => {});
  assertEquals(text, "abc");
  io.dispose();
});

onConns("between two messages a connection holds a buffer only if it must", async (pair) => {
  const { io, near, far } = fixture(pair);
  io.watch();
  await far.sendText("one");
  io.input.clear();
  io.watch();
  io.rest();
  // Sockets that read into the caller's buffer need it before there is something to read.
  assertEquals(io.input.bytes.length > 0, !("readWith" in near));
  await far.sendText("two");
  assertEquals(unused(io), "two");
  io.rest();
  assertEquals(unused(io), "two");
  io.dispose();
});
