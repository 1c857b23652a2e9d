/** A server at its limit: which connections are closed, which wait, and which are answered anyway. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import {
  GET,
  say,
  type ServerFixture,
  serverFixture as fixtureOf,
  serverTest,
} from "./testing/server_fixture.ts";
import { reserveOf } from "./reserve.ts";
import type { Handler } from "./server.ts";

/** An app in which requests for `/busy` are in progress until `go` is called. */
function busyApp(): { app: Handler; go: () => void } {
  const gate = Promise.withResolvers<void>();
  return {
    app: async (exchange) => {
      if (exchange.head.path === "/busy") await gate.promise;
      exchange.respond(200, "OK");
      await exchange.send(new TextEncoder().encode(exchange.head.path));
    },
    go: gate.resolve,
  };
}

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

async function kept(
  { connect }: ServerFixture,
  path = "/",
): Promise<ReturnType<ServerFixture["connect"]>> {
  const one = connect();
  await one.client.sendText(get(path));
  await one.client.readUntil(`\r\n\r\n${path}`);
  return one;
}

serverTest(
  "at the limit the connection that was idle for the longest time is closed",
  async (make) => {
    const fixture = make(say, { connectionsMax: 2 });
    const oldest = await kept(fixture);
    await fixture.clock.advance(500);
    const younger = await kept(fixture);
    await fixture.clock.advance(500);
    const third = await kept(fixture, "/third");
    assertEquals(await oldest.client.readAllText(), "");
    assertEquals([younger.server.end, third.server.end], ["open", "open"]);
    const fourth = await kept(fixture, "/fourth");
    assertEquals(await younger.client.readAllText(), "");
    for (const { client } of [third, fourth]) client.close();
  },
);

serverTest(
  "a connection without a request is closed too, once its client has had its time to send one",
  async (make) => {
    const fixture = make(say, { connectionsMax: 1 });
    const silent = fixture.connect();
    await fixture.clock.advance(500);
    const asking = fixture.connect();
    await asking.client.sendText(get("/a"));
    await fixture.clock.advance(250);
    assertEquals(silent.server.end, "open");
    await fixture.clock.advance(750);
    assertMatch(await asking.client.readUntil("/a"), /^HTTP\/1.1 200 /);
    assertEquals(silent.server.end, "closed");
    asking.client.close();
  },
);

serverTest(
  "a slow head is ended with 408, after all idle connections",
  async (make) => {
    const fixture = make(say, { connectionsMax: 2 });
    const slow = fixture.connect();
    await slow.client.sendText("GET /slow HTTP/1.1\r\nHo");
    const idle = await kept(fixture);
    await fixture.clock.advance(1_750);
    await slow.client.sendText("s");
    const third = await kept(fixture, "/third");
    assertEquals([await idle.client.readAllText(), slow.server.end], ["", "open"]);
    await fixture.clock.advance(500);
    const [fourth, fifth] = [await kept(fixture, "/fourth"), await kept(fixture, "/fifth")];
    assertEquals(await third.client.readAllText(), "");
    assertMatch(await slow.client.readAllText(), /^HTTP\/1.1 408 Request Timeout\r\n/);
    await slow.done;
    assertEquals(fixture.faults, ["requestTimeout"]);
    for (const { client } of [fourth, fifth]) client.close();
  },
);

serverTest(
  "clients that send their heads byte by byte do not block our own endpoints, nor other requests",
  async (make) => {
    const own = { isReserved: (path: string) => path === "/own" };
    const fixture = make(say, { connectionsMax: 1 }, own);
    const slow = Array.from({ length: 1 + reserveOf(1) }, () => fixture.connect());
    for (const { client } of slow) await client.sendText("GET / HTTP/1.1\r\n");
    assertEquals(fixture.server.hasRoom, false);
    await fixture.clock.advance(2_250);
    assertEquals(fixture.server.hasRoom, true);
    for (const path of ["/own", "/other"]) {
      const asking = await kept(fixture, path);
      asking.client.close();
      await asking.done;
    }
    for (const { client } of slow) client.close();
    await Promise.all(slow.map(({ done }) => done));
  },
);

