/** The whole engine, in its worker, on real sockets. */
import { assert, assertEquals } from "@std/assert";
import { realClock, sleep } from "../../base/clock.ts";
import { RawListener } from "../../linux/testing/raw_socket.ts";
import { Dice } from "../../base/testing/dice.ts";
import { relayContract } from "../testing/contract.ts";
import {
  closeQuietly,
  echoes,
  encode,
  ended,
  readText,
  RelayFixture,
  sends,
  TestUpstream,
  writeAll,
} from "../testing/relay_fixture.ts";
import { spliceRelay } from "./testing/alone.ts";

const isLinux = Deno.build.os === "linux";
const ignore = !isLinux;

if (isLinux) relayContract("splice", spliceRelay);

/** The bytes that one side of a session sends, computed from its number, so that the other side can check them. */
function bytesOf(number: number, side: "up" | "down"): Uint8Array<ArrayBuffer> {
  const dice = new Dice(number * 2 + (side === "up" ? 0 : 1));
  const length = dice.pick([0, 1, 500, 20_000, 200_000, 700_000]);
  let word = dice.under(2 ** 31);
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at++) bytes[at] = (word = Math.imul(word, 48_271) + 11) >>> 16;
  return bytes;
}

/** Writes in pieces of random sizes, with pauses in which other sessions run. */
async function sendPieces(conn: Deno.Conn, bytes: Uint8Array, dice: Dice): Promise<void> {
  for (let sent = 0; sent < bytes.length;) {
    const piece = bytes.subarray(sent, sent + dice.pick([7, 1_000, 65_536, 200_000]));
    await writeAll(conn, piece);
    sent += piece.length;
    // A sender that pauses: its socket is empty then, and the session is woken again.
    if (dice.once(8)) await sleep(realClock, dice.under(5));
  }
  await conn.closeWrite();
}

/** Reads to the end, or until `most` bytes arrived, and checks each byte. */
async function checkBytes(conn: Deno.Conn, expected: Uint8Array, dice: Dice, most: number) {
  const buffer = new Uint8Array(dice.pick([2_000, 8_192, 100_000]));
  let seen = 0;
  for (;;) {
    const count = await conn.read(buffer);
    if (count === null) return assertEquals(seen, expected.length);
    for (let at = 0; at < count; at++) {
      if (buffer[at] !== expected[seen + at]) throw new Error(`byte ${seen + at} is wrong`);
    }
    seen += count;
    if (seen >= most) return;
    // A reader that pauses: what is sent fills the sockets meanwhile.
    if (dice.once(40)) await sleep(realClock, dice.under(5));
  }
}

Deno.test({
  name: "bytes of concurrent sessions of all sizes arrive whole, while other sessions close early",
  ignore,
  async fn() {
    const failures: unknown[] = [];
    await using primary = new TestUpstream("a", async (conn) => {
      const number = Number(await readText(conn, 4));
      const dice = new Dice(number + 5_000);
      const both = [
        sendPieces(conn, bytesOf(number, "down"), dice),
        checkBytes(conn, bytesOf(number, "up"), dice, Infinity),
      ];
      await Promise.all(both).catch((error) => closesEarly(number) || failures.push(error));
    });
    await using fixture = await RelayFixture.start(spliceRelay);
    await fixture.relay.open(primary.upstream, 1);
    const one = async (number: number): Promise<void> => {
      const dice = new Dice(number + 9_000);
      using client = await fixture.connect();
      await writeAll(client, encode(String(number).padStart(4, "0")));
      const most = closesEarly(number) ? 10_000 : Infinity;
      const checked = checkBytes(client, bytesOf(number, "down"), dice, most);
      const sending = sendPieces(client, bytesOf(number, "up"), dice);
      if (!closesEarly(number)) return void await Promise.all([sending, checked]);
      await checked;
      closeQuietly(client);
      await sending.catch(() => {}); // it was cut off on purpose
    };
    for (let number = 0; number < 48; number += 16) {
      await Promise.all(Array.from({ length: 16 }, (_, place) => one(number + place)));
    }
    await fixture.counters("all sessions ended", (c) => c.active === 0);
    assertEquals(failures, []);
  },
});

/** One in eight clients closes after the first bytes, with more under way. */
const closesEarly = (number: number) => number % 8 === 3;

