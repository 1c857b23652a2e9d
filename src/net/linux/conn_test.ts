/** A connection on the fake kernel: short counts, interruptions, ends and errors at every point, by seeds. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { EmbeddedLoop } from "./embedded_loop.ts";
import { URGENT } from "../../linux/kernel.ts";
import { ipSockaddr } from "../../linux/sockaddr.ts";
import { Dice, seeds } from "../../base/testing/dice.ts";
import { FakeHost } from "../testing/fake_host.ts";
import type { FakeOptions } from "../../linux/testing/fake_kernel.ts";
import type { Peer } from "../../linux/testing/fake_peer.ts";
import type { Reader } from "../conn.ts";
import { LinuxConn } from "./conn.ts";
import { caught } from "../../http1/testing/caught.ts";

const PORT = 80;
const SEEDS = 300;

/** A loop on a fake kernel, and connections that were accepted in it. */
class Fixture {
  readonly host: FakeHost;
  readonly embedded: EmbeddedLoop;
  readonly #listener: number;

  constructor(options?: FakeOptions, host: FakeHost = new FakeHost(options)) {
    this.host = host;
    this.embedded = host.embeddedLoop();
    const address = ipSockaddr("127.0.0.1", PORT)!;
    const asked = { backlog: 8, userTimeoutMs: 0 } as const;
    this.#listener = host.listen(address, asked);
  }

