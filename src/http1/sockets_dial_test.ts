/** What both kinds of sockets guarantee for a connection that we make. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { ManualClock, realClock } from "../base/clock.ts";
import type { Conn } from "../net/conn.ts";
import type { PlainDialOptions } from "../net/transport.ts";
import { joined, onBoth, tcpListener, untilStill } from "./testing/both_transports.ts";
import { assertNothingSent } from "../base/testing/faults.ts";
import { untilRefused } from "../net/testing/refused.ts";

const to = (port: number, more: Partial<PlainDialOptions> = {}): PlainDialOptions => ({
  hostname: "127.0.0.1",
  port,
  clock: realClock,
  connectMs: 20_000,
  ...more,
});

/** A port that does not answer a connect: its accept queue is full, and nobody accepts. */
async function mute(): Promise<Disposable & { readonly port: number }> {
  const there = tcpListener(1);
  const { port } = there.addr;
  const giveUp = new AbortController();
  const conns: Deno.Conn[] = [];
  const full = Promise.withResolvers<void>();
  // Linux queues one connection more than the backlog; the next one gets no answer.
  for (let i = 0; i < 4; i++) {
    Deno.connect({ hostname: "127.0.0.1", port, signal: giveUp.signal }).then((conn) => {
      if (conns.push(conn) === 2) full.resolve();
    }, () => {});
  }
  await full.promise;
  return {
    port,
    [Symbol.dispose]() {
      giveUp.abort();
      for (const conn of conns) conn.close();
      there.close();
    },
  };
}

onBoth("a refused connection is distinguished from all other failures", async (sockets) => {
  const there = tcpListener();
  const { port } = there.addr;
  there.close();
  await untilRefused(port);
  await assertNothingSent(sockets.dialer(to(port))(), "connectRefused");
});

onBoth("a connect without an answer ends at its time-out, not before", async (sockets) => {
  using there = await mute();
  const clock = new ManualClock();
  const dialing = sockets.dialer(to(there.port, { clock, connectMs: 3_000 }))();
  let ended = false;
  const end = () => ended = true;
  dialing.then(end, end);
  await clock.advance(2_999);
  await untilStill(() => 0);
  assertEquals(ended, false);
  await clock.advance(1);
  await assertNothingSent(dialing, "connectTimeout");
  assertEquals(clock.pending, 0);
});

onBoth("a dial that is cancelled ends, before it began and on its way", async (sockets) => {
  using there = await mute();
  const clock = new ManualClock();
  const dial = sockets.dialer(to(there.port, { clock }));
  await assertNothingSent(dial(AbortSignal.abort()), "connectFailed");
  const stop = new AbortController();
  const failed = assertNothingSent(dial(stop.signal), "connectFailed");
  await untilStill(() => 0);
  stop.abort();
  await failed;
  assertEquals(clock.pending, 0);
});

onBoth("a name that does not resolve has its own fault", async (sockets) => {
  // A resolver needs no network to reject a label that is too long (RFC 1035).
  const hostname = `${"a".repeat(64)}.test`;
  await assertNothingSent(sockets.dialer(to(80, { hostname }))(), "nameUnknown");
});

onBoth("a name with several addresses is tried address by address", async (sockets) => {
  // `localhost` is ::1 and 127.0.0.1 on most systems; only one of them answers here.
  for (const hostname of ["127.0.0.1", "::1"]) {
    using there = Deno.listen({ hostname, port: 0 });
    const options = { hostname: "localhost", port: there.addr.port };
    const known = await Deno.connect(options).then((conn) => conn.close(), () => "no such address");
    if (known === undefined) (await there.accept()).close();
    else continue;
    const dialing = sockets.dialer(to(there.addr.port, { hostname: "localhost" }))();
    using peer = await there.accept();
    const conn = await dialing;
    await peer.write(new TextEncoder().encode("hello"));
    assertEquals(await read(conn), "hello");
    conn.close();
  }
});

/** The bytes of the next read as text; null at the peer's end. */
async function read(conn: Conn, bytes = 100): Promise<string | null> {
  const buffer = new Uint8Array(bytes);
  const count = await conn.read(buffer);
  return count === null ? null : new TextDecoder().decode(buffer.subarray(0, count));
}