Deno.test({
  name: "thousands of short sessions, many cut off by either side, leave no descriptor behind",
  ignore,
  async fn() {
    // In a separate process: in this one other tests open descriptors and close them.
    const { pathname } = new URL("../testing/short_sessions.ts", import.meta.url);
    const args = ["run", "-A", "--quiet", "--no-check", pathname];
    const { code, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
  },
});

const accepted = (fixture: RelayFixture) => fixture.relay.counters().accepted;

Deno.test({
  name: "names are looked up, for the port and for the upstream",
  ignore,
  async fn() {
    await using primary = new TestUpstream("a", sends("a"));
    const { address } = primary.upstream;
    assert(address.kind === "tcp");
    const bind = { kind: "tcp", host: "localhost", port: 0 } as const;
    await using fixture = await RelayFixture.start(spliceRelay, { bind });
    await fixture.relay.open(
      { ...primary.upstream, address: { ...address, host: "localhost" } },
      1,
    );
    await fixture.event("port.opened");
    using client = await fixture.connect();
    assertEquals(await readText(client, 1), "a");
  },
});

Deno.test({
  name: "workers share one port, its limits and its orders",
  ignore,
  async fn() {
    await using primary = new TestUpstream("a", echoes);
    await using fixture = await RelayFixture.start(spliceRelay, { workers: 2 });
    await fixture.relay.open(primary.upstream, 1);
    await fixture.event("port.opened");
    const clients = await Promise.all(Array.from({ length: 40 }, () => fixture.connect()));
    for (const client of clients) {
      await writeAll(client, encode("x"));
      assertEquals(await readText(client, 1), "x");
    }
    assertEquals([accepted(fixture), fixture.all("port.opened").length], [40, 1]);
    const order = { upstream: "a", throughEpoch: 1, graceMs: 0, reason: "test" };
    await fixture.relay.drain({ ...order, sparedIfMovedMs: undefined, revocable: false });
    await fixture.counters("all are cut", (c) => c.cut === 40 && c.active === 0);
    clients.forEach((client) => client.close());
    await fixture.relay.refuse();
    assertEquals(fixture.all("port.closed").length, 1);
  },
});

for (const workers of [1, 3]) {
  Deno.test({
    name:
      `the limit of connections holds over ${workers} workers, and a client that leaves makes room for another`,
    ignore,
    async fn() {
      await using primary = new TestUpstream("a", echoes);
      await using fixture = await RelayFixture.start(spliceRelay, { workers, connectionsMax: 5 });
      await fixture.relay.open(primary.upstream, 1);
      const clients = await Promise.all(Array.from({ length: 12 }, () => fixture.connect()));
      const echoed = clients.map(async (client) => {
        await writeAll(client, encode("x"));
        await readText(client, 1);
        return client;
      });
      const startedAt = realClock.now();
      for (let served = 5; served <= 12; served++) {
        await fixture.counters(
          `${served} were let in`,
          (c) => c.accepted >= served && c.active === 5,
        );
        await fixture.relay.spare("nobody"); // all workers have handled their orders
        assertEquals(accepted(fixture), served);
        if (served === 12) break;
        const leaving = await Promise.race(echoed);
        echoed.splice(clients.indexOf(leaving), 1);
        clients.splice(clients.indexOf(leaving), 1);
        leaving.close();
      }
      const { limit, max } = await fixture.event("limit.reached");
      assertEquals([limit, max], ["connections", 5]);
      // It is reported once in 10 s.
      const most = 1 + Math.floor((realClock.now() - startedAt) / 10_000);
      assert(fixture.all("limit.reached").length <= most);
      clients.forEach(closeQuietly);
      await Promise.allSettled(echoed);
    },
  });

  Deno.test({
    name: `the limit of waiting clients holds over ${workers} workers`,
    ignore,
    async fn() {
      await using primary = new TestUpstream("a", echoes);
      await using fixture = await RelayFixture.start(spliceRelay, { workers, heldMax: 4 });
      await fixture.relay.open(primary.upstream, 1);
      await fixture.relay.hold();
      const clients = await Promise.all(Array.from({ length: 10 }, () => fixture.connect()));
      await fixture.counters("four wait", (c) => c.held >= 4);
      await fixture.relay.spare("nobody"); // all workers have handled their orders
      assertEquals([accepted(fixture), fixture.relay.counters().held], [4, 4]);
      await fixture.relay.open(primary.upstream, 2);
      for (const client of clients) {
        await writeAll(client, encode("x"));
        assertEquals(await readText(client, 1), "x");
      }
      clients.forEach(closeQuietly);
    },
  });
}

Deno.test({
  name: "a unix socket is served by several workers",
  ignore,
  async fn() {
    const folder = await Deno.makeTempDir();
    await using primary = new TestUpstream("a", sends("a"));
    const bind = { kind: "unix", path: `${folder}/front` } as const;
    await using fixture = await RelayFixture.start(spliceRelay, { bind, workers: 3 });
    await fixture.relay.open(primary.upstream, 1);
    for (let i = 0; i < 5; i++) {
      using client = await fixture.connect();
      assertEquals(await readText(client, 1), "a");
    }
    assertEquals(fixture.all("port.failed"), []);
    await fixture.relay.refuse();
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test({
  name: "a session that only writes to an upstream that reads nothing is not spared for ever",
  ignore,
  async fn() {
    using listener = new RawListener();
    await using fixture = await RelayFixture.start(spliceRelay);
    const { address } = listener;
    await fixture.relay.open({ name: "a", address, rank: 0 }, 1);
    await fixture.event("port.opened");
    using client = await fixture.connect();
    using _frozen = await listener.accept();
    // As much as the upstream's kernel accepts; what is sent after that stays with us, unacknowledged.
    for (let sent = 0; sent < 1_000_000; sent += 1_000) await client.write(new Uint8Array(1_000));
    const order = { upstream: "a", throughEpoch: 1, graceMs: 0, sparedIfMovedMs: 100 };
    await fixture.relay.drain({ ...order, revocable: true, reason: "test" });
    let writes = 0;
    const over = ended(client).catch(() => true);
    let isOver = false;
    over.then(() => isOver = true);
    for (; !isOver && writes < 5_000; writes++) {
      await client.write(new Uint8Array(1)).catch(() => {}); // fails when the session is cut
      // The client of this scene goes on writing a byte now and then.
      await sleep(realClock, 1);
    }
    assert(isOver, `it was spared for ${writes} writes`);
    await fixture.counters("it is cut", (c) => c.cut === 1);
  },
});