  connect(): { conn: LinuxConn; peer: Peer; fd: number } {
    const peer = this.host.client(PORT)!;
    let fd = this.host.accept(this.#listener);
    while (fd < 0) fd = this.host.accept(this.#listener);
    const conn = new LinuxConn(this.embedded, fd);
    this.embedded.loop.watch(fd, conn);
    return { conn, peer, fd };
  }

  /** Closes everything, and checks that no descriptor is left open. */
  async end(): Promise<void> {
    this.host.close(this.#listener);
    assertEquals(this.host.open, 0, "descriptors are open");
    await this.embedded.stop();
  }
}

const bytes = (count: number, from = 0) =>
  Uint8Array.from({ length: count }, (_, place) => (from + place) % 251);

/** Both directions of a connection, each of which continues for as long as it can. */
class Traffic {
  /** The number of bytes that were read, and of those that the writes reported as written. */
  read = 0;
  written = 0;
  readEnd = "";
  writeEnd = "";
  readonly reading: Promise<void>;
  readonly writing: Promise<void>;

  constructor(conn: LinuxConn, dice: Dice) {
    this.reading = this.#read(conn, dice);
    this.writing = this.#write(conn, dice);
  }

  async #read(conn: LinuxConn, dice: Dice): Promise<void> {
    try {
      for (;;) {
        const room = new Uint8Array(1 + dice.under(100));
        const count = await conn.read(room);
        if (count === null) break;
        assertEquals(room.subarray(0, count), bytes(count, this.read));
        this.read += count;
      }
      this.readEnd = "end";
    } catch (error) {
      if (!(error instanceof Error) || error.name === "AssertionError") throw error;
      this.readEnd = error.message;
    }
  }

  async #write(conn: LinuxConn, dice: Dice): Promise<void> {
    try {
      for (;;) this.written += await conn.write(bytes(1 + dice.under(200), this.written));
    } catch (error) {
      this.writeEnd = (error as Error).message;
    }
  }
}

Deno.test("no byte is lost or reordered, and all that wait are notified of the end, whatever the kernel does", async () => {
  for (const seed of seeds(SEEDS)) {
    const dice = new Dice(seed);
    const fixture = new Fixture({ dice, bufferBytes: 64 });
    const { conn, peer } = fixture.connect();
    const traffic = new Traffic(conn, new Dice(seed + SEEDS));
    let [sent, received] = [0, 0];
    const send = () => sent += peer.send(bytes(1 + dice.under(80), sent));
    const receive = () => {
      const got = peer.read(1 + dice.under(80));
      assertEquals(got, bytes(got.length, received), `seed ${seed}`);
      received += got.length;
    };
    for (let step = 0; step < 40; step++) {
      dice.pick([send, receive, send])();
      if (dice.once(3)) await fixture.host.untilQuiet();
    }
    const end = dice.pick(["peer ends", "peer resets", "we close", "we reset"]);
    if (dice.once(2)) send(); // so that data and end come together
    const isLast = dice.once(2);
    if (end === "peer ends") peer.end();
    else if (end === "peer resets") peer.reset();
    else if (end === "we close") conn.close();
    else conn.reset();
    if (isLast) receive();
    await fixture.host.untilQuiet();
    if (end.startsWith("peer")) await traffic.reading;
    conn.close();
    await Promise.all([traffic.reading, traffic.writing]);
    while (peer.fromUs.length > 0) receive();
    const reported = `seed ${seed}: ${end}, ${JSON.stringify(traffic)}`;
    // A reset by either side, or a close with unread bytes, discards what was not received yet (tcp(7)).
    const isDiscarded = end.endsWith("reset") || end === "peer resets" ||
      (end === "we close" && traffic.read < sent);
    if (isDiscarded) assert(received <= traffic.written, reported);
    else assertEquals(received, traffic.written, reported);
    if (end.startsWith("peer")) assertEquals(traffic.read, sent, reported);
    if (end === "peer ends") assertEquals(traffic.readEnd, "end", reported);
    if (end.startsWith("we")) {
      assertEquals([traffic.readEnd, traffic.writeEnd], ["closed by us", "closed by us"], reported);
    }
    if (end === "we reset") assert(peer.weReset, reported);
    await fixture.end();
  }
});

Deno.test("a refused write continues when there is room, and returns the number of bytes written", async () => {
  const fixture = new Fixture({ bufferBytes: 10 });
  const { conn, peer } = fixture.connect();
  assertEquals(conn.tryWrite(bytes(9), 8), 8);
  assertEquals(conn.tryWrite(bytes(8, 8), 8), 2);
  assertEquals(conn.tryWrite(bytes(8, 10), 8), 0);
  const writing = conn.write(bytes(8, 10));
  await fixture.host.untilQuiet();
  assertEquals(peer.read(4), bytes(4));
  assertEquals(await writing, 4);
  assertEquals(peer.read(), bytes(10, 4));
  conn.close();
  await fixture.end();
});

Deno.test("the peer's last bytes and its end are read although they were reported once", async () => {
  const fixture = new Fixture();
  const { conn, peer } = fixture.connect();
  await fixture.host.untilQuiet();
  peer.send(bytes(5));
  peer.end();
  const room = new Uint8Array(100);
  assertEquals([await conn.read(room), await conn.read(room)], [5, null]);
  assertEquals(conn.tryWrite(bytes(3), 3), 3); // the end of its direction does not end ours
  conn.close();
  await fixture.end();
});

Deno.test("a reset is reported after the bytes before it, to the reader and to the writer", async () => {
  for (const isWriting of [false, true]) {
    const fixture = new Fixture({ bufferBytes: 10 });
    const { conn, peer } = fixture.connect();
    assertEquals(conn.tryWrite(bytes(10), 10), 10);
    await fixture.host.untilQuiet();
    const writing = isWriting ? assertRejects(() => conn.write(bytes(1)), Error, "reset") : null;
    peer.send(bytes(5));
    peer.reset();
    const room = new Uint8Array(100);
    await writing;
    assertEquals(await conn.read(room), 5);
    // An error is returned once, to the first call (socket(7)).
    if (isWriting) assertEquals(await conn.read(room), null);
    else await assertRejects(() => conn.read(room), Error, "connection reset");
    await assertRejects(async () => await conn.write(bytes(1)), Error, "broken pipe");
    conn.close();
    await fixture.end();
  }
});

Deno.test("the bytes after an urgent byte, before which a read stops, are read too", async () => {
  /** A read stops before a byte sent out of band (tcp(7)), here the third. */
  class UrgentHost extends FakeHost {
    #before = 2;

    override receiveInto(fd: number, buffer: Uint8Array<ArrayBuffer>): number {
      const most = this.#before > 0 ? this.#before : buffer.length;
      const count = super.receiveInto(fd, buffer.subarray(0, most));
      this.#before -= Math.max(0, count);
      return count;
    }
  }
  const fixture = new Fixture({}, new UrgentHost());
  const { conn, peer, fd } = fixture.connect();
  await fixture.host.untilQuiet();
  peer.send(bytes(5));
  const reported: (number | null)[] = [];
  const room = new Uint8Array(100);
  const reader: Reader = {
    room: () => room,
    arrived: (count) => reported.push(count),
    failed() {},
  };
  conn.ready(fd, URGENT);
  // Without a pause, so that no further report can help.
  for (let i = 0; i < 2; i++) conn.readWith(reader);
  assertEquals(reported, [2, 3]);
  conn.close();
  await fixture.end();
});

/** Counts the reads of each descriptor between two polls. */
class ReadCountingHost extends FakeHost {
  readonly ticks: Map<number, number>[] = [new Map()];

  override poll(): number {
    this.ticks.push(new Map());
    return super.poll();
  }

  override receiveInto(fd: number, buffer: Uint8Array<ArrayBuffer>): number {
    const tick = this.ticks.at(-1)!;
    tick.set(fd, (tick.get(fd) ?? 0) + 1);
    return super.receiveInto(fd, buffer);
  }
}

/** Reads on as soon as something has arrived. */
class EagerReader implements Reader {
  count = 0;
  readonly #conn: LinuxConn;
  readonly #room: Uint8Array;

  constructor(conn: LinuxConn, roomBytes: number) {
    this.#conn = conn;
    this.#room = new Uint8Array(roomBytes);
  }

