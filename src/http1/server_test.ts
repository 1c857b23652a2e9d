/** The server with a client that sends each byte when the test says so. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Fault } from "../base/fault.ts";
import { GET, readAll, say, serverTest, text } from "./testing/server_fixture.ts";

serverTest(
  "pipelined requests are answered in order, also when they arrive in pieces",
  async (fixture) => {
    const { connect, clock } = fixture(say);
    const { client, done } = connect();
    const all = ["/a", "/b", "/c"].map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`).join(
      "",
    );
    for (let at = 0; at < all.length; at += 7) await client.sendText(all.slice(at, at + 7));
    const answer = (path: string) => `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${path}`;
    assertEquals(await client.readUntil("/c"), answer("/a") + answer("/b") + answer("/c"));
    client.close();
    await done;
    assertEquals(clock.pending, 0);
  },
);

serverTest(
  "a malformed request is refused once, and nothing after it is served",
  async (fixture) => {
    const { connect, faults } = fixture(say);
    const { client, done } = connect();
    await client.sendText(`${GET}GET / HTTP/1.1\nHost: a\r\n\r\n${GET}`);
    await client.closeWrite();
    const answers = await client.readAllText();
    assertEquals(answers.split("HTTP/1.1").length, 3);
    assertMatch(answers, /HTTP\/1.1 400 Bad Request\r\nDate: [^\r]+ GMT\r\nConnection: close\r\n/);
    await done;
    assertEquals(faults, ["badRequest"]);
  },
);

serverTest(
  "a request smuggled in a chunked body is refused before it is parsed",
  async (fixture) => {
    const paths: string[] = [];
    const { connect } = fixture((exchange) => {
      paths.push(exchange.head.path);
      return readAll(exchange);
    });
    const { client, done } = connect();
    await client.sendText(
      `POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0 \r\n\r\n${GET}`,
    );
    await client.closeWrite();
    assertMatch(await client.readAllText(), /^HTTP\/1.1 400 .*\r\nConnection: close\r\n/s);
    await done;
    assertEquals(paths, ["/a"]);
  },
);

serverTest(
  "a client that sends its head slowly gets 408 at its deadline, not before",
  async (fixture) => {
    const { connect, clock, faults } = fixture(say);
    const slow = connect();
    const other = connect();
    for (let second = 0; second < 9; second++) {
      await slow.client.sendText(`X`);
      await clock.advance(1_000);
      assertEquals(slow.server.end, "open");
    }
    await other.client.sendText(GET);
    await other.client.readUntil("/");
    await clock.advance(1_500);
    assertMatch(await slow.client.readAllText(), /^HTTP\/1.1 408 Request Timeout\r\n/);
    await slow.done;
    assertEquals(faults, ["requestTimeout"]);
    assertEquals(other.server.end, "open");
    other.client.close();
    await other.done;
  },
);

serverTest(
  "an idle connection is closed without a response after the idle time-out",
  async (fixture) => {
    const { connect, clock, faults } = fixture(say, { idleMs: 5_000 });
    const { client, server, done } = connect();
    await client.sendText(GET);
    await client.readUntil("\r\n\r\n/");
    await clock.advance(4_900);
    assertEquals(server.end, "open");
    await clock.advance(700);
    assertEquals(await client.readAllText(), "");
    await done;
    assertEquals(faults, []);
  },
);

serverTest("a body that stops arriving is ended at its deadline, with 408", async (fixture) => {
  const { connect, clock } = fixture(readAll, { bodyRateMin: 0 });
  const { client, done } = connect();
  await client.sendText("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
  await clock.advance(29_000);
  await client.sendText("6");
  await clock.advance(29_000);
  await client.sendText("7");
  await clock.advance(31_000);
  assertMatch(await client.readAllText(), /^HTTP\/1.1 408 /);
  await done;
});

serverTest("a body that arrives too slowly is ended although it never stops", async (fixture) => {
  const { connect, clock, server } = fixture(readAll, { bodyRateMin: 100 });
  const { client, done } = connect();
  await client.sendText("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
  for (let second = 0; second < 40 && server.connections > 0; second++) {
    await client.sendText("x").catch(() => {});
    await clock.advance(1_000);
  }
  await done;
  assertEquals(server.connections, 0);
});

serverTest(
  "a client that reads nothing stops the source and is cut after the write time",
  async (fixture) => {
    let given = 0;
    const { connect, clock, faults } = fixture(async (exchange) => {
      exchange.respond(200, "OK");
      const part = new Uint8Array(1024);
      await exchange.send({
        length: undefined,
        read: () => (given += 1024, Promise.resolve(part)),
      });
    });
    const { client, server, done } = connect(4096);
    await client.sendText(GET);
    await clock.advance(29_000);
    const bytes = given;
    assert(bytes > 0 && bytes < 10_000, `${bytes} bytes were read from the source`);
    await clock.advance(2_000);
    await done;
    assertEquals(given, bytes);
    assertEquals(server.end, "reset");
    assertEquals(faults, ["slowReader"]);
  },
);

/** Requests, and how long their clients wait for the response after they closed their sending side. */
const HALF_CLOSERS: readonly (readonly [request: string, waitMs: number, goneMs: number])[] = [
  [GET, 240, 750],
  [GET.replace("GET", "HEAD"), 240, 750],
  [GET.replace("GET", "DELETE"), 900, 1_750],
  ["GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 900, 1_750],
  ["POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 900, 1_750],
];

serverTest("a client that closes its sending side still gets its answer", async (fixture) => {
  for (const [request, waitMs] of HALF_CLOSERS) {
    const answer = Promise.withResolvers<void>();
    const { connect, clock } = fixture(async (exchange) => {
      while (await exchange.body.read() !== undefined);
      await answer.promise;
      exchange.respond(200, "OK");
      await exchange.send(text.encode("late"));
    });
    const { client, done } = connect();
    await client.sendText(request);
    await client.closeWrite();
    await clock.advance(waitMs);
    answer.resolve();
    assertMatch(await client.readAllText(), /^HTTP\/1.1 200 OK\r\n/);
    await done;
  }
});

serverTest("a half-closed client without any traffic is considered gone", async (fixture) => {
  for (const [request, , goneMs] of HALF_CLOSERS) {
    const gone = Promise.withResolvers<Fault>();
    const { connect, clock, faults } = fixture(async (exchange) => {
      while (await exchange.body.read() !== undefined);
      exchange.whenGone = gone.resolve;
      throw await gone.promise;
    });
    const { client, server, done } = connect();
    await client.sendText(request);
    await client.closeWrite();
    await clock.advance(goneMs);
    assertEquals((await gone.promise).fault, "clientGone");
    await done;
    assertEquals(server.end, "reset");
    assertEquals(faults, ["clientGone"]);
  }
});

serverTest(
  "a half-closed client that reads its response slowly has as much time as any other",
  async (fixture) => {
    const { connect, clock } = fixture(async (exchange) => {
      exchange.respond(200, "OK");
      await exchange.send(text.encode("x".repeat(2_000)));
    });
    const { client, done } = connect(256);
    await client.sendText(GET);
    await client.closeWrite();
    await clock.advance(20_000);
    assertMatch(await client.readAllText(), /\r\n\r\nx{2000}$/);
    await done;
  },
);

serverTest("a client that resets while it waits is noticed at once", async (fixture) => {
  const gone = Promise.withResolvers<Fault>();
  const { connect } = fixture(async (exchange) => {
    exchange.whenGone = gone.resolve;
    throw await gone.promise;
  });
  const { client, done } = connect();
  await client.sendText("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
  client.reset();
  assertEquals((await gone.promise).fault, "clientReset");
  await done;
});

serverTest("100 Continue is sent when the app reads the body", async (fixture) => {
  const { connect } = fixture(readAll);
  const { client } = connect();
  const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
  await client.sendText(head);
  assertEquals(await client.readUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  await client.sendText("ok");
  assertEquals(await client.readUntil("ok"), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  client.close();
});

serverTest(
  "no 100 Continue is sent when the app answers without the body, and the connection ends",
  async (fixture) => {
    const { connect } = fixture(say);
    const { client, done } = connect();
    const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    await client.sendText(head);
    await client.closeWrite();
    assertEquals(
      await client.readAllText(),
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n/",
    );
    await done;
  },
);

serverTest(
  "a small unread body is discarded and the connection stays open",
  async (fixture) => {
    const { connect } = fixture(say);
    const { client } = connect();
    await client.sendText("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345");
    await client.readUntil("\r\n\r\n/a");
    await client.sendText(
      "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxx\r\n",
    );
    await client.sendText("0\r\n\r\nGET /c HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.readUntil("\r\n\r\n/b");
    await client.readUntil("\r\n\r\n/c");
    client.close();
  },
);

serverTest(
  "a body that is found malformed after the response ends the connection after that response",
  async (fixture) => {
    const { connect, faults } = fixture(say);
    const { client, done } = connect();
    await client.sendText(
      "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    );
    await client.sendText(GET);
    await client.closeWrite();
    assertMatch(await client.readAllText(), /\r\n\r\n\/a$/);
    await done;
    assertEquals(faults, ["badRequest"]);
  },
);

serverTest(
  "a large unread body ends the connection after the response was delivered",
  async (fixture) => {
    const { connect } = fixture(say);
    const { client, done } = connect(1024);
    const sending = (async () => {
      await client.sendText("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
      await client.sendText("x".repeat(200_000));
      await client.closeWrite();
    })();
    assertMatch(await client.readAllText(), /\r\n\r\n\/a$/);
    await sending;
    await done;
  },
);

serverTest(
  "an error in the middle of a large body is sent with Connection: close",
  async (fixture) => {
    const { connect } = fixture(async (exchange) => {
      exchange.respond(413, "Too Much");
      await exchange.send(null);
    });
    for (const framing of ["Content-Length: 200000", "Transfer-Encoding: chunked"]) {
      const { client, done } = connect();
      await client.sendText(`POST /a HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n`);
      assertMatch(await client.readUntil("\r\n\r\n"), /\r\nConnection: close\r\n/);
      client.close();
      await done;
    }
    const { client, done } = connect();
    await client.sendText("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    assert(!/Connection: close/.test(await client.readUntil("\r\n\r\n")));
    await client.sendText(`12345${GET}`);
    await client.readUntil("\r\n\r\n");
    client.close();
    await done;
  },
);
