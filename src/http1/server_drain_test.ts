/** The drain of a server: every client that was connected and sent its request in time gets a response. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Fault } from "../base/fault.ts";
import { GET, say, serverTest } from "./testing/server_fixture.ts";

serverTest(
  "a drain closes idle connections, and lets a running exchange finish with Connection: close",
  async (fixture) => {
    const started = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<void>();
    const { connect, server, clock } = fixture(async (exchange) => {
      if (exchange.head.path === "/slow") {
        started.resolve();
        await answer.promise;
      }
      exchange.respond(200, "OK");
      await exchange.send(null);
    });
    const idle = connect();
    await idle.client.sendText(GET);
    await idle.client.readUntil("\r\n\r\n");
    const busy = connect();
    await busy.client.sendText("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    await started.promise;

    const drained = server.drain(new AbortController().signal);
    await clock.advance(1_000);
    assertEquals(await idle.client.readAllText(), "");
    answer.resolve();
    assertStringIncludes(await busy.client.readAllText(), "Connection: close\r\n");
    assertEquals(await drained, 0);
  },
);

serverTest(
  "a drain at its deadline cuts the connections that are left, and counts them",
  async (fixture) => {
    const started = Promise.withResolvers<void>();
    const { connect, server } = fixture(async (exchange) => {
      const gone = new Promise<Fault>((resolve) => exchange.whenGone = resolve);
      started.resolve();
      throw await gone;
    });
    const { client, done } = connect();
    await client.sendText(GET);
    await started.promise;
    const now = new AbortController();
    const drained = server.drain(now.signal);
    now.abort();
    assertEquals(await drained, 1);
    assertEquals(await client.readAllText(), "(reset)");
    await done;
  },
);

serverTest(
  "a request that was under way when a drain began is answered with Connection: close",
  async (fixture) => {
    const { connect, server, clock } = fixture(say);
    const kept = connect();
    await kept.client.sendText(GET);
    await kept.client.readUntil("\r\n\r\n/");
    const fresh = connect();
    const drained = server.drain(new AbortController().signal);
    // Connected before the port was closed, and accepted after the drain had begun.
    const queued = connect();
    await clock.advance(250);
    for (const { client, done } of [kept, fresh, queued]) {
      await client.sendText(GET);
      assertMatch(
        await client.readAllText(),
        /^HTTP\/1.1 200 OK\r\n[^]*Connection: close\r\n\r\n\/$/,
      );
      client.close();
      await done;
    }
    assertEquals(await drained, 0);
  },
);

serverTest(
  "a connection without a request yet is waited for a little longer than a kept one",
  async (fixture) => {
    const { connect, server, clock } = fixture(say);
    const kept = connect();
    await kept.client.sendText(GET);
    await kept.client.readUntil("\r\n\r\n/");
    const fresh = connect();
    const drained = server.drain(new AbortController().signal);
    await clock.advance(750);
    assertEquals([kept.server.end, fresh.server.end], ["closed", "open"]);
    await clock.advance(750);
    assertEquals(fresh.server.end, "closed");
    assertEquals(await drained, 0);
  },
);

serverTest(
  "a request that had come when the wait for it ended, but was not reported yet, is answered",
  async (fixture) => {
    const { connect, server, clock } = fixture(say);
    const { client, server: end, done } = connect();
    await client.sendText(GET);
    await client.readUntil("\r\n\r\n/");
    const drained = server.drain(new AbortController().signal);
    await clock.advance(500);
    // Sockets that can be asked have been.
    if ("look" in end) return assertEquals(end.end, "closed");
    await client.sendText(GET);
    assertMatch(await client.readAllText(), /Connection: close\r\n\r\n\/$/);
    client.close();
    await done;
    assertEquals(await drained, 0);
  },
);

serverTest(
  "pipelined requests that have arrived when a drain begins are all served",
  async (fixture) => {
    const started = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<void>();
    const { connect, server } = fixture(async (exchange) => {
      started.resolve();
      await answer.promise;
      exchange.respond(200, "OK");
      await exchange.send(new TextEncoder().encode(exchange.head.path));
    });
    const { client, done } = connect();
    await client.sendText(
      ["/a", "/b", "/c"].map((p) => `GET ${p} HTTP/1.1\r\nHost: a\r\n\r\n`).join(""),
    );
    await started.promise;
    const drained = server.drain(new AbortController().signal);
    answer.resolve();
    const heard = await client.readAllText();
    assertEquals(heard.match(/\r\n\r\n\/./g), ["\r\n\r\n/a", "\r\n\r\n/b", "\r\n\r\n/c"]);
    assertEquals(heard.match(/Connection: close/g)?.length, 1);
    client.close();
    await done;
    assertEquals(await drained, 0);
  },
);
