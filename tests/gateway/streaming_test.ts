/** Messages that are forwarded while they arrive: interim responses, trailers, streams, large bodies and upgrades. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { connect } from "node:net";
import { ManualClock } from "../../src/base/clock.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { nodeUpstream, rawUpstream, readAllText, readUntil, sendText } from "./gateway_fixture.ts";
import { onBothProtocols } from "./both_sockets.ts";
import { OPENED } from "./story_client.ts";
import { switching } from "./switching.ts";

onBothProtocols("early hints and trailers are forwarded in both directions", async ({ start }) => {
  let trailers: unknown;
  await using up = await nodeUpstream((request, response) => {
    request.resume().on("end", () => {
      trailers = request.trailers;
      response.writeEarlyHints({ link: "</a.css>; rel=preload" });
      response.writeHead(200, { trailer: "X-Sum" });
      response.write("body");
      response.addTrailers({ "X-Sum": "42" });
      response.end();
    });
  });
  await using fixture = await start([up.port]);
  await fixture.open(0);
  const client = await fixture.client();
  const lines = ["TE: trailers", "Connection: TE"];
  const post = await client.begin("POST", "/", lines, { hasBody: true });
  await post.send("abc");
  await post.end(["X-Check: 7"]);
  const hints = await post.head();
  assertEquals([hints.status, hints.get("link")], [103, "</a.css>; rel=preload"]);
  const answer = await post.answer();
  assertEquals([answer.status, answer.body, answer.end], [200, "body", "whole"]);
  assertEquals(answer.trailers.map((line) => line.toLowerCase()), ["x-sum: 42"]);
  assertEquals({ ...(trailers as object) }, { "x-check": "7" });
});

onBothProtocols(
  "a client with 100-continue sends its body after the upstream has agreed",
  async ({ start }) => {
    await using up = rawUpstream(async (conn) => {
      assertMatch(await readUntil(conn), /Expect: 100-continue/i);
      await sendText(conn, "HTTP/1.1 100 Continue\r\n\r\n");
      assertEquals(await readUntil(conn, "hello"), "hello");
      await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const client = await fixture.client();
    const lines = ["Expect: 100-continue", "Content-Length: 5"];
    const post = await client.begin("POST", "/", lines, { hasBody: true });
    assertEquals((await withTestDeadline("100", post.head())).status, 100);
    await post.send("hello");
    await post.end();
    assertEquals((await post.answer()).status, 200);
  },
);

onBothProtocols("an event stream arrives event by event", async ({ start }) => {
  const turn = Promise.withResolvers<void>();
  await using up = await nodeUpstream(async (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
    await turn.promise;
    response.end("data: 2\n\n");
  });
  await using fixture = await start([up.port]);
  await fixture.open(0);
  const asked = await (await fixture.client()).begin("GET", "/");
  assertEquals((await asked.head()).status, 200);
  await withTestDeadline("the first event", asked.readUntil("data: 1\n\n"));
  turn.resolve();
  assertEquals((await asked.rest()).body, "data: 2\n\n");
});

onBothProtocols(
  "a slow reader slows the upstream down, and gets every byte",
  async ({ start }) => {
    const total = 64 * 1024 * 1024;
    let sent = 0;
    await using up = rawUpstream(async (conn) => {
      await readUntil(conn);
      await sendText(conn, `HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
      const block = new Uint8Array(65536).fill(65);
      while (sent < total) {
        sent += await conn.write(block.subarray(0, Math.min(65536, total - sent)));
      }
      await readAllText(conn);
    });
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const asked = await (await fixture.client()).begin("GET", "/");
    assertEquals((await asked.head()).status, 200);
    // Only kernel buffers, or a window, are between the upstream and a client that does not read.
    for (let before = -1; before !== sent;) {
      before = sent;
      for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    }
    assert(sent < total / 2, `the upstream could send ${sent} of ${total}`);
    let got = 0;
    for (let part = await asked.read(); part !== undefined; part = await asked.read()) {
      got += part.length;
    }
    assertEquals([got, (await asked.rest()).end], [total, "whole"]);
  },
);

onBothProtocols(
  "a body that is too large is answered 413, whether it was declared or only grew",
  async ({ start }) => {
    let bytes = 0;
    await using up = await nodeUpstream((request, response) => {
      request.on("data", (data) => bytes += data.length).on("error", () => {});
      request.on("end", () => response.end("took it"));
    });
    await using fixture = await start([up.port], { bodyMax: 1000 });
    await fixture.open(0);
    const declared = await fixture.ask("POST", "/", [], "x".repeat(1001));
    assertEquals([declared.status, bytes], [413, 0]);
    const grown = await (await fixture.client()).begin("POST", "/", [], { hasBody: true });
    for (let i = 0; i < 3; i++) await grown.send("y".repeat(500));
    await grown.end();
    assertEquals((await grown.answer()).status, 413);
    assertEquals(
      (await fixture.ask("POST", "/", [], "z".repeat(1000))).body.includes("took it"),
      true,
    );
    assertEquals(fixture.doubts, []);
  },
);

onBothProtocols(
  "a client that leaves ends its request at the upstream",
  async ({ start, protocol }) => {
    const left = Promise.withResolvers<void>();
    const there = Promise.withResolvers<void>();
    await using up = await nodeUpstream((request) => {
      request.socket.on("close", () => left.resolve());
      there.resolve();
    });
    await using fixture = await start([up.port]);
    await fixture.open(0);
    if (protocol === "HTTP/2") {
      const asked = await (await fixture.client()).begin("GET", "/");
      await there.promise;
      await asked.leave();
    } else {
      const client = connect(fixture.port, "127.0.0.1");
      client.write("GET / HTTP/1.1\r\nHost: front.test\r\n\r\n");
      await there.promise;
      client.resetAndDestroy();
    }
    await withTestDeadline("the upstream's connection to close", left.promise);
    assertEquals(fixture.doubts, []);
  },
);

onBothProtocols(
  "an upgraded connection carries any bytes both ways until one side ends",
  async ({ start }) => {
    await using up = rawUpstream(async (conn) => {
      const head = await readUntil(conn);
      assertMatch(head, /\r\nUpgrade: websocket\r\n/);
      assertMatch(head, /\r\nConnection: upgrade\r\n/i);
      await sendText(conn, `${await switching(head, ["Sec-WebSocket-Protocol: abc"])}early`);
      assertEquals(await readUntil(conn, "\x81\x85ping!"), "\x81\x85ping!");
      await sendText(conn, "\x8a\x00pong");
      assertEquals(await readAllText(conn), "");
      await sendText(conn, "bye");
    });
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const tunnel = await (await fixture.client()).tunnel("/ws");
    const { status, get } = await tunnel.head();
    assertEquals([OPENED.includes(status), get("sec-websocket-protocol")], [true, "abc"]);
    await tunnel.readUntil("early");
    await tunnel.send("\x81\x85ping!");
    assertStringIncludes(await tunnel.readUntil("pong"), "\x8a\x00pong");
    await tunnel.end();
    const { body, end } = await withTestDeadline("the end", tunnel.rest());
    assertEquals([body, end], ["bye", "whole"]);
  },
);

onBothProtocols(
  "an upgraded connection that is half-closed has all the time it needs",
  async ({ start }) => {
    const [ended, later] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await using up = rawUpstream(async (conn) => {
      await sendText(conn, await switching(await readUntil(conn)));
      assertEquals(await readAllText(conn), "");
      ended.resolve();
      await later.promise;
      await sendText(conn, "at last");
    });
    const clock = new ManualClock();
    await using fixture = await start([up.port], { clock });
    await fixture.open(0);
    const tunnel = await (await fixture.client()).tunnel("/");
    await tunnel.head();
    await tunnel.end();
    await withTestDeadline("the end at the upstream", ended.promise);
    await clock.advance(60_000);
    later.resolve();
    const { body, end } = await withTestDeadline("the rest", tunnel.rest());
    assertEquals([body, end], ["at last", "whole"]);
  },
);

onBothProtocols(
  "an upgrade that the upstream declines is an ordinary response",
  async ({ start }) => {
    await using up = await nodeUpstream((_, response) => response.writeHead(403).end("no"));
    up.server.on(
      "upgrade",
      (_, socket) => socket.end("HTTP/1.1 426 No\r\nContent-Length: 2\r\n\r\nno"),
    );
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const asked = await (await fixture.client()).tunnel("/");
    const { status, body, end } = await withTestDeadline("an answer", asked.answer());
    assertEquals([status, body, end], [426, "no", "whole"]);
  },
);
