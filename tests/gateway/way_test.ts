/** What the gateway forwards unchanged, and what it changes: targets, fields and short bodies. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import {
  nodeUpstream,
  parsed,
  rawUpstream,
  readUntil,
  refusingPort,
  sendText,
} from "./gateway_fixture.ts";
import { onBothProtocols, onBothSockets } from "./both_sockets.ts";
import { mirror } from "./mirror.ts";

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