  begin(): void {
    this.#conn.readWith(this);
  }

  room(): Uint8Array {
    return this.#room;
  }

  arrived(count: number | null): void {
    if (count === null) return;
    this.count += count;
    this.begin();
  }

  failed(): void {}
}

Deno.test("a connection with endless input gets four reads in a tick, and the others are read as well", async () => {
  const host = new ReadCountingHost({ bufferBytes: 10_000 });
  const fixture = new Fixture({}, host);
  const [flood, drip] = [fixture.connect(), fixture.connect()];
  await host.untilQuiet();
  const [eager, modest] = [new EagerReader(flood.conn, 10), new EagerReader(drip.conn, 10)];
  flood.peer.send(bytes(10_000));
  eager.begin();
  // The first four reads are made at once, and no more.
  assert(eager.count <= 40, `${eager.count} bytes before anyone else`);
  modest.begin();
  const first = host.ticks.length;
  drip.peer.send(bytes(5));
  await host.untilQuiet();
  assertEquals([eager.count, modest.count], [10_000, 5]);
  const reads = (fd: number) => host.ticks.map((tick) => tick.get(fd) ?? 0);
  const eagerReads = reads(flood.fd);
  assertEquals(Math.max(...eagerReads), 4);
  // A read that did not fill its room has emptied the socket: another read would return EAGAIN.
  assertEquals(reads(drip.fd).reduce((sum, count) => sum + count), 1);
  const tickOfRead = reads(drip.fd).findIndex((count, tick) => tick >= first && count > 0);
  assert(tickOfRead >= 0 && tickOfRead <= first + 1, `served in tick ${tickOfRead - first}`);
  for (const { conn } of [flood, drip]) conn.close();
  await fixture.end();
});

Deno.test("a connection that its reader closes in the callback is not used after that", async () => {
  const fixture = new Fixture();
  const { conn, peer } = fixture.connect();
  await fixture.host.untilQuiet();
  const reported: string[] = [];
  conn.readWith({
    room: () => new Uint8Array(2),
    arrived() {
      reported.push("arrived");
      conn.reset();
      conn.readWith({
        room: () => new Uint8Array(2),
        arrived() {},
        failed: () => reported.push("failed"),
      });
    },
    failed: () => reported.push("too late"),
  });
  peer.send(bytes(5));
  await fixture.host.untilQuiet();
  assertEquals([reported, peer.weReset], [["arrived", "failed"], true]);
  await conn.closeWrite(); // has no effect
  await fixture.end();
});

Deno.test("a bug in a reader ends that connection, and not the loop", async () => {
  const fixture = new Fixture();
  const broken = fixture.connect();
  const sound = fixture.connect();
  await fixture.host.untilQuiet();
  broken.conn.readWith({
    room: () => new Uint8Array(2),
    arrived() {
      throw new Error("made by a test");
    },
    failed() {},
  });
  const reading = sound.conn.read(new Uint8Array(2));
  const errors = await caught(async () => {
    broken.peer.send(bytes(2));
    sound.peer.send(bytes(2));
    await fixture.host.untilQuiet();
  });
  assertEquals([errors, broken.peer.weReset, await reading], [["made by a test"], true, 2]);
  sound.conn.close();
  await fixture.end();
});

Deno.test("a look that need not be exact reads only if something may have been reported in this tick", async () => {
  const host = new ReadCountingHost();
  const fixture = new Fixture({}, host);
  const [asking, other, late] = [fixture.connect(), fixture.connect(), fixture.connect()];
  const received: string[] = [];
  const reader = (name: string, then: () => void = () => {}): Reader => ({
    room: () => new Uint8Array(9),
    arrived(count) {
      received.push(`${name} ${count}`);
      then();
    },
    failed() {},
  });
  await host.untilQuiet();
  other.conn.readWith(reader("other"));
  late.conn.readWith(reader("late"));
  const reads = (fd: number) => host.ticks.reduce((sum, tick) => sum + (tick.get(fd) ?? 0), 0);
  await host.untilQuiet();
  const before = reads(other.fd);
  asking.conn.readWith(
    reader("asking", () => {
      // Nothing was reported of this one, so it is not read …
      other.conn.look(false);
      assertEquals(reads(other.fd), before);
      // … and of this one something is reported in the same tick.
      late.conn.look(false);
      assertEquals(received, ["asking 1", "late 2"]);
      other.conn.look(true);
      assertEquals(reads(other.fd), before + 1);
    }),
  );
  asking.peer.send(bytes(1));
  late.peer.send(bytes(2));
  await host.untilQuiet();
  assertEquals(received, ["asking 1", "late 2"]);
  // Outside of a tick nothing is known without a read.
  other.conn.look(false);
  assertEquals(reads(other.fd), before + 2);
  for (const { conn } of [asking, other, late]) conn.close();
  await fixture.end();
});
