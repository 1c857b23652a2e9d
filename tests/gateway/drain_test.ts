/** Which exchanges a drain ends, which it spares, and when it is cancelled. */
import { assertEquals } from "@std/assert";
import { withTestDeadline } from "../harness/test_deadline.ts";
import {
  type GatewayFixture,
  rawUpstream,
  readAllText,
  readToEnd,
  readUntil,
  type RunningServer,
  sendText,
} from "./gateway_fixture.ts";
import { onBothSockets } from "./both_sockets.ts";
import { DRAIN } from "../../src/failover/testing/drain_order.ts";

const HARD = { ...DRAIN, upstream: "u0" };

/** Answers `Upgrade` with a tunnel, which then echoes what it receives. */
function echoing(): RunningServer {
  return rawUpstream(async (conn) => {
    await readUntil(conn);
    await sendText(
      conn,
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    );
    const buffer = new Uint8Array(1_024);
    for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
      await conn.write(buffer.slice(0, n));
    }
  });
}

/** A client with a tunnel through which bytes have gone both ways. */
async function joined(fixture: GatewayFixture): Promise<Deno.Conn> {
  const conn = await fixture.connect();
  await sendText(conn, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
  await readUntil(conn);
  await alive(conn);
  return conn;
}

async function alive(conn: Deno.Conn): Promise<void> {
  await sendText(conn, "hello");
  assertEquals(await withTestDeadline("the echo", readUntil(conn, "hello")), "hello");
}

onBothSockets("a drain that is cancelled in time cuts no session", async ({ start }) => {
  await using primary = echoing();
  await using backup = echoing();
  await using fixture = await start([primary.port, backup.port]);
  await fixture.open(0);
  const spared = await joined(fixture);
  await fixture.open(1);
  const other = await joined(fixture);
  const soft = { ...HARD, throughEpoch: 2, sparedIfMovedMs: 200, revocable: true };

  await fixture.gateway.drain(soft);
  await fixture.gateway.spare("u0");
  await fixture.gateway.drain({ ...soft, upstream: "u1" });
  // As silent as the spared one, and examined later.
  await withTestDeadline("the other tunnel to end", readToEnd(other));
  await alive(spared);
  assertEquals(fixture.gateway.counters().cut, 1);
});

onBothSockets(
  "a drain on hard evidence ends the sessions that soft evidence spared",
  async ({ start }) => {
    await using up = echoing();
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const busy = await joined(fixture);
    await fixture.gateway.drain({ ...HARD, sparedIfMovedMs: 60_000, revocable: true });
    assertEquals(fixture.gateway.counters().cut, 0);
    await alive(busy);
    await fixture.gateway.drain(HARD);
    assertEquals(fixture.gateway.counters().cut, 1);
    await withTestDeadline("the tunnel to end", readToEnd(busy));
    const cuts = fixture.events.filter((event) => event.type === "sessions.cut");
    assertEquals(cuts.map(({ count, kept }) => [count, kept]), [[0, 1], [1, 0]]);
  },
);

onBothSockets("a drain on hard evidence is neither cancelled nor delayed", async ({ start }) => {
  await using up = echoing();
  await using fixture = await start([up.port]);
  await fixture.open(0);
  const first = await joined(fixture);
  await fixture.gateway.drain({ ...HARD, graceMs: 100 });
  await fixture.gateway.spare("u0");
  await withTestDeadline("the first tunnel to end", readToEnd(first));

  await fixture.open(0);
  const second = await joined(fixture);
  const soft = { ...HARD, throughEpoch: 2, sparedIfMovedMs: 60_000, revocable: true };
  for (let i = 0; i < 100; i++) await fixture.gateway.drain(soft);
  await fixture.gateway.drain({ ...HARD, throughEpoch: 2, graceMs: 60_000, reason: "hard" });
  await fixture.gateway.drain(soft);
  await withTestDeadline("the second tunnel to end", readAllText(second).catch(() => ""));
  assertEquals(fixture.gateway.counters().cut, 2);
});
