/** The server: its limit, and its drain. */
import { assertEquals } from "@std/assert";
import { onConns } from "../net/testing/fake_conn.ts";
import type { StreamExchange } from "./exchange.ts";
import { FLAG } from "./frames.ts";
import { http2Fixture } from "./testing/server_fixture.ts";

async function hello(exchange: StreamExchange): Promise<void> {
  exchange.respond(200, "OK").line("X-Own", "1");
  await exchange.send(new TextEncoder().encode(`hello ${exchange.head.path}`));
}

onConns("a connection beyond the limit is served our own paths, and others wait", async (pair) => {
  const { connect } = http2Fixture(hello, pair);
  const answers: ((hasPlace: boolean) => void)[] = [];
  const { client } = await connect(
    undefined,
    () => new Promise((resolve) => void answers.push(resolve)),
  );
  await client.get(1, "/other");
  await client.get(3, "/own");
  assertEquals((await client.response()).lines[0], ":status: 200");
  answers[0]!(false);
  assertEquals((await client.response()).lines[0], ":status: 503");
  await client.get(5, "/other");
  await client.get(7, "/other");
  await client.get(9, "/own");
  assertEquals((await client.response()).lines[0], ":status: 200");
  // All of them wait for one place, and further ones need no other.
  assertEquals(answers.length, 2);
  answers[1]!(true);
  const heads: string[] = [];
  for (let ended = 0; ended < 2;) {
    const { type, payload, flags } = (await client.next())!;
    if (type === "headers") heads.push(client.blocks.lines(payload)![0]!);
    if ((flags & FLAG.endStream) !== 0) ended++;
  }
  assertEquals(heads, [":status: 200", ":status: 200"]);
  await client.get(11, "/other");
  assertEquals((await client.response()).lines[0], ":status: 200");
});

onConns("a client beyond the limit that leaves gives up its wait", async (pair) => {
  const { connect, errors, pass } = http2Fixture(hello, pair);
  const gone = Promise.withResolvers<void>();
  const { client, done } = await connect(
    undefined,
    (onGone) =>
      new Promise((resolve) => {
        onGone(() => {
          resolve(false);
          gone.resolve();
        });
      }),
  );
  await client.get(1, "/other");
  await client.get(3, "/own");
  await client.response();
  client.conn.close();
  await pass(60_000);
  await gone.promise;
  await done;
  assertEquals(errors, []);
});

onConns("a connection whose place is wanted ends with its last request", async (pair) => {
  const { connect } = http2Fixture(hello, pair);
  const { client } = await connect(undefined, undefined, () => true);
  await client.get(1);
  assertEquals((await client.response()).body, "hello /");
  assertEquals((await client.next())?.type, "goAway");
});

onConns("those beyond the limit and the rest give way separately, and each once", async (pair) => {
  const { connect, server, pass } = http2Fixture(hello, pair);
  await connect();
  await connect(undefined, () => new Promise(() => {}));
  await pass(1_500);
  assertEquals([server.giveWay(true), server.giveWay(true)], [true, false]);
  assertEquals([server.giveWay(), server.giveWay()], [true, false]);
});

onConns("the connection that was idle for longest gives way", async (pair) => {
  const { connect, server, pass } = http2Fixture(hello, pair);
  const old = await connect();
  await pass(2_000);
  const young = await connect();
  await young.client.get(1);
  await young.client.response();
  assertEquals(server.giveWay(), true);
  const goAway = (await old.client.next())!;
  assertEquals(goAway.type, "goAway");
  old.client.conn.close();
  await old.done;
  assertEquals([server.connections, server.giveWay()], [1, false]);
});

onConns("a drain lets requests end that are under way, and ends idle connections", async (pair) => {
  const release = Promise.withResolvers<void>();
  const { connect, server, pass } = http2Fixture(async (exchange) => {
    await release.promise;
    await hello(exchange);
  }, pair);
  const busy = await connect();
  await busy.client.get(1);
  const idle = await connect();
  assertEquals(server.connections, 2);
  await pass(250);
  const drained = server.drain(new AbortController().signal);
  await pass(1_000);
  assertEquals((await idle.client.next())!.type, "goAway");
  idle.client.conn.close();
  await idle.done;
  release.resolve();
  const frames = [await busy.client.next(), await busy.client.next(), await busy.client.next()];
  assertEquals(frames.map((one) => one!.type), ["goAway", "goAway", "headers"]);
  busy.client.conn.close();
  assertEquals(await drained, 0);
});

onConns("a drain whose time is up cuts what is left", async (pair) => {
  const { connect, server } = http2Fixture(() => new Promise<void>(() => {}), pair);
  const { client } = await connect();
  const cut = new AbortController();
  const started = client.get(1);
  await started;
  const drained = server.drain(cut.signal);
  cut.abort();
  assertEquals(await drained <= 1, true);
  assertEquals(server.connections, 0);
  // One that comes later is not served.
  const [, late] = pair();
  await server.serve(late, "192.0.2.7", () => false);
  assertEquals(server.connections, 0);
});

onConns("other limits are in force for connections that there are", async (pair) => {
  const { connect, server, pass } = http2Fixture(hello, pair);
  const { client } = await connect();
  server.setLimits({ headBytesMax: 200, idleMs: 1_000 });
  await client.get(1, `/${"x".repeat(300)}`);
  assertEquals((await client.response()).lines[0], ":status: 431");
  const next = client.next();
  await pass(2_000);
  assertEquals((await next)?.type, "goAway");
});
