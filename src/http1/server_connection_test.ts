/** One connection of a server by itself: when it is idle, how it gives way, and how it ends. */
import { assertEquals, assertMatch } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { Deadlines } from "../net/deadlines.ts";
import { type MakePair, onConns } from "../net/testing/fake_conn.ts";
import { type Handler, Server } from "./server.ts";
import { ServerConnection } from "./server_connection.ts";
import { GET, readAll, say } from "./testing/server_fixture.ts";

const CLOSE = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/** A connection of a server that has no other one, and the end of its client. */
function connectionOf(pair: MakePair, handler: Handler = say) {
  const clock = new ManualClock();
  const faults: string[] = [];
  const bugs: string[] = [];
  const deadlines = new Deadlines(clock);
  const server = new Server({
    ...{ deadlines, handler },
    onFault: ({ fault }) => faults.push(fault),
    onError: (error) => bugs.push(String(error)),
  });
  const [client, end] = pair();
  const connection = new ServerConnection(end, "192.0.2.1", server);
  const done = connection.run();
  return { clock, client, end, connection, done, faults, bugs };
}

onConns(
  "it is idle between requests, and not while one is under way or incomplete",
  async (pair) => {
    const answer = Promise.withResolvers<void>();
    const { clock, client, connection, done } = connectionOf(pair, async (exchange) => {
      await answer.promise;
      await say(exchange);
    });
    assertEquals([connection.idleSince, connection.hasAsked], [0, false]);
    await client.sendText("GET / HT");
    await clock.advance(0);
    assertEquals([connection.idleSince, connection.headSince], [Infinity, 0]);
    await client.sendText("TP/1.1\r\nHost: a\r\n\r\n");
    await clock.advance(0);
    assertEquals([connection.hasAsked, connection.headSince], [true, Infinity]);
    assertEquals([connection.idleSince, connection.giveWay()], [Infinity, false]);
    answer.resolve();
    await client.readUntil("\r\n\r\n/");
    assertEquals(connection.idleSince !== Infinity, true);
    client.close();
    await done;
  },
);

onConns("an idle connection gives way at once", async (pair) => {
  const { client, connection, done, end, faults } = connectionOf(pair);
  assertEquals(connection.giveWay(), true);
  await done;
  assertEquals([await client.readAllText(), end.end, faults], ["", "closed", []]);
});

onConns("a head that takes too long can be given up, with 408", async (pair) => {
  const { clock, client, connection, done, faults } = connectionOf(pair);
  await client.sendText("GET / HT");
  await clock.advance(0);
  connection.giveUpHead();
  assertMatch(await client.readAllText(), /^HTTP\/1\.1 408 [^]*Connection: close\r\n/);
  client.close();
  await done;
  assertEquals(faults, ["requestTimeout"]);
});

onConns(
  "a handler with a bug ends its exchange with 500, and the connection goes on",
  async (pair) => {
    let count = 0;
    const { client, done, bugs, faults } = connectionOf(pair, (exchange) => {
      if (++count === 1) throw new TypeError("a bug");
      return say(exchange);
    });
    await client.sendText(GET);
    await client.readUntil("HTTP/1.1 500 Internal Server Error\r\n");
    await client.sendText(CLOSE);
    assertMatch(await client.readAllText(), /\r\n\r\n\/last$/);
    client.close();
    await done;
    assertEquals([bugs, faults], [["TypeError: a bug"], []]);
  },
);

onConns("a handler that does not answer is a bug too", async (pair) => {
  const { client, done, bugs } = connectionOf(pair, () => Promise.resolve());
  await client.sendText(CLOSE);
  assertMatch(await client.readAllText(), /^HTTP\/1\.1 500 /);
  client.close();
  await done;
  assertEquals(bugs, ["TypeError: The handler has not answered"]);
});

onConns(
  "what is left of a body after the response is read, so that the next request can follow",
  async (pair) => {
    const { client, done } = connectionOf(pair, say);
    await client.sendText("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    await client.readUntil("\r\n\r\n/a");
    await client.sendText(`cde${CLOSE}`);
    assertMatch(await client.readAllText(), /\r\n\r\n\/last$/);
    client.close();
    await done;
  },
);

onConns("a cut resets the connection, also during an exchange", async (pair) => {
  const { clock, client, connection, done } = connectionOf(pair, readAll);
  await client.sendText("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
  await clock.advance(0);
  connection.cut();
  await done;
  assertEquals(await client.readAllText(), "(reset)");
});
