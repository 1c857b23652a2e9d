/** The contract of the bytes: none lost, none reordered, half-closes and back-pressure kept. */
import { assert, assertEquals } from "@std/assert";
import {
  encode,
  type MakeRelay,
  readText,
  readToEnd,
  RelayFixture,
  type ServeConn,
  TestUpstream,
  until,
  writeAll,
} from "./relay_fixture.ts";

const MIB = 1_048_576;

/** Bytes that depend on their position, so that a lost or moved block is noticed; a linear congruence (Knuth). */
function* noise(total: number, seed: number): Generator<Uint8Array<ArrayBuffer>> {
  let state = seed >>> 0;
  let size = 1;
  for (let made = 0; made < total;) {
    const block = new Uint8Array(Math.min(size, total - made));
    for (let at = 0; at < block.length; at++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      block[at] = state >>> 24;
    }
    made += block.length;
    size = (size * 7 + 13) % 150_001; // odd sizes, from 1 byte to several reads
    yield block;
  }
}

async function sendNoise(conn: Deno.Conn, total: number, seed: number): Promise<void> {
  for (const block of noise(total, seed)) await writeAll(conn, block);
  await conn.closeWrite();
}

/** Reads to the end and checks each byte; in small parts if it is to be slow. */
async function checkNoise(conn: Deno.Conn, total: number, seed: number, slow: boolean) {
  const expected = noise(total, seed);
  let block = new Uint8Array(0);
  let at = 0;
  let seen = 0;
  const buffer = new Uint8Array(slow ? 3_001 : 65_536);
  for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
    for (let i = 0; i < count; i++) {
      if (at === block.length) {
        const next = expected.next();
        assert(!next.done, `more than ${total} bytes`);
        block = next.value;
        at = 0;
      }
      if (buffer[i] !== block[at++]) throw new Error(`byte ${seen + i} is wrong`);
    }
    seen += count;
  }
  assertEquals(seen, total);
}

export function bytesContract(name: string, make: MakeRelay): void {
  for (const slow of ["client", "upstream", "nobody"] as const) {
    Deno.test(`${name}: bytes arrive whole in both directions with a slow reader: ${slow}`, async () => {
      const total = 6 * MIB;
      const failures: unknown[] = [];
      await using primary = new TestUpstream("a", async (conn) => {
        await Promise.all([
          sendNoise(conn, total, 1),
          checkNoise(conn, total, 2, slow === "upstream"),
        ]).catch((error) => failures.push(error));
      });
      await using fixture = await RelayFixture.start(make);
      await fixture.relay.open(primary.upstream, 1);
      using client = await fixture.connect();
      await Promise.all([
        sendNoise(client, total, 2),
        checkNoise(client, total, 1, slow === "client"),
      ]);
      await fixture.counters("the session ended", (c) => c.active === 0);
      assertEquals(failures, []);
      const { clientSentBytes, clientReceivedBytes } = fixture.relay.counters();
      assertEquals([clientSentBytes, clientReceivedBytes], [total, total]);
    });
  }

  Deno.test(`${name}: a client that half-closes gets the whole answer`, async () => {
    await using primary = new TestUpstream("a", async (conn) => {
      const request = await readToEnd(conn); // needs the end before it answers
      await writeAll(conn, encode(`answer to ${request} `.repeat(20_000)));
    });
    await using fixture = await RelayFixture.start(make);
    await fixture.relay.open(primary.upstream, 1);
    using client = await fixture.connect();
    await writeAll(client, encode("this"));
    await client.closeWrite();
    assertEquals(await readToEnd(client), "answer to this ".repeat(20_000));
  });

  Deno.test(`${name}: a client that half-closes without sending anything gets the answer`, async () => {
    await using primary = new TestUpstream("a", async (conn) => {
      await readToEnd(conn);
      await writeAll(conn, encode("12:00"));
    });
    await using fixture = await RelayFixture.start(make);
    await fixture.relay.open(primary.upstream, 1);
    using client = await fixture.connect();
    await fixture.counters("the session is joined", (c) => c.active === 1);
    await client.closeWrite();
    assertEquals(await readToEnd(client), "12:00");
  });

  Deno.test(`${name}: an upstream that half-closes still gets the client's bytes`, async () => {
    const got = Promise.withResolvers<string>();
    await using primary = new TestUpstream("a", async (conn) => {
      await writeAll(conn, encode("go on"));
      await conn.closeWrite();
      got.resolve(await readToEnd(conn));
    });
    await using fixture = await RelayFixture.start(make);
    await fixture.relay.open(primary.upstream, 1);
    using client = await fixture.connect();
    assertEquals(await readToEnd(client), "go on");
    await writeAll(client, encode("and on ".repeat(50_000)));
    await client.closeWrite();
    assertEquals(await got.promise, "and on ".repeat(50_000));
  });

  Deno.test(`${name}: a client that does not read stalls its upstream, and loses nothing`, async () => {
    const total = 64 * MIB;
    let sent = 0;
    const sendsAll: ServeConn = async (conn) => {
      const block = new Uint8Array(MIB);
      for (; sent < total; sent += block.length) await writeAll(conn, block);
    };
    await using primary = new TestUpstream("a", sendsAll);
    await using fixture = await RelayFixture.start(make);
    await fixture.relay.open(primary.upstream, 1);
    using client = await fixture.connect();
    let unchanged = 0;
    let last = -1;
    await until("the upstream is stalled", () => {
      const now = sent + fixture.relay.counters().clientReceivedBytes;
      unchanged = now === last && now > 0 ? unchanged + 1 : 0;
      last = now;
      return unchanged > 100; // checks, one millisecond or more apart
    });
    assert(sent < total, "the relay buffered everything");

    let seen = 0;
    const buffer = new Uint8Array(MIB);
    for (let n = await client.read(buffer); n !== null; n = await client.read(buffer)) seen += n;
    assertEquals(seen, total);
  });

  Deno.test(`${name}: small messages pass at once in both directions`, async () => {
    await using primary = new TestUpstream("a", async (conn) => {
      for (let round = 0; round < 200; round++) {
        await writeAll(conn, encode(`${await readText(conn, 3)}!`));
      }
    });
    await using fixture = await RelayFixture.start(make);
    await fixture.relay.open(primary.upstream, 1);
    using client = await fixture.connect();
    for (let round = 100; round < 300; round++) {
      await writeAll(client, encode(`${round}`));
      assertEquals(await readText(client, 4), `${round}!`);
    }
    assertEquals(await readToEnd(client), "");
  });
}
