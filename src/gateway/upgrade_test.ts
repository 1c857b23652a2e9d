/** A client that is joined to an upstream that has switched protocols. */
import { assertEquals } from "@std/assert";
import { get, poolFixture, WAIT } from "../http1/testing/pool_fixture.ts";
import { onConns } from "../net/testing/fake_conn.ts";
import type { MakePair } from "../net/testing/fake_conn.ts";
import { joinUpgraded } from "./upgrade.ts";

/** A tunnel whose upstream has sent `early` right behind its 101. */
async function joined(pair: MakePair, early = "") {
  const { pool, upstreams } = poolFixture(pair);
  const connection = await pool.connect();
  const upstream = upstreams[0]!;
  const reply = get(connection, "GET", { ...WAIT, upgrade: true });
  await upstream.readUntil("\r\n\r\n");
  await upstream.sendText(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n${early}`);
  assertEquals((await reply).head.status, 101);
  const [client, end] = pair();
  return { pool, upstream, client, end, tunnel: joinUpgraded(end, connection) };
}

onConns(
  "bytes pass both ways and are counted, those first that came with the 101",
  async (pair) => {
    const { pool, upstream, client, tunnel } = await joined(pair, "early ");
    await client.sendText("ping");
    assertEquals(await upstream.readUntil("ping"), "ping");
    await upstream.sendText("pong");
    assertEquals(await client.readUntil("pong"), "early pong");
    await Promise.all([client.closeWrite(), upstream.closeWrite()]);
    await tunnel.finished;
    assertEquals(tunnel.count, { fromClient: 4, fromUpstream: 10 });
    assertEquals([await upstream.readAllText(), pool.idle], ["", 0]);
  },
);

onConns("one direction may end while the other goes on", async (pair) => {
  const { upstream, client, tunnel } = await joined(pair);
  await client.closeWrite();
  assertEquals(await upstream.readAllText(), "");
  await upstream.sendText("later");
  await upstream.closeWrite();
  assertEquals(await client.readAllText(), "later");
  await tunnel.finished;
});

onConns("a cut resets both sides", async (pair) => {
  const { upstream, client, tunnel } = await joined(pair);
  tunnel.cut();
  await tunnel.finished;
  assertEquals(await Promise.all([client.readAllText(), upstream.readAllText()]), [
    ...["(reset)", "(reset)"],
  ]);
});
