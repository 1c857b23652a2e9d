/** The server against a client that says each byte when the test wants it. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import { type FakeConn, fakePair } from "./conn_fake.ts";
import { Deadlines } from "./deadlines.ts";
import type { Exchange } from "./exchange.ts";
import { ANSWERED, type App, Server, type ServerLimits } from "./server.ts";
import { tunnel } from "./tunnel.ts";

interface Bench {
  readonly clock: ManualClock;
  readonly server: Server;
  readonly faults: string[];
  /** A new client; `done` resolves when the server is through with it. */
  connect(room?: number): { client: FakeConn; server: FakeConn; done: Promise<void> };
}

function bench(app: App, limits: Partial<ServerLimits> = {}): Bench {
  const clock = new ManualClock();
  const faults: string[] = [];
  const server = new Server({
    deadlines: new Deadlines(clock),
    app,
    limits,
    onFault: (fault) => faults.push(fault.fault),
  });
  return {
    clock,
    server,
    faults,
    connect(room?: number) {
      const [client, end] = fakePair(room);
      return { client, server: end, done: server.serve(end, "peer") };
    },
  };
}

/** An app on the raw exchange. */
function raw(handle: (exchange: Exchange) => Promise<void>): App {
  return async (_, { exchange }) => {
    await handle(exchange);
    return ANSWERED;
  };
}

const text = new TextEncoder();
const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const say = raw(async (exchange) => {
  exchange.respond(200, "OK");
  await exchange.send(text.encode(exchange.head.path));
});
const readAll = raw(async (exchange) => {
  let body = "";
  for (let part = await exchange.body.read(); part; part = await exchange.body.read()) {
    body += new TextDecoder().decode(part);
  }
  exchange.respond(200, "OK");
  await exchange.send(text.encode(body));
});

