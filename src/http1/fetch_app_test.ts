/** Hono on our server: what an app reads of a request, and how its responses are sent. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Hono } from "hono";
import { stream } from "hono/streaming";
import { ManualClock } from "../base/clock.ts";
import { type FakeConn, fakePair } from "../net/testing/fake_conn.ts";
import { Deadlines } from "../net/deadlines.ts";
import type { Exchange } from "./exchange.ts";
import { serveFetch } from "./fetch_app.ts";
import { Server } from "./server.ts";

type Env = { Bindings: { exchange: Exchange } };

function connect(app: Hono<Env>): FakeConn {
  const server = new Server({
    deadlines: new Deadlines(new ManualClock()),
    handler: (exchange) => serveFetch(exchange, (request) => app.fetch(request, { exchange })),
  });
  const [client, end] = fakePair();
  server.serve(end, "peer");
  return client;
}

/** Sends one request on a separate connection; returns head and body of the response. */
async function ask(app: Hono<Env>, request: string): Promise<[string, string]> {
  const client = connect(app);
  await client.sendText(request);
  await client.closeWrite();
  const [head, ...body] = (await client.readAllText()).split("\r\n\r\n");
  return [head!, body.join("\r\n\r\n")];
}

const get = (target: string, more = "") => `GET ${target} HTTP/1.1\r\nHost: a.b:8\r\n${more}\r\n`;

Deno.test("an app sees method, URL and headers as they were sent", async () => {
  const app = new Hono<Env>();
  app.all("*", (c) => {
    assert(c.req.raw instanceof Request);
    return c.json([c.req.method, c.req.url, c.req.header("x-a"), c.req.query("q")]);
  });
  const [head, body] = await ask(app, get("/x/y%2F?q=1", "X-A: 1\r\nx-a: 2\r\n"));
  assertMatch(head, /^HTTP\/1.1 200 OK\r\n/);
  assertMatch(head, /\r\nContent-Length: \d+$/);
  assertEquals(JSON.parse(body), ["GET", "http://a.b:8/x/y%2F?q=1", "1, 2", "1"]);
});

Deno.test("a method that no Request can carry is refused with 405, and is no bug of the proxy", async () => {
  const app = new Hono<Env>();
  app.all("*", (c) => c.text("reached"));
  for (const method of ["TRACE", "TRACK", "track"]) {
    const [head] = await ask(app, get("/").replace("GET", method));
    assertMatch(head, /^HTTP\/1.1 405 Method Not Allowed\r\n[^]*\r\nAllow: /, method);
  }
});

Deno.test("a path that equals a route only after normalization is not that route", async () => {
  const app = new Hono<Env>();
  app.get("/__failover/state", (c) => c.text("ours"));
  app.all("*", (c) => c.text("theirs"));
  assertEquals((await ask(app, get("//__failover/state")))[1], "theirs");
  for (
    const target of [
      "/x/../__failover/state",
      "/__failover/./state",
      "/__failover/%2e%2E/x",
      "/__failover/..",
      "/.%2e?x",
      "/__failover\\state",
    ]
  ) {
    const [head, body] = await ask(app, get(target));
    assertMatch(head, /^HTTP\/1.1 404 /, target);
    assertEquals(body, "Not found.\n", target);
  }
  assertEquals((await ask(app, get("/__failover/state?/../x")))[1], "ours");
  assertEquals((await ask(app, get("http://c/__failover/state")))[1], "ours");
});

Deno.test("an app can read a body as JSON, also a chunked one, and the connection is used again", async () => {
  const app = new Hono<Env>();
  app.post("/", async (c) => c.json({ got: await c.req.json() }));
  const client = connect(app);
  const head = "POST / HTTP/1.1\r\nHost: a\r\n";
  await client.sendText(`${head}Content-Length: 7\r\n\r\n{"a":1}`);
  await client.readUntil('{"got":{"a":1}}');
  await client.sendText(`${head}Transfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n`);
  await client.readUntil('{"got":[1]}');
  await client.sendText(get("/none"));
  assertMatch(await client.readUntil("404 Not Found"), /^HTTP\/1.1 404 Not Found/);
  client.close();
});

Deno.test("a stream of an app begins at once and is cancelled when its client has gone", async () => {
  const app = new Hono<Env>();
  const aborted = Promise.withResolvers<void>();
  app.get("/", (c) =>
    stream(c, async (out) => {
      out.onAbort(aborted.resolve);
      await out.write("first\n");
      await aborted.promise;
      await out.write("never");
    }));
  const client = connect(app);
  await client.sendText(get("/"));
  assertMatch(
    await client.readUntil("6\r\nfirst\n\r\n"),
    /^HTTP\/1.1 200 OK\r\nDate: [^\r]+ GMT\r\nTransfer-Encoding: chunked\r\n\r\n/,
  );
  client.reset();
  await aborted.promise;
});

Deno.test("an app's HEAD has no body, an empty response has length 0, cookies stay apart", async () => {
  const app = new Hono<Env>();
  app.get("/text", (c) => c.text("hello"));
  app.get("/sized", (c) => c.body("12345", 200, { "Content-Length": "5" }));
  app.get("/empty", (c) => {
    c.header("Set-Cookie", "a=1");
    c.header("Set-Cookie", "b=2", { append: true });
    return c.body(null, 200);
  });
  const [, none] = await ask(app, get("/text").replace("GET", "HEAD"));
  assertEquals(none, "");
  const [sized, nothing] = await ask(app, get("/sized").replace("GET", "HEAD"));
  assertMatch(sized, /\r\nContent-Length: 5$/);
  assertEquals(nothing, "");
  const [head] = await ask(app, get("/empty"));
  assertMatch(head, /set-cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 0$/);
});

Deno.test("an app that sets framing fields itself cannot contradict what is sent", async () => {
  const app = new Hono<Env>();
  app.get("/", (c) => c.body("hello", 200, { "Connection": "upgrade", "Transfer-Encoding": "x" }));
  const [head, body] = await ask(app, get("/"));
  assertEquals(body, "hello");
  assert(!/transfer-encoding|connection/i.test(head), head);
});

Deno.test("a host that is invalid by the URL standard is replaced in the app's URL, and nowhere else", async () => {
  const app = new Hono<Env>();
  app.all("*", (c) => c.json([c.req.url, c.req.header("host")]));
  const [, body] = await ask(app, get("/x").replace("a.b:8", "999.1.1.1"));
  assertEquals(JSON.parse(body), ["http://localhost/x", "999.1.1.1"]);
});

Deno.test("a body that is in memory is sent with its length, however many promises it waits for", async () => {
  const app = new Hono<Env>();
  app.get("/", () => {
    let left = 1;
    return new Response(
      new ReadableStream({
        async pull(controller) {
          for (let i = 0; i < 100; i++) await undefined;
          if (left-- > 0) controller.enqueue(new TextEncoder().encode("hello"));
          else controller.close();
        },
      }),
    );
  });
  const [head, body] = await ask(app, get("/"));
  assertMatch(head, /\r\nContent-Length: 5$/);
  assertEquals(body, "hello");
});

Deno.test("an app's request is aborted with the fault when its client leaves", async () => {
  const app = new Hono<Env>();
  const gone = Promise.withResolvers<unknown>();
  app.get("/", (c) => {
    const { signal } = c.req.raw;
    signal.addEventListener("abort", () => gone.resolve(signal.reason));
    return new Promise<Response>(() => {});
  });
  const client = connect(app);
  await client.sendText(get("/"));
  client.reset();
  assertMatch(String(await gone.promise), /clientReset|reset/i);
});
