import { assertEquals, assertRejects } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import { Deadlines } from "../net/deadlines.ts";
import { type MakePair, onConns } from "../net/testing/fake_conn.ts";
import type { BodySource } from "./body.ts";
import { BufferedConn } from "./buffered_conn.ts";
import { CHUNKED, type Framing } from "./framing.ts";
import { HeadWriter } from "./head_writer.ts";
import { bytesSource, sendMessage } from "./send.ts";

/** A connection with room for `room` bytes, and a head that is already written. */
function open(pair: MakePair, room: number) {
  const [peer, near] = pair(room);
  const io = new BufferedConn(near, {
    deadlines: new Deadlines(new ManualClock()),
    writeMs: 1_000,
    faults: { reset: "clientReset", slowWrite: "slowReader" },
  });
  const out = new HeadWriter();
  out.statusLine(200, "OK");
  out.endHead();
  const send = (framing: Framing, body: BodySource | undefined) =>
    sendMessage(io, out, framing, body);
  return { peer, io, send };
}

const HEAD = "HTTP/1.1 200 OK\r\n\r\n";
const bytes = (text: string) => new TextEncoder().encode(text);

/** A body that ends after its only part. */
function whole(text: string): BodySource & { isDone: boolean } {
  const parts = [bytes(text)];
  return {
    length: text.length,
    isDone: false,
    get ended() {
      return parts.length === 0;
    },
    ready: () => parts.shift(),
    read: () => Promise.resolve(parts.shift()),
    done() {
      this.isDone = true;
    },
  };
}

onConns("a body that is in memory is sent together with its head", async (pair) => {
  const { peer, io, send } = open(pair, 1_000);
  const body = whole("hello");
  await send(5, body);
  assertEquals(body.isDone, true);
  io.close();
  assertEquals(await peer.readAllText(), `${HEAD}hello`);
});

onConns("a receiver that reads little at a time gets the whole message", async (pair) => {
  const { peer, io, send } = open(pair, 3);
  const sending = send(5, whole("hello"));
  await peer.readUntil("hello");
  await sending;
  io.close();
});

onConns(
  "a body that fails before its first byte rejects, and does not throw synchronously",
  async (pair) => {
    const broken: BodySource = {
      length: 5,
      ready() {
        throw new Fault("responseCut");
      },
      read: () => Promise.reject(new Fault("responseCut")),
    };
    for (const framing of [5, CHUNKED]) {
      const { io, send } = open(pair, 1_000);
      const sending = send(framing, broken);
      await assertRejects(() => Promise.resolve(sending), Fault);
      io.close();
    }
  },
);

onConns("a body that is not as long as it declared rejects", async (pair) => {
  const { io, send } = open(pair, 1_000);
  await assertRejects(() => Promise.resolve(send(9, bytesSource(bytes("short")))), Fault);
  await assertRejects(() => Promise.resolve(send(3, bytesSource(bytes("longer")))), TypeError);
  io.close();
});