Deno.test("pipelined requests are answered in order, also when they come in pieces", async () => {
  const { connect, clock } = bench(say);
  const { client, done } = connect();
  const all = ["/a", "/b", "/c"].map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`).join("");
  for (let at = 0; at < all.length; at += 7) await client.say(all.slice(at, at + 7));
  const answer = (path: string) => `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${path}`;
  assertEquals(await client.hear("/c"), answer("/a") + answer("/b") + answer("/c"));
  client.close();
  await done;
  assertEquals(clock.pending, 0);
});

Deno.test("a malformed request is refused once, and nothing behind it is served", async () => {
  const { connect, faults } = bench(say);
  const { client, done } = connect();
  await client.say(`${GET}GET / HTTP/1.1\nHost: a\r\n\r\n${GET}`);
  await client.closeWrite();
  const answers = await client.hearAll();
  assertEquals(answers.split("HTTP/1.1").length, 3);
  assertStringIncludes(answers, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n");
  await done;
  assertEquals(faults, ["badRequest"]);
});

Deno.test("a smuggled second request in a chunked body is refused before it is looked at", async () => {
  const paths: string[] = [];
  const { connect } = bench((request, env) => {
    paths.push(env.exchange.head.path);
    return readAll(request, env);
  });
  const { client, done } = connect();
  await client.say(
    `POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0 \r\n\r\n${GET}`,
  );
  await client.closeWrite();
  assertMatch(await client.hearAll(), /^HTTP\/1.1 400 .*\r\nConnection: close\r\n/s);
  await done;
  assertEquals(paths, ["/a"]);
});

Deno.test("a client that drips its head is told 408 when its time is up, not before", async () => {
  const { connect, clock, faults } = bench(say);
  const slow = connect();
  const other = connect();
  for (let second = 0; second < 9; second++) {
    await slow.client.say(`X`);
    await clock.advance(1_000);
    assertEquals(slow.server.end, "open");
  }
  await other.client.say(GET);
  await other.client.hear("/");
  await clock.advance(1_500);
  assertMatch(await slow.client.hearAll(), /^HTTP\/1.1 408 Request Timeout\r\n/);
  await slow.done;
  assertEquals(faults, ["requestTimeout"]);
  assertEquals(other.server.end, "open");
  other.client.close();
  await other.done;
});

Deno.test("an idle connection is closed without a word after the idle time", async () => {
  const { connect, clock, faults } = bench(say, { idleMs: 5_000 });
  const { client, server, done } = connect();
  await client.say(GET);
  await client.hear("\r\n\r\n/");
  await clock.advance(4_900);
  assertEquals(server.end, "open");
  await clock.advance(700);
  assertEquals(await client.hearAll(), "");
  await done;
  assertEquals(faults, []);
});

Deno.test("a body that stops coming is ended by its deadline, with 408", async () => {
  const { connect, clock } = bench(readAll, { bodyRateMin: 0 });
  const { client, done } = connect();
  await client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
  await clock.advance(29_000);
  await client.say("6");
  await clock.advance(29_000);
  await client.say("7");
  await clock.advance(31_000);
  assertMatch(await client.hearAll(), /^HTTP\/1.1 408 /);
  await done;
});

Deno.test("a body that only drips is ended although it never stops", async () => {
  const { connect, clock, server } = bench(readAll, { bodyRateMin: 100 });
  const { client, done } = connect();
  await client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
  for (let second = 0; second < 40 && server.connections > 0; second++) {
    await client.say("x").catch(() => {});
    await clock.advance(1_000);
  }
  await done;
  assertEquals(server.connections, 0);
});

Deno.test("a client that reads nothing stops the source and is cut after the write time", async () => {
  let given = 0;
  const { connect, clock, faults } = bench(raw(async (exchange) => {
    exchange.respond(200, "OK");
    const part = new Uint8Array(1024);
    await exchange.send({ length: undefined, read: () => (given += 1024, Promise.resolve(part)) });
  }));
  const { client, server, done } = connect(4096);
  await client.say(GET);
  await clock.advance(29_000);
  const bytes = given;
  assert(bytes > 0 && bytes < 10_000, `${bytes} bytes were taken from the source`);
  await clock.advance(2_000);
  await done;
  assertEquals(given, bytes);
  assertEquals(server.end, "reset");
  assertEquals(faults, ["slowReader"]);
});

Deno.test("a client that closes its sending side still gets its answer", async () => {
  const answer = Promise.withResolvers<void>();
  const { connect, clock } = bench(raw(async (exchange) => {
    await answer.promise;
    exchange.respond(200, "OK");
    await exchange.send(text.encode("late"));
  }));
  const { client, done } = connect();
  await client.say(GET);
  await client.closeWrite();
  await clock.advance(4_000);
  answer.resolve();
  assertMatch(await client.hearAll(), /\r\n\r\nlate$/);
  await done;
});

Deno.test("a half-closed client for whom nothing moves is taken to have gone", async () => {
  const gone = Promise.withResolvers<Fault>();
  const { connect, clock, faults } = bench(raw(async (exchange) => {
    exchange.whenGone = gone.resolve;
    throw await gone.promise;
  }));
  const { client, server, done } = connect();
  await client.say(GET);
  await client.closeWrite();
  await clock.advance(6_000);
  assertEquals((await gone.promise).fault, "clientGone");
  await done;
  assertEquals(server.end, "reset");
  assertEquals(faults, ["clientGone"]);
});

Deno.test("a client that resets while it waits is noticed at once", async () => {
  const gone = Promise.withResolvers<Fault>();
  const { connect } = bench(raw(async (exchange) => {
    exchange.whenGone = gone.resolve;
    throw await gone.promise;
  }));
  const { client, done } = connect();
  await client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
  client.reset();
  assertEquals((await gone.promise).fault, "clientReset");
  await done;
});

Deno.test("a drain closes idle connections, lets a running exchange finish, and says so in it", async () => {
  const started = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  const { connect, server } = bench(raw(async (exchange) => {
    if (exchange.head.path === "/slow") {
      started.resolve();
      await answer.promise;
    }
    exchange.respond(200, "OK");
    await exchange.send(null);
  }));
  const idle = connect();
  await idle.client.say(GET);
  await idle.client.hear("\r\n\r\n");
  const busy = connect();
  await busy.client.say("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
  await started.promise;

  const drained = server.drain(new AbortController().signal);
  assertEquals(await idle.client.hearAll(), "");
  answer.resolve();
  assertStringIncludes(await busy.client.hearAll(), "Connection: close\r\n");
  assertEquals(await drained, 0);
});

Deno.test("a drain whose time is up cuts what is left and counts it", async () => {
  const started = Promise.withResolvers<void>();
  const { connect, server } = bench(raw(async (exchange) => {
    const gone = new Promise<Fault>((resolve) => exchange.whenGone = resolve);
    started.resolve();
    throw await gone;
  }));
  const { client, done } = connect();
  await client.say(GET);
  await started.promise;
  const now = new AbortController();
  const drained = server.drain(now.signal);
  now.abort();
  assertEquals(await drained, 1);
  assertEquals(await client.hearAll(), "(reset)");
  await done;
});

Deno.test("100-continue is said when the app reads the body", async () => {
  const { connect } = bench(readAll);
  const { client } = connect();
  const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
  await client.say(head);
  assertEquals(await client.hear("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  await client.say("ok");
  assertEquals(await client.hear("ok"), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  client.close();
});

Deno.test("100-continue is not said when the app answers without the body, and the connection ends", async () => {
  const { connect } = bench(say);
  const { client, done } = connect();
  const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
  await client.say(head);
  await client.closeWrite();
  assertEquals(
    await client.hearAll(),
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n/",
  );
  await done;
});

Deno.test("a small body that nobody reads is dropped and the connection goes on", async () => {
  const { connect } = bench(say);
  const { client } = connect();
  await client.say("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345");
  await client.hear("\r\n\r\n/a");
  await client.say("POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxx\r\n");
  await client.say("0\r\n\r\nGET /c HTTP/1.1\r\nHost: a\r\n\r\n");
  await client.hear("\r\n\r\n/b");
  await client.hear("\r\n\r\n/c");
  client.close();
});

Deno.test("a body found to be malformed after the answer ends the connection behind that answer", async () => {
  const { connect, faults } = bench(say);
  const { client, done } = connect();
  await client.say("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n");
  await client.say(GET);
  await client.closeWrite();
  assertMatch(await client.hearAll(), /\r\n\r\n\/a$/);
  await done;
  assertEquals(faults, ["badRequest"]);
});

Deno.test("a large body that nobody reads ends the connection after the answer was heard", async () => {
  const { connect } = bench(say);
  const { client, done } = connect(1024);
  const sending = (async () => {
    await client.say("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
    await client.say("x".repeat(200_000));
    await client.closeWrite();
  })();
  assertMatch(await client.hearAll(), /\r\n\r\n\/a$/);
  await sending;
  await done;
});

Deno.test("the response is framed for the request and for its status", async () => {
  const { connect } = bench(raw(async (exchange) => {
    const [, status, kind] = exchange.head.path.split("/");
    exchange.respond(Number(status), "X");
    const parts = [text.encode("ab"), text.encode("c")];
    const length = kind === "open" ? undefined : 3;
    await exchange.send(
      kind === "none" ? null : {
        length,
        read: () => Promise.resolve(parts.shift()),
      },
    );
  }));
  const ask = async (method: string, path: string, version = "1.1", field = "") => {
    const { client, done } = connect();
    await client.say(`${method} ${path} HTTP/${version}\r\nHost: a\r\n${field}\r\n`);
    await client.closeWrite();
    const heard = await client.hearAll();
    await done;
    return heard.slice("HTTP/1.1 ".length);
  };
  assertEquals(await ask("GET", "/200/known"), "200 X\r\nContent-Length: 3\r\n\r\nabc");
  assertEquals(
    await ask("GET", "/200/open"),
    "200 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
  );
  assertEquals(await ask("GET", "/200/open", "1.0"), "200 X\r\nConnection: close\r\n\r\nabc");
  assertEquals(
    await ask("GET", "/200/known", "1.0", "Connection: keep-alive\r\n"),
    "200 X\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc",
  );
  assertEquals(await ask("GET", "/200/none"), "200 X\r\nContent-Length: 0\r\n\r\n");
  assertEquals(await ask("HEAD", "/200/known"), "200 X\r\nContent-Length: 3\r\n\r\n");
  assertEquals(await ask("HEAD", "/200/open"), "200 X\r\n\r\n");
  assertEquals(await ask("GET", "/304/known"), "304 X\r\nContent-Length: 3\r\n\r\n");
  assertEquals(await ask("GET", "/204/known"), "204 X\r\n\r\n");
});

Deno.test("a response whose source breaks is cut, so that the client can tell", async () => {
  const { connect, faults } = bench(raw(async (exchange) => {
    exchange.respond(200, "OK");
    const parts = [text.encode("ab")];
    await exchange.send({
      length: undefined,
      read: () =>
        parts.length > 0
          ? Promise.resolve(parts.shift())
          : Promise.reject(new Fault("responseCut")),
    });
  }));
  const { client, server, done } = connect();
  await client.say(GET);
  await done;
  assertEquals(server.end, "reset");
  assertEquals(await client.hearAll(), "(reset)");
  assertEquals(faults, ["responseCut"]);
});

Deno.test("a fault of the app before any response is answered with its status", async () => {
  const { connect } = bench(() => Promise.reject(new Fault("connectTimeout")));
  const { client } = connect();
  await client.say(GET);
  assertMatch(await client.hear("connect\n"), /^HTTP\/1.1 504 Gateway Timeout\r\n/);
  client.close();
});

Deno.test("interim responses reach HTTP/1.1 clients only", async () => {
  const { connect } = bench(raw(async (exchange) => {
    await exchange.inform(103, "Early Hints", (head) => head.line("Link", "</a>"));
    exchange.respond(200, "OK");
    await exchange.send(null);
  }));
  const modern = connect();
  await modern.client.say(GET);
  await modern.client.hear("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
  await modern.client.hear("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  modern.client.close();
  const old = connect();
  await old.client.say("GET / HTTP/1.0\r\n\r\n");
  assertMatch(await old.client.hearAll(), /^HTTP\/1.1 200 OK/);
});

Deno.test("after an upgrade both sides see each other's bytes, early ones and the half-close too", async () => {
  const [upstream, far] = fakePair();
  const { connect } = bench(raw(async (exchange) => {
    exchange.respond(101, "Switching Protocols").line("Upgrade", "echo");
    const count = await tunnel(await exchange.upgrade(), upstream);
    assertEquals(count, { fromClient: 5, fromUpstream: 3 });
    upstream.close();
  }));
  const { client, done } = connect();
  await client.say(
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nearly",
  );
  assertEquals(
    await client.hear("\r\n\r\n"),
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n",
  );
  await far.hear("early");
  await client.closeWrite();
  assertEquals(await far.hearAll(), "");
  await far.say("bye");
  await far.closeWrite();
  assertEquals(await client.hearAll(), "bye");
  await done;
});

Deno.test("a server at its limit has no room until a connection ends", async () => {
  const { connect, server } = bench(say, { connectionsMax: 1 });
  const { client, done } = connect();
  let hasRoom = false;
  const room = server.room().then(() => hasRoom = true);
  await client.say(GET);
  await client.hear("\r\n\r\n/");
  assertEquals(hasRoom, false);
  client.close();
  await done;
  await room;
});
