/** A peer whose other side has failed still gets what that side sent, and is waited for only as long as needed. */
import { assertEquals } from "@std/assert";
import { ManualClock } from "../../base/clock.ts";
import { closeQuietly, readToEnd, until, writeAll } from "../testing/relay_fixture.ts";
import { lingerAfterBreak } from "./linger.ts";
import { socketPair } from "../../net/testing/socket_pair.ts";

/** Lingers for a peer whose bytes have no receiver any more; resolves with true if its time ran out. */
function lingerFor(
  sink: Deno.Conn,
  clock: ManualClock,
  sentAt = clock.now(),
): Promise<boolean> {
  let wasCut = false;
  const end = () => {
    wasCut = true;
    closeQuietly(sink);
  };
  const back = Promise.resolve("sinkFailed" as const);
  return lingerAfterBreak({ sink, back, clock, sentAt, end }).then(() => wasCut);
}

Deno.test("a peer that sends while bytes are on their way to it gets all of them", async () => {
  const [sink, peer] = await socketPair();
  using _peer = peer;
  await writeAll(peer, new Uint8Array(100_000)); // unread: closing now would be a reset
  const written = writeAll(sink, new Uint8Array(1_000_000));
  const received = readToEnd(peer);
  await written;
  const lingering = lingerFor(sink, new ManualClock());
  assertEquals((await received).length, 1_000_000);
  peer.close();
  assertEquals(await lingering, false);
  closeQuietly(sink);
});

Deno.test("a peer that is slow and then sends still gets all of its bytes", async () => {
  const clock = new ManualClock();
  const [sink, peer] = await socketPair();
  using _peer = peer;
  await writeAll(sink, new Uint8Array(1_000_000)); // in the kernel's buffers, as the peer reads nothing
  reads(sink); // counts from here on
  const lingering = lingerFor(sink, clock);
  for (let passedMs = 0; passedMs < 28_000; passedMs += 2_000) await clock.advance(2_000);
  const before = reads(sink);
  await writeAll(peer, new Uint8Array(10));
  await until("it was read", () => reads(sink) > before);
  assertEquals((await readToEnd(peer)).length, 1_000_000);
  peer.close();
  assertEquals(await lingering, false);
  closeQuietly(sink);
});

for (const isSending of [false, true]) {
  Deno.test(`a peer that ${isSending ? "sends" : "is silent"} is waited for as long as bytes may be on their way to it`, async () => {
    for (const [sentMsAgo, waitMs] of [[0, 30_000], [20_000, 10_000], [60_000, 2_000]] as const) {
      const clock = new ManualClock();
      await clock.advance(100_000);
      const [sink, peer] = await socketPair();
      reads(sink); // counts from here on
      let isOver = false;
      const lingering = lingerFor(sink, clock, clock.now() - sentMsAgo);
      lingering.then(() => isOver = true);
      for (let passedMs = 0; passedMs < waitMs; passedMs += 1_000) {
        assertEquals(isOver, false);
        if (isSending) {
          const before = reads(sink);
          await writeAll(peer, new Uint8Array(10));
          await until("it was read", () => reads(sink) > before);
        }
        await clock.advance(1_000);
      }
      assertEquals(await lingering, true);
      closeQuietly(peer);
    }
  });
}

/** How often a read of our end has returned bytes or an end. */
const counts = new WeakMap<Deno.Conn, number>();
function reads(conn: Deno.Conn): number {
  if (!counts.has(conn)) {
    counts.set(conn, 0);
    const read = conn.read.bind(conn);
    conn.read = async (buffer) => {
      const count = await read(buffer);
      counts.set(conn, counts.get(conn)! + 1);
      return count;
    };
  }
  return counts.get(conn)!;
}