serverTest(
  "when all connections are busy, a request waits for a place and gets the first that is free",
  async (make) => {
    const { app, go } = busyApp();
    const { connect, server, clock } = make(app, { connectionsMax: 1 });
    const busy = connect();
    await busy.client.sendText(get("/busy"));
    await clock.advance(100);
    const waiting = connect();
    await waiting.client.sendText(get("/waits"));
    await clock.advance(20_000);
    assertEquals(server.connections, 2);
    go();
    // The response says close, as another client waits for this place.
    assertMatch(await busy.client.readAllText(), /Connection: close\r\n\r\n\/busy$/);
    busy.client.close();
    await waiting.client.readUntil("/waits");
    // No client waits any more, so this connection is kept.
    await waiting.client.sendText(get("/next"));
    assertMatch(await waiting.client.readUntil("/next"), /^HTTP\/1.1 200 /);
    waiting.client.close();
    await waiting.done;
    assertEquals(server.connections, 0);
    assertEquals(clock.pending, 0);
  },
);

serverTest(
  "a client that waits too long gets 503, earlier if other clients need its place",
  async (make) => {
    const { app, go } = busyApp();
    const { connect, clock, faults, server } = make(app, { connectionsMax: 1 });
    const busy = connect();
    await busy.client.sendText(get("/busy"));
    await clock.advance(100);
    const waiting = Array.from({ length: reserveOf(1) }, () => connect());
    assertEquals(server.hasRoom, false);
    for (const { client } of waiting) await client.sendText(get("/waits"));
    await clock.advance(1_500);
    for (const { client, done } of waiting) {
      assertMatch(await client.readAllText(), /^HTTP\/1.1 503 [^]*Connection: close\r\n/);
      client.close();
      await done;
    }
    assertEquals(new Set(faults), new Set(["tooManyHeld"]));
    const patient = connect();
    await patient.client.sendText(get("/waits"));
    await clock.advance(29_000);
    assertEquals(patient.server.end, "open");
    await clock.advance(1_500);
    assertMatch(await patient.client.readAllText(), /^HTTP\/1.1 503 /);
    patient.client.close();
    go();
    busy.client.close();
  },
);

serverTest("our own endpoints answer beyond the limit", async (make) => {
  const { app, go } = busyApp();
  const { connect, clock } = make(app, { connectionsMax: 1 }, {
    isReserved: (path) => path === "/own",
  });
  const busy = connect();
  await busy.client.sendText(get("/busy"));
  await clock.advance(100);
  for (let i = 0; i < 3; i++) {
    const own = connect();
    await own.client.sendText(get("/own"));
    assertMatch(await own.client.readAllText(), /Connection: close\r\n\r\n\/own$/);
    own.client.close();
    await own.done;
  }
  go();
  busy.client.close();
});

serverTest(
  "the limit is reported when it is reached, and again only after the count was far below it for a while",
  async (make) => {
    let reported = 0;
    const fixture = make(say, { connectionsMax: 2 }, { onFull: () => reported++ });
    const { connect, server, clock } = fixture;
    const [a, b] = [connect(), connect()];
    assertEquals(reported, 0);
    const c = connect();
    assertEquals(reported, 1);
    const d = connect();
    for (const { client, done } of [c, d, a]) {
      client.close();
      await done;
    }
    assertEquals([reported, server.connections], [1, 1]);
    const [e, f] = [connect(), connect()];
    assertEquals(reported, 1); // too soon for another report
    for (const { client, done } of [b, e, f]) {
      client.close();
      await done;
    }
    await clock.advance(10_000);
    const last = [connect(), connect(), connect()];
    assertEquals(reported, 2);
    for (const { client, done } of last) {
      client.close();
      await done;
    }
  },
);

Deno.test("a bug in the app ends its exchange with 500, is reported, and affects no other exchange", async () => {
  const errors: unknown[] = [];
  const bug = new Error("bug");
  const { connect } = fixtureOf(
    async (exchange) => {
      if (exchange.head.path === "/before") throw bug;
      exchange.respond(200, "OK");
      if (exchange.head.path === "/within") {
        await exchange.send({ length: 5, read: () => Promise.reject(bug) });
      }
      await exchange.send(null);
    },
    {},
    undefined,
    { onError: (error) => errors.push(error) },
  );
  const other = connect();
  const before = connect();
  await before.client.sendText(get("/before"));
  assertStringIncludes(await before.client.readUntil("\n"), "HTTP/1.1 500 ");
  before.client.close();
  const within = connect();
  await within.client.sendText(get("/within"));
  assertMatch(await within.client.readAllText(), /\(reset\)$/);
  for (const { done } of [before, within]) await done;
  assertEquals(errors, [bug, bug]);
  await other.client.sendText(GET);
  await other.client.readUntil("\r\n\r\n");
  other.client.close();
});