onBoth(
  "a connection reads what arrives, in the requested portions, and then the end",
  async (sockets) => {
    const { conn, peer } = await joined(sockets);
    const first = read(conn);
    await peer.write(new TextEncoder().encode("first"));
    assertEquals(await first, "first");
    await peer.write(new TextEncoder().encode("second"));
    assertEquals([await read(conn, 3), await read(conn, 3)], ["sec", "ond"]);
    await peer.write(new TextEncoder().encode("last"));
    await peer.closeWrite();
    assertEquals([await read(conn), await read(conn), await read(conn)], ["last", null, null]);
    conn.close();
    peer.close();
  },
);

onBoth("bytes that were sent before both sides ended are still read", async (sockets) => {
  const { conn, peer } = await joined(sockets);
  await conn.write(new TextEncoder().encode("question"));
  assertEquals(await peer.read(new Uint8Array(100)), 8);
  await peer.write(new TextEncoder().encode("answer"));
  peer.close();
  assertEquals([await read(conn, 4), await read(conn), await read(conn)], ["answ", "er", null]);
  conn.close();
});

onBoth("after closeWrite the peer sees the end, and reads continue", async (sockets) => {
  const { conn, peer } = await joined(sockets);
  await conn.write(new TextEncoder().encode("bye"));
  await conn.closeWrite();
  const buffer = new Uint8Array(100);
  assertEquals([await peer.read(buffer), await peer.read(buffer)], [3, null]);
  await peer.write(new TextEncoder().encode("not yet"));
  assertEquals(await read(conn), "not yet");
  conn.close();
  peer.close();
});

/** The byte at each position of a stream, so that a lost or reordered byte is noticed. */
const byteAt = (place: number) => (place * 31 + (place >> 11)) & 0xff;

onBoth("a peer that does not read stops a write, and gets every byte later", async (sockets) => {
  const total = 24 * 1024 * 1024;
  const { conn, peer } = await joined(sockets);
  const bytes = Uint8Array.from({ length: total }, (_, place) => byteAt(place));
  let sent = 0;
  const writing = (async () => {
    while (sent < total) {
      const count = await conn.write(bytes.subarray(sent));
      assert(count > 0);
      sent += count;
    }
    await conn.closeWrite();
  })();
  await untilStill(() => sent);
  assert(sent > 0 && sent < total, `${sent} of ${total} were written`);
  let got = 0;
  const buffer = new Uint8Array(1 << 20);
  for (let count = await peer.read(buffer); count !== null; count = await peer.read(buffer)) {
    for (let i = 0; i < count; i++, got++) {
      if (buffer[i] !== byteAt(got)) throw new Error(`byte ${got} is wrong`);
    }
  }
  await writing;
  assertEquals(got, total);
  conn.close();
  peer.close();
});

for (const how of ["close", "reset"] as const) {
  onBoth(
    `${how} rejects the pending read and write, and later ones`,
    async (sockets) => {
      const { conn, peer } = await joined(sockets);
      let sent = 0;
      const block = new Uint8Array(1 << 20);
      const writing = (async () => {
        for (;;) sent += await conn.write(block);
      })();
      const wrote = assertRejects(() => writing);
      const wasRead = assertRejects(() => conn.read(new Uint8Array(10)));
      await untilStill(() => sent);
      conn[how]();
      await Promise.all([wrote, wasRead]);
      conn.close();
      conn.reset();
      await assertRejects(async () => await conn.read(new Uint8Array(10)));
      await assertRejects(async () => await conn.write(new Uint8Array(10)));
      peer.close();
    },
  );
}

onBoth(
  "a connection that was reset ends for its peer, with a reset where one can be sent",
  async (sockets, kind) => {
    const { conn, peer } = await joined(sockets);
    await conn.write(new TextEncoder().encode("part"));
    const buffer = new Uint8Array(100);
    assertEquals(await peer.read(buffer), 4);
    conn.reset();
    if (kind.name === "deno") assertEquals(await peer.read(buffer), null);
    else await assertRejects(() => peer.read(buffer), Deno.errors.ConnectionReset);
    peer.close();
  },
);

onBoth("a peer's reset ends the read that waits for it", async (sockets) => {
  const accepted = Promise.withResolvers<Socket>();
  const server = createServer(accepted.resolve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const conn = await sockets.dialer(to((server.address() as AddressInfo).port))();
  const peer = await accepted.promise;
  const failed = assertRejects(() => conn.read(new Uint8Array(10)));
  peer.resetAndDestroy();
  await failed;
  conn.close();
  await new Promise((resolve) => server.close(resolve));
});
