/** A peer that is owed bytes by a side that broke: it gets them, and is not waited for without need. */
import { assertEquals } from "@std/assert";
import { ManualClock } from "../../base/clock.ts";
import { closeQuietly, readToEnd, until, writeAll } from "../testing/world.ts";
import { linger } from "./linger.ts";
import { SourceReader } from "./streams.ts";

/** A connection: our end, and that of the peer. */
async function pair(): Promise<[Deno.Conn, Deno.Conn]> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const dialing = Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
  return [await listener.accept(), await dialing];
}

/** Lingers for a peer whose words have no one to go to; resolves with true if it was cut short. */
function lingerFor(sink: Deno.Conn, clock: ManualClock): Promise<boolean> {
  let wasCut = false;
  const end = () => {
    wasCut = true;
    closeQuietly(sink);
  };
  const back = Promise.resolve("sinkFailed" as const);
  const fromSink = new SourceReader(sink);
  return linger({ sink, fromSink, back, clock, sentAt: clock.now(), end }).then(() => wasCut);
}

Deno.test("a peer that talks while it is owed bytes gets all of them", async () => {
  const [sink, peer] = await pair();
  using _peer = peer;
  await writeAll(peer, new Uint8Array(100_000)); // unread: closing now would be a reset
  const owed = writeAll(sink, new Uint8Array(1_000_000));
  const heard = readToEnd(peer);
  await owed;
  const lingering = lingerFor(sink, new ManualClock());
  assertEquals((await heard).length, 1_000_000);
  peer.close();
  assertEquals(await lingering, false);
  closeQuietly(sink);
});

Deno.test("a peer that says nothing for a while is not waited for, and one that talks for 30 s at most", async () => {
  for (const [talks, looks] of [[false, 3], [true, 15]] as const) {
    const clock = new ManualClock();
    const [sink, peer] = await pair();
    reads(sink); // counts from here on
    const lingering = lingerFor(sink, clock);
    let isOver = false;
    lingering.then(() => isOver = true);
    let passed = 0;
    for (; !isOver && passed < looks; passed++) {
      if (talks) {
        const before = reads(sink);
        await writeAll(peer, new Uint8Array(10));
        await until("it was read", () => reads(sink) > before);
      }
      await clock.advance(2_000);
    }
    assertEquals(await lingering, true);
    assertEquals(passed <= looks, true);
    if (talks) assertEquals(passed, looks);
    closeQuietly(peer);
  }
});

/** How often our end has been read with something to show for it. */
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
