/** Server and client side joined as in a reverse proxy: forwarding, back-pressure and cut messages. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { UpstreamConn } from "./upstream_conn.ts";
import { type FakeConn, type MakePair, onConns } from "../net/testing/fake_conn.ts";
import { Deadlines } from "../net/deadlines.ts";
import type { Exchange } from "./exchange.ts";
import type { Fields } from "./fields.ts";
import type { HeadWriter } from "./head_writer.ts";
import { Pool } from "./pool.ts";
import { Server } from "./server.ts";

const DROPPED = [
  "connection",
  "keep-alive",
  "content-length",
  "transfer-encoding",
  "upgrade",
  "te",
];

function copyAll(fields: Fields, out: HeadWriter): void {
  for (let i = 0; i < fields.count; i++) {
    if (!DROPPED.some((name) => fields.is(i, name))) out.copy(fields, i);
  }
}

/** The smallest correct proxy: no retry, no added headers. */
async function forward(exchange: Exchange, upstream: UpstreamConn): Promise<void> {
  const { head, body } = exchange;
  exchange.whenGone = (fault) => upstream.abort(fault);
  copyAll(head.fields, upstream.request(head.method, head.path));
  const reply = await upstream.exchange(body.none ? null : body, {
    responseMs: 10_000,
    waitForContinue: exchange.awaitsContinue,
    onInformational: (interim) =>
      exchange.write1xx(interim.status, interim.reason, (out) => copyAll(interim.fields, out)),
  });
  copyAll(reply.head.fields, exchange.respond(reply.head.status, reply.head.reason));
  try {
    await exchange.send(reply.body);
  } finally {
    upstream.release();
  }
}

function fixture(pair: MakePair) {
  const clock = new ManualClock();
  const deadlines = new Deadlines(clock);
  const upstreams: FakeConn[] = [];
  const pool = new Pool({
    deadlines,
    dial: () => {
      const [far, near] = pair(4096);
      upstreams.push(far);
      return Promise.resolve(near);
    },
  });
  const server = new Server({
    deadlines,
    handler: async (exchange) => forward(exchange, pool.take() ?? await pool.connect()),
  });
  const [client, end] = pair(4096);
  const done = server.serve(end, "peer");
  return { clock, pool, upstreams, client, end, done };
}

const GET =
  "GET /a%2Fb//../c?x HTTP/1.1\r\nHost: a\r\nx-B: 1\r\nConnection: keep-alive\r\nX-b: 2\r\n\r\n";

/** The upstream's end of the first connection, once there is one. */
async function firstOf(upstreams: FakeConn[]): Promise<FakeConn> {
  while (upstreams.length === 0) await Promise.resolve();
  return upstreams[0]!;
}

onConns(
  "a proxied exchange keeps target, names and order, and both connections are used again",
  async (pair) => {
    const { client, upstreams, pool, done } = fixture(pair);
    for (let round = 0; round < 3; round++) {
      await client.sendText(GET);
      const upstream = await firstOf(upstreams);
      assertEquals(
        await upstream.readUntil("\r\n\r\n"),
        "GET /a%2Fb//../c?x HTTP/1.1\r\nHost: a\r\nx-B: 1\r\nX-b: 2\r\n\r\n",
      );
      await upstream.sendText(
        "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nContent-Length: 2\r\nset-cookie: b\r\n",
      );
      await upstream.sendText("\r\nok");
      assertEquals(
        await client.readUntil("\r\n\r\nok"),
        "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length: 2\r\n\r\nok",
      );
    }
    client.close();
    await done;
    assertEquals([upstreams.length, pool.idle], [1, 1]);
    pool.close();
  },
);

onConns(
  "an upstream body that ends with its connection is chunked for the client, trailers pass",
  async (pair) => {
    const { client, upstreams, done } = fixture(pair);
    await client.sendText(GET);
    const upstream = await firstOf(upstreams);
    await upstream.sendText("HTTP/1.0 200 OK\r\n\r\nsome");
    await client.readUntil("Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n");
    await upstream.closeWrite();
    assertEquals(await client.readUntil("0\r\n\r\n"), "0\r\n\r\n");

    await client.sendText(GET);
    while (upstreams.length < 2) await Promise.resolve();
    await upstreams[1]!.sendText(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\nz\r\n0\r\n",
    );
    await upstreams[1]!.sendText("X-Sum: 1\r\n\r\n");
    assertStringIncludes(
      await client.readUntil("X-Sum: 1\r\n\r\n"),
      "\r\n\r\n1\r\nz\r\n0\r\nX-Sum",
    );
    client.close();
    upstreams[1]!.close();
    await done;
  },
);

onConns("a response that the upstream cuts is cut for the client", async (pair) => {
  for (const framing of ["Content-Length: 9", "Transfer-Encoding: chunked"]) {
    const { client, end, upstreams, done } = fixture(pair);
    await client.sendText(GET);
    const upstream = await firstOf(upstreams);
    await upstream.sendText(`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n`);
    await client.readUntil("\r\n\r\n");
    await upstream.sendText("4\r\nsome");
    await upstream.closeWrite();
    await done;
    assertEquals(end.end, "reset");
    assertMatch(await client.readAllText(), /\(reset\)$/);
  }
});

onConns("a client that reads slowly slows its upstream down, and loses nothing", async (pair) => {
  const { client, upstreams, pool, done, clock } = fixture(pair);
  await client.sendText(GET);
  const upstream = await firstOf(upstreams);
  const total = 200_000;
  let said = 0;
  const saying = (async () => {
    await upstream.sendText(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
    for (; said < total; said += 1000) await upstream.sendText("x".repeat(1000));
  })();
  await clock.advance(1_000);
  assert(said < 100_000, `${said} bytes were read from the upstream`);
  await client.readUntil("\r\n\r\n");
  let heard = 0;
  const buffer = new Uint8Array(5000);
  while (heard < total) heard += (await client.read(buffer))!;
  await saying;
  assertEquals(heard, total);
  client.close();
  pool.close();
  await done;
});

onConns(
  "Expect is relayed: the client gets 100 Continue when the upstream sends it",
  async (pair) => {
    const { client, upstreams, done } = fixture(pair);
    await client.sendText(
      "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
    );
    const upstream = await firstOf(upstreams);
    await upstream.readUntil("Expect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    await upstream.sendText("HTTP/1.1 100 Continue\r\n\r\n");
    assertEquals(await client.readUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    await client.sendText("body");
    await upstream.readUntil("body");
    await upstream.sendText("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    await client.readUntil("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    client.close();
    upstream.close();
    await done;
  },
);

onConns("a client that leaves ends its upstream request", async (pair) => {
  const { client, upstreams, pool, done } = fixture(pair);
  await client.sendText(GET);
  const upstream = await firstOf(upstreams);
  await upstream.readUntil("\r\n\r\n");
  client.reset();
  await done;
  assertEquals(await upstream.readAllText(), "(reset)");
  assertEquals(pool.idle, 0);
});
