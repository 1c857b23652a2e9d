/** What the gateway forwards unchanged, and what it changes. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { connect } from "node:net";
import { ManualClock } from "../../src/base/clock.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import {
  nodeUpstream,
  parsed,
  rawUpstream,
  readAllText,
  readUntil,
  refusingPort,
  sendText,
} from "./gateway_fixture.ts";
import { onBothProtocols, onBothSockets } from "./both_sockets.ts";
import { mirror } from "./mirror.ts";
import { OPENED } from "./story_client.ts";
import { switching } from "./switching.ts";

onBothProtocols("a path and its query arrive exactly as they were sent", async ({ start }) => {
  await using up = mirror();
  await using fixture = await start([up.port]);
  await fixture.open(0);
  const { body } = await fixture.ask("GET", "/a%2Fb//c/../d?x=%20y&z={|}");
  assertMatch(body, /^GET \/a%2Fb\/\/c\/\.\.\/d\?x=%20y&z=\{\|\} HTTP\/1\.1\r\n/);
});

onBothProtocols(
  "an absolute target reaches the upstream as a path, with the upstream's own host",
  async ({ start }) => {
    await using up = mirror();
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const { body } = await fixture.ask("GET", "http://evil.test/x?y");
    assertMatch(body, /^GET \/x\?y HTTP\/1\.1\r\n/);
    assertStringIncludes(body, `Host: 127.0.0.1:${up.port}\r\n`);
    assertStringIncludes(body, "X-Forwarded-Host: evil.test\r\n");
  },
);

onBothProtocols("OPTIONS * stays OPTIONS *, and any method is forwarded", async ({ start }) => {
  await using up = mirror();
  await using fixture = await start([up.port], { basePath: "/base" });
  await fixture.open(0);
  assertMatch((await fixture.ask("OPTIONS", "*")).body, /^OPTIONS \* HTTP/);
  assertMatch((await fixture.ask("PROPFIND", "/dav")).body, /^PROPFIND \/base\/dav HTTP/);
});

onBothProtocols(
  "headers keep their spelling, order and duplicates",
  async ({ start, protocol }) => {
    await using up = mirror();
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const { body } = await fixture.ask("GET", "/", ["X-b: 1", "x-A: 2", "X-b: 3", "Cookie: a=1"]);
    const all = "X-b: 1\r\nx-A: 2\r\nX-b: 3\r\nCookie: a=1\r\n";
    // Names in HTTP/2 have no capital letters.
    assertStringIncludes(body, protocol === "HTTP/2" ? all.toLowerCase() : all);
  },
);

onBothSockets(
  "hop-by-hop headers, and those that Connection names, are not forwarded",
  async ({ start }) => {
    await using up = mirror();
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const answer = await fixture.raw(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Private , keep-alive\r\nX-Private: 1\r\n" +
        "Keep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: s\r\nTE: gzip\r\nUpgrade: h2c\r\n" +
        "X-Public: 2\r\n\r\n",
    );
    for (const name of ["X-Private", "Keep-Alive", "Proxy-", "TE:", "Upgrade", "close"]) {
      assert(!parsed(answer).body.includes(name), `${name} passed: ${answer}`);
    }
    assertStringIncludes(answer, "X-Public: 2");
  },
);

onBothProtocols(
  "the upstream is told the client's address, host and protocol",
  async ({ start, protocol }) => {
    await using up = mirror();
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const { body } = await fixture.ask("GET", "/", [
      "X-Forwarded-For: 10.0.0.1",
      "X-Forwarded-Proto: https",
      "X-Forwarded-Host: forged.test",
      "Forwarded: for=10.0.0.1",
      "Via: 1.1 edge",
    ]);
    assertStringIncludes(body, "X-Forwarded-For: 127.0.0.1\r\n");
    assertStringIncludes(body, "X-Forwarded-Proto: http\r\n");
    assertStringIncludes(body, "X-Forwarded-Host: front.test\r\n");
    assertStringIncludes(body, "\r\nForwarded: for=127.0.0.1;host=front.test;proto=http\r\n");
    const received = protocol === "HTTP/2" ? "2.0" : "1.1";
    assertStringIncludes(body, `Via: 1.1 edge, ${received} failover\r\n`);
    assert(!/forged.test|https|10\.0\.0\.1/.test(body));
  },
);

onBothProtocols(
  "the client's Host is forwarded if that is configured, unless the upstream has its own host",
  async ({ start }) => {
    await using up = mirror();
    {
      await using fixture = await start([up.port], { preserveHost: true });
      await fixture.open(0);
      assertStringIncludes((await fixture.ask("GET", "/")).body, "\r\nHost: front.test\r\n");
    }
    await using fixture = await start([up.port], { preserveHost: true, host: "bucket.test" });
    await fixture.open(0);
    assertStringIncludes((await fixture.ask("GET", "/")).body, "\r\nHost: bucket.test\r\n");
  },
);

onBothProtocols("headers configured for an upstream replace the client's", async ({ start }) => {
  await using up = mirror();
  await using fixture = await start([up.port], { headers: [["X-Token", "ours"]] });
  await fixture.open(0);
  const { body } = await fixture.ask("GET", "/", ["x-token: theirs"]);
  assertStringIncludes(body, "X-Token: ours\r\n");
  assert(!body.includes("theirs"));
});

onBothProtocols(
  "the base path of an upstream is added to paths, and removed from its redirects",
  async ({ start }) => {
    await using up = await nodeUpstream((request, response) => {
      const { port } = up;
      response.setHeader("x-url", request.url!);
      response.writeHead(302, { location: `http://127.0.0.1:${port}/app/login?next=/a%2Fb` }).end();
    });
    await using fixture = await start([up.port], { basePath: "/app" });
    await fixture.open(0);
    const answer = await fixture.ask("GET", "/x//y");
    assertEquals(answer.get("x-url"), "/app/x//y");
    assertEquals(answer.get("location"), "/login?next=/a%2Fb");
  },
);

onBothProtocols(
  "a redirect to another host is forwarded unchanged, and is not followed",
  async ({ start }) => {
    await using up = await nodeUpstream((_, response) => {
      response.writeHead(302, { location: "https://elsewhere.test/x" }).end();
    });
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const answer = await fixture.ask("GET", "/");
    assertEquals([answer.status, answer.get("location")], [302, "https://elsewhere.test/x"]);
  },
);

onBothProtocols(
  "many Set-Cookie lines and an unknown reason phrase reach the client",
  async ({ start, protocol }) => {
    await using up = rawUpstream(async (conn) => {
      await readUntil(conn);
      await sendText(
        conn,
        "HTTP/1.1 299 Quite Fine\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nConnection: x-hop\r\nX-Hop: 1\r\n" +
          "Content-Length: 0\r\n\r\n",
      );
    });
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const answer = await fixture.ask("GET", "/");
    const isHttp2 = protocol === "HTTP/2";
    // HTTP/2 has neither reason phrases nor capital letters in names.
    assertEquals([answer.status, answer.reason], [299, isHttp2 ? "" : "Quite Fine"]);
    assertEquals(answer.lines.filter((l) => /^set-cookie/i.test(l)), [
      isHttp2 ? "set-cookie: a=1" : "Set-Cookie: a=1",
      "set-cookie: b=2",
    ]);
    assertEquals(answer.get("x-hop"), undefined);
  },
);

onBothProtocols(
  "a compressed body is forwarded byte for byte with its headers",
  async ({ start }) => {
    const bytes = new Uint8Array(
      await new Response(
        new Blob(["hello ".repeat(1000)]).stream().pipeThrough(new CompressionStream("gzip")),
      ).arrayBuffer(),
    );
    await using up = await nodeUpstream((_, response) => {
      response.writeHead(200, {
        "content-encoding": "gzip",
        etag: '"x-gzip"',
        "content-length": bytes.length,
      }).end(bytes);
    });
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const { body, get } = await fixture.ask("GET", "/");
    assertEquals(Uint8Array.from(body, (c) => c.charCodeAt(0)), bytes);
    assertEquals(
      [get("content-encoding"), get("etag"), get("content-length")],
      ["gzip", '"x-gzip"', String(bytes.length)],
    );
  },
);

onBothProtocols(
  "HEAD keeps the declared length, and gets none that was not declared",
  async ({ start }) => {
    await using up = await nodeUpstream((request, response) => {
      if (request.url === "/known") response.setHeader("content-length", 12345);
      response.end();
    });
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const known = await fixture.ask("HEAD", "/known");
    assertEquals([known.get("content-length"), known.body], ["12345", ""]);
    assertEquals((await fixture.ask("HEAD", "/unknown")).get("content-length"), undefined);
  },
);

onBothProtocols(
  "204 and 304 are forwarded without a body, ranges with their bytes",
  async ({ start }) => {
    await using up = await nodeUpstream((request, response) => {
      if (request.headers.range !== undefined) {
        response.writeHead(206, { "content-range": "bytes 1-2/9", "content-length": 2 }).end("ab");
      } else response.writeHead(Number(request.url!.slice(1)), { etag: '"1"' }).end();
    });
    await using fixture = await start([up.port]);
    await fixture.open(0);
    for (const status of [204, 304]) {
      const answer = await fixture.ask("GET", `/${status}`);
      assertEquals([answer.status, answer.body, answer.get("etag")], [status, "", '"1"']);
    }
    const part = await fixture.ask("GET", "/", ["Range: bytes=1-2"]);
    assertEquals([part.status, part.get("content-range"), part.body], [206, "bytes 1-2/9", "ab"]);
  },
);

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

onBothProtocols(
  "the proxy's own paths are never forwarded, in whatever spelling",
  async ({ start }) => {
    const seen: string[] = [];
    await using up = await nodeUpstream((request, response) => {
      seen.push(request.url!);
      response.end();
    });
    await using fixture = await start([up.port], {
      admin: { fetch: (request) => new Response(`admin ${new URL(request.url).pathname}`) },
    });
    await fixture.open(0);
    assertStringIncludes((await fixture.ask("GET", "/__failover/health")).body, "OK");
    assertStringIncludes(
      (await fixture.ask("GET", "/__failover/state")).body,
      "admin /__failover/state",
    );
    for (
      const path of ["/__failover", "/__failover/x", "/%5f_failover/state", "/__failover/state?a"]
    ) {
      await fixture.ask("GET", path);
    }
    assertEquals(seen, []);
  },
);

onBothProtocols(
  "the health page answers while every other request is held or refused",
  async ({ start }) => {
    await using fixture = await start([refusingPort()]);
    assertEquals((await fixture.ask("GET", "/__failover/health")).status, 200);
    await fixture.gateway.refuse();
    assertEquals((await fixture.ask("GET", "/__failover/health")).status, 200);
  },
);
