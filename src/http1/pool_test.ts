/** Which connections a pool keeps, for how long, and for what. */
import { assertEquals } from "@std/assert";
import { onConns } from "../net/testing/fake_conn.ts";
import { get, idleConnection, poolFixture } from "./testing/pool_fixture.ts";

onConns(
  "an idle connection leaves the pool at its idle time-out, and when its upstream ends it or sends bytes",
  async (pair) => {
    const { pool, clock, upstreams } = poolFixture(pair, { idleMs: 10_000 });
    const rest = async () => {
      const connection = await pool.connect();
      const upstream = upstreams.at(-1)!;
      const reply = get(connection);
      await upstream.readUntil("\r\n\r\n");
      await upstream.sendText("HTTP/1.1 204 No\r\n\r\n");
      await reply;
      connection.release();
      assertEquals(pool.idle, 1);
      return upstream;
    };
    await rest();
    await clock.advance(11_000);
    assertEquals(pool.idle, 0);
    await (await rest()).closeWrite();
    await clock.advance(0);
    assertEquals(pool.idle, 0);
    await (await rest()).sendText("HTTP/1.1 408 Bye\r\n\r\n");
    await clock.advance(0);
    assertEquals(pool.idle, 0);
    assertEquals(pool.take(), undefined);
    assertEquals(clock.pending, 0);
  },
);

onConns(
  "a pool keeps no more idle connections than its maximum, and none once it is closed",
  async (pair) => {
    const { pool, upstreams } = poolFixture(pair, { idleMax: 1 });
    const both = [await pool.connect(), await pool.connect(), await pool.connect()];
    for (const [i, connection] of both.entries()) {
      const reply = get(connection);
      await upstreams[i]!.sendText("HTTP/1.1 204 No\r\n\r\n");
      await reply;
      if (i === 2) pool.close();
      connection.release();
      assertEquals(pool.idle, i === 2 ? 0 : 1);
    }
  },
);

onConns("a 204 or 304 that declares a body is the last on its connection", async (pair) => {
  const kept = [
    "204 No\r\n\r\n",
    "204 No\r\nContent-Length: 0\r\n\r\n",
    "304 Same\r\n\r\n",
    "200 OK\r\nContent-Length: 2\r\n\r\nok",
  ];
  const closed = [
    "204 No\r\nContent-Length: 3\r\n\r\n",
    "204 No\r\nTransfer-Encoding: chunked\r\n\r\n",
    "304 Same\r\nContent-Length: 3\r\n\r\n",
    "304 Same\r\nTransfer-Encoding: chunked\r\n\r\n",
  ];
  for (const [answers, idle] of [[kept, 1], [closed, 0]] as const) {
    for (const answer of answers) {
      const world = poolFixture(pair);
      await idleConnection(world, `HTTP/1.1 ${answer}`);
      assertEquals(world.pool.idle, idle, answer);
      world.pool.close();
    }
  }
});

onConns("a connection is closed before the time that its upstream announced", async (pair) => {
  for (
    const [line, keptMs] of [["", 29_000], ["Keep-Alive: timeout=5, max=100\r\n", 3_500]] as const
  ) {
    const world = poolFixture(pair, { idleMs: 30_000 });
    await idleConnection(world, `HTTP/1.1 204 No\r\n${line}\r\n`);
    await world.clock.advance(keptMs);
    assertEquals(world.pool.idle, 1, line);
    await world.clock.advance(1_500);
    assertEquals(world.pool.idle, 0, line);
  }
});

onConns(
  "a request that must not be sent twice uses a connection only if it was idle for a short time",
  async (pair) => {
    const world = poolFixture(pair);
    await idleConnection(world, "HTTP/1.1 204 No\r\n\r\n");
    await world.clock.advance(400);
    const young = world.pool.take(false)!;
    const reply = get(young, "POST");
    await world.upstreams[0]!.readUntil("\r\n\r\n");
    await world.upstreams[0]!.sendText("HTTP/1.1 204 No\r\n\r\n");
    await reply;
    young.release();
    await world.clock.advance(600);
    assertEquals([world.pool.take(false), world.pool.idle], [undefined, 1]);
    assertEquals(world.pool.take(), young);
    young.close();
  },
);

onConns(
  "the pool learns after what idle time an upstream ends connections, and forgets it later",
  async (pair) => {
    const world = poolFixture(pair, { idleMs: 30_000 });
    const upstream = await idleConnection(world, "HTTP/1.1 204 No\r\n\r\n");
    await world.clock.advance(400);
    await upstream.closeWrite();
    await world.clock.advance(0);
    assertEquals(world.pool.idle, 0);
    await idleConnection(world, "HTTP/1.1 204 No\r\n\r\n");
    await world.clock.advance(250);
    assertEquals([world.pool.take(false), world.pool.idle], [undefined, 1]);
    // Closed after three quarters of the learned time, and a tick or two.
    await world.clock.advance(700);
    assertEquals(world.pool.idle, 0);
    // A busy connection keeps the timer of the deadlines running meanwhile.
    const busy = await world.pool.connect();
    await world.clock.advance(61_000);
    await idleConnection(world, "HTTP/1.1 204 No\r\n\r\n");
    await world.clock.advance(2_000);
    assertEquals(world.pool.idle, 1);
    busy.close();
    world.pool.close();
  },
);

onConns(
  "for requests that must not be sent twice the pool also learns of ends after a very short idle time",
  async (pair) => {
    const world = poolFixture(pair, { idleMs: 30_000 });
    const upstream = await idleConnection(world, "HTTP/1.1 204 No\r\n\r\n");
    await upstream.closeWrite();
    await world.clock.advance(0);
    assertEquals(world.pool.idle, 0);
    await idleConnection(world, "HTTP/1.1 204 No\r\n\r\n");
    await world.clock.advance(10);
    assertEquals([world.pool.take(false), world.pool.idle], [undefined, 1]);
    // Other requests use connections as before: it may have been a restart.
    await world.clock.advance(20_000);
    assertEquals(world.pool.idle, 1);
    world.pool.close();
  },
);
