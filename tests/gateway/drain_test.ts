/** Which exchanges a drain ends, which it spares, and when it is cancelled. */
import { assert, assertEquals } from "@std/assert";
import { ManualClock } from "../../src/base/clock.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import {
  type GatewayFixture,
  rawUpstream,
  readUntil,
  type RunningServer,
  sendText,
} from "./gateway_fixture.ts";
import { onBothProtocols } from "./both_sockets.ts";
import { type Exchange, OPENED } from "./story_client.ts";
import { switching } from "./switching.ts";
import { DRAIN } from "../../src/failover/testing/drain_order.ts";

const HARD = { ...DRAIN, upstream: "u0" };

/** Answers with a tunnel, which then echoes what it receives. */
function echoing(): RunningServer {
  return rawUpstream(async (conn) => {
    await sendText(conn, await switching(await readUntil(conn)));
    const buffer = new Uint8Array(1_024);
    for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
      await conn.write(buffer.slice(0, n));
    }
  });
}

/** A client with a tunnel through which bytes have gone both ways. */
async function joined(fixture: GatewayFixture): Promise<Exchange> {
  const tunnel = await (await fixture.client()).tunnel("/");
  assert(OPENED.includes((await tunnel.head()).status));
  await alive(tunnel);
  return tunnel;
}

async function alive(tunnel: Exchange): Promise<void> {
  await tunnel.send("hello");
  assertEquals(await withTestDeadline("the echo", tunnel.readUntil("hello")), "hello");
}

/** One turn of the event loop, in which sockets are served. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

/** A tunnel of a client that was told that it was cut, and not that it ended. */
async function cutAs(how: "ended" | "reset", tunnel: Exchange): Promise<void> {
  const { end } = await withTestDeadline("a tunnel to end", tunnel.rest());
  assertEquals(end === "whole" ? "ended" : end, how);
}

onBothProtocols("a drain that is cancelled in time cuts no session", async ({ start, cut }) => {
  await using primary = echoing();
  await using backup = echoing();
  const clock = new ManualClock();
  await using fixture = await start([primary.port, backup.port], { clock });
  await fixture.open(0);
  const spared = await joined(fixture);
  await fixture.open(1);
  const other = await joined(fixture);
  const soft = { ...HARD, throughEpoch: 2, sparedIfMovedMs: 200, revocable: true };

  await fixture.gateway.drain(soft);
  await fixture.gateway.spare("u0");
  await fixture.gateway.drain({ ...soft, upstream: "u1" });
  // As silent as the spared one, and examined later.
  for (let ms = 0; ms < 1_000; ms += 250) await clock.advance(250);
  await cutAs(cut, other);
  await alive(spared);
  assertEquals(fixture.gateway.counters().cut, 1);
});

onBothProtocols(
  "a drain on hard evidence ends the sessions that soft evidence spared",
  async ({ start, cut }) => {
    await using up = echoing();
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const busy = await joined(fixture);
    await fixture.gateway.drain({ ...HARD, sparedIfMovedMs: 60_000, revocable: true });
    assertEquals(fixture.gateway.counters().cut, 0);
    await alive(busy);
    await fixture.gateway.drain(HARD);
    assertEquals(fixture.gateway.counters().cut, 1);
    await cutAs(cut, busy);
    const cuts = fixture.events.filter((event) => event.type === "sessions.cut");
    assertEquals(cuts.map(({ count, kept }) => [count, kept]), [[0, 1], [1, 0]]);
  },
);

onBothProtocols(
  "a drain on hard evidence is neither cancelled nor delayed",
  async ({ start, cut }) => {
    await using up = echoing();
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const first = await joined(fixture);
    await fixture.gateway.drain({ ...HARD, graceMs: 100 });
    await fixture.gateway.spare("u0");
    await cutAs(cut, first);

    await fixture.open(0);
    const second = await joined(fixture);
    const soft = { ...HARD, throughEpoch: 2, sparedIfMovedMs: 60_000, revocable: true };
    for (let i = 0; i < 100; i++) await fixture.gateway.drain(soft);
    await fixture.gateway.drain({ ...HARD, throughEpoch: 2, graceMs: 60_000, reason: "hard" });
    await fixture.gateway.drain(soft);
    await cutAs(cut, second);
    assertEquals(fixture.gateway.counters().cut, 2);
  },
);

onBothProtocols(
  "a stop whose time is up counts each request that it cuts, and no idle connection",
  async ({ start, protocol }) => {
    let asked = 0;
    const [all, never] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await using up = rawUpstream(async (conn) => {
      await readUntil(conn);
      await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf");
      if (++asked === 3) all.resolve();
      await never.promise;
    });
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const idle = await fixture.client();
    assertEquals((await (await idle.begin("GET", "/__failover/health")).answer()).status, 200);
    const shared = await fixture.client();
    const exchanges: Exchange[] = [];
    for (const client of [shared, await fixture.client(), await fixture.client()]) {
      exchanges.push(await (protocol === "HTTP/2" ? shared : client).begin("GET", "/"));
    }
    await withTestDeadline("the requests", all.promise);
    for (const exchange of exchanges) await exchange.readUntil("half");
    assertEquals(await fixture.listening.stop(0, AbortSignal.abort()), 3);
    for (const exchange of exchanges) {
      const { end } = await withTestDeadline("the end", exchange.rest());
      // The connection ends, and with it all that it carries.
      assertEquals(end === "whole", false);
    }
    never.resolve();
  },
);

onBothProtocols(
  "a request that comes when the stop has begun is cut like others when the time is up",
  async ({ start }) => {
    const [asked, never] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await using up = rawUpstream(async (conn) => {
      await readUntil(conn);
      asked.resolve();
      await never.promise;
    });
    const clock = new ManualClock();
    await using fixture = await start([up.port], { clock });
    await fixture.open(0);
    // Accepted before the stop: the second connection is accepted after the first.
    const silent = await fixture.connect();
    const other = await fixture.client();
    assertEquals((await (await other.begin("GET", "/__failover/health")).answer()).status, 200);
    other.conn.close();
    while (fixture.listening.connections() > 1) await turn();
    const now = new AbortController();
    const stopped = fixture.listening.stop(60_000, now.signal);
    // Long enough for the port to be closed. The request of a new connection is waited for a little longer.
    await clock.advance(600);
    await withTestDeadline("the port to be closed", fixture.listening.finished);
    await turn();
    const client = fixture.clientOn(silent);
    const exchange = await client.begin("GET", "/");
    await withTestDeadline("the request", asked.promise);
    now.abort();
    assertEquals(await withTestDeadline("the end of the stop", stopped), 1);
    assertEquals((await exchange.answer()).end === "whole", false);
    never.resolve();
  },
);
