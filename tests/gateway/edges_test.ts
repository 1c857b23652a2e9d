/** Special cases of HTTP: what is read leniently, what is never forwarded, and what is refused at once. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { connect, type IncomingHttpHeaders, type IncomingHttpStatusHeader } from "node:http2";
import { tlsTest } from "./certificate.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import {
  GatewayFixture,
  nodeUpstream,
  parsed,
  rawUpstream,
  readAllText,
  readUntil,
  type RunningServer,
  sendText,
} from "./gateway_fixture.ts";
import { onBothProtocols, onBothSockets } from "./both_sockets.ts";
import { mirror } from "./mirror.ts";

/** An upstream that answers each request on a connection with the next of `answers`. */
function canned(...answers: readonly string[]): RunningServer {
  return rawUpstream(async (conn) => {
    for (const answer of answers) {
      if (await readUntil(conn) === "") return;
      await sendText(conn, answer);
    }
    await readAllText(conn);
  });
}

async function opened(fixture: GatewayFixture): Promise<GatewayFixture> {
  await fixture.open(0);
  return fixture;
}

onBothSockets(
  "a response head whose lines end in a bare LF is forwarded with CRLF, and the connection is used again",
  async ({ start }) => {
    const lf = "HTTP/1.1 200 OK\nX-a: 1\nConnection: keep-alive\nContent-Length: 2\nX-B: 2\n\nhi";
    const early = "HTTP/1.1 103 Early Hints\nLink: </a>\n\n";
    await using up = canned(lf, early + lf, "HTTP/1.1 204 None\nX-a: 3\n\n");
    await using fixture = await opened(await start([up.port]));
    const conn = await fixture.connect();
    const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    await sendText(conn, get);
    const first = await withTestDeadline("an answer", readUntil(conn, "hi"));
    assertMatch(first, /^HTTP\/1\.1 200 OK\r\nX-a: 1\r\nX-B: 2\r\nVia: /);
    assert(!/[^\r]\n/.test(first), JSON.stringify(first));
    await sendText(conn, get);
    const second = await withTestDeadline("an answer", readUntil(conn, "hi"));
    assertMatch(
      second,
      /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a>\r\nVia: .*\r\n\r\nHTTP\/1\.1 200 OK\r\n/,
    );
    await sendText(conn, get);
    assertMatch(
      await withTestDeadline("an answer", readUntil(conn)),
      /^HTTP\/1\.1 204 None\r\nX-a: 3\r\n/,
    );
    assertEquals(fixture.doubts, []);
  },
);

onBothSockets(
  "a bare LF in the chunks of a response is malformed, and cuts the response",
  async ({ start }) => {
    const head = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n";
    for (const body of ["2\nhi\r\n0\r\n\r\n", "2\r\nhi\n0\r\n\r\n", "2\r\nhi\r\n0\r\nX: 1\n\r\n"]) {
      await using up = canned(head + body);
      await using fixture = await opened(await start([up.port]));
      const conn = await fixture.connect();
      await sendText(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      const text = await readAllText(conn).catch((error) => String(error));
      assert(!text.endsWith("0\r\n\r\n"), JSON.stringify([body, text]));
    }
  },
);

onBothSockets(
  "Upgrade: h2c and HTTP2-Settings are not forwarded; another protocol beside them is",
  async ({ start }) => {
    await using up = mirror();
    await using fixture = await opened(await start([up.port]));
    const ask = async (offer: string) => {
      const connection = "Connection: close, Upgrade, HTTP2-Settings";
      const lines = [`Upgrade: ${offer}`, "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"];
      return parsed(
        await fixture.raw(
          `GET / HTTP/1.1\r\nHost: a\r\n${connection}\r\n${lines.join("\r\n")}\r\n\r\n`,
        ),
      ).body;
    };
    const plain = await ask("h2c");
    assert(!/upgrade|http2-settings|h2c|connection/i.test(plain), plain);
    const other = await ask("h2c, foo/2");
    assertStringIncludes(other, "\r\nUpgrade: foo/2\r\n");
    assertStringIncludes(other, "\r\nConnection: upgrade\r\n");
    assert(!/h2c|http2-settings/i.test(other), other);
  },
);

onBothSockets(
  "TE: trailers is forwarded with its connection option, and trailers are returned",
  async ({ start }) => {
    const heads: string[] = [];
    await using up = rawUpstream(async (conn) => {
      heads.push(await readUntil(conn));
      const answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\ngrpc-status: 0\r\n\r\n";
      await sendText(conn, answer);
    });
    await using fixture = await opened(await start([up.port]));
    const answer = await fixture.ask("POST", "/", ["TE: gzip, trailers"], "x");
    assertStringIncludes(answer.body, "grpc-status: 0\r\n");
    assertStringIncludes(heads[0]!, "\r\nTE: trailers\r\nConnection: TE\r\n");
    assert(!heads[0]!.includes("gzip"));
  },
);

onBothSockets(
  "a redirect keeps its position among the headers and its spelling",
  async ({ start }) => {
    await using up = rawUpstream(async (conn) => {
      const { port } = up;
      await readUntil(conn);
      await sendText(
        conn,
        `HTTP/1.1 302 Found\r\nX-A: 1\r\nlOcation: http://127.0.0.1:${port}/app/x?y\r\nX-B: 2\r\n` +
          "Content-Length: 0\r\n\r\n",
      );
    });
    await using fixture = await opened(await start([up.port], { basePath: "/app" }));
    const { lines } = await fixture.ask("GET", "/");
    assertEquals(lines.slice(0, 3), ["X-A: 1", "lOcation: /x?y", "X-B: 2"]);
  },
);

onBothProtocols(
  "no path leads out of the base path, for which the configured credentials are sent",
  async ({ start }) => {
    await using up = mirror();
    const headers = [["Authorization", "Basic c2VjcmV0"]] as const;
    {
      await using fixture = await opened(await start([up.port], { basePath: "/app", headers }));
      for (
        const path of ["/../x", "/a/../../x", "/%2e%2e/x", "/a/..%2f..%2fx", "/..;/x", "/.%2E\\x"]
      ) {
        const { status, body } = await fixture.ask("GET", path);
        assertEquals([status, body], [400, "malformed request\n"], path);
      }
      assertEquals((await fixture.ask("GET", "http://front.test/../x")).status, 400);
      assertStringIncludes(
        (await fixture.ask("GET", "/a/../b?/../..")).body,
        "GET /app/a/../b?/../.. HTTP",
      );
      assertEquals(fixture.doubts, []);
    }
    await using fixture = await opened(await start([up.port], { headers }));
    assertStringIncludes(
      (await fixture.ask("GET", "/../%2e%2e/x")).body,
      "GET /../%2e%2e/x HTTP/1.1\r\n",
    );
  },
);

onBothProtocols("TRACE is refused, unless it is allowed", async ({ start }) => {
  await using up = mirror();
  const headers = [["X-Key", "secret"]] as const;
  {
    await using fixture = await opened(await start([up.port], { headers }));
    const answer = await fixture.ask("TRACE", "/");
    assertEquals(answer.status, 405);
    assertStringIncludes(answer.get("allow")!, "GET");
    assert(!answer.body.includes("secret"));
  }
  await using fixture = await opened(await start([up.port], { headers, allowTrace: true }));
  assertStringIncludes((await fixture.ask("TRACE", "/")).body, "TRACE / HTTP/1.1\r\n");
});

onBothProtocols(
  "TRACE and TRACK of our own paths are refused too, and are no bug of the proxy",
  async ({ start }) => {
    await using up = mirror();
    await using fixture = await opened(await start([up.port]));
    for (const method of ["TRACE", "TRACK"]) {
      assertEquals((await fixture.ask(method, "/__failover/health")).status, 405, method);
    }
    assertEquals(fixture.events.filter(({ type }) => type === "proxy.faulted"), []);
  },
);

onBothSockets(
  "a field that is malformed in a head is malformed in a trailer, too",
  async ({ start }) => {
    await using up = mirror();
    await using fixture = await opened(await start([up.port], { headers: [["X-Key", "ours"]] }));
    const bad = [
      "X-Forwarded-For: 10.0.0.1",
      "x-forwarded-port: 1",
      "Forwarded: for=10.0.0.1",
      "Via: 1.1 a",
      "Authorization: Basic eA==",
      "Proxy-Authorization: s",
      "Cookie: a=1",
      "Keep-Alive: 5",
      "TE: trailers",
      "Trailer: X-Key",
      "x-key: theirs",
    ];
    const trailers = ["X-Sum: 1", ...bad, "Grpc-Status: 0"].join("\r\n");
    const chunked = ["Transfer-Encoding: chunked"];
    const { body } = await fixture.ask("POST", "/", chunked, `2\r\nhi\r\n0\r\n${trailers}\r\n\r\n`);
    assertMatch(body, /\r\n0\r\nX-Sum: 1\r\nGrpc-Status: 0\r\n\r\n$/);
    for (
      const name of ["Content-Length: 3", "Transfer-Encoding: chunked", "Host: b", "Connection: x"]
    ) {
      const refused = await fixture.ask("POST", "/", chunked, `2\r\nhi\r\n0\r\n${name}\r\n\r\n`);
      assertEquals(refused.status, 400, name);
    }
  },
);

onBothProtocols(
  "a request that loops back to the proxy is answered 508, and reported once",
  async ({ start }) => {
    await using other = await nodeUpstream((_, response) => response.end("other"));
    await using fixture = await start([other.port], { pseudonym: "failover-abc" });
    await fixture.open(0);
    const loop = ["Via: 1.1 edge, 1.1 failover-abc"];
    for (let i = 0; i < 3; i++) assertEquals((await fixture.ask("GET", "/", loop)).status, 508);
    assertEquals(fixture.events.filter(({ type }) => type === "config.warned").length, 1);
    const pass = await fixture.ask("GET", "/", ["Via: 1.1 failover-abd"]);
    assertEquals([pass.status, pass.get("via")], [200, "1.1 failover-abc"]);
    assertEquals((await fixture.ask("GET", "/__failover/health", loop)).status, 200);
  },
);

onBothSockets(
  "an upstream that leads back to the proxy is answered 508 after one loop",
  async ({ start }) => {
    const laps: string[] = [];
    await using circle = rawUpstream(async (conn) => {
      laps.push(await readUntil(conn));
      const again = await fixture.connect();
      await sendText(again, laps.at(-1)!);
      await sendText(conn, await readUntil(again, "sent it\n"));
    });
    await using fixture = await start([circle.port], { pseudonym: "failover-1" });
    await fixture.open(0);
    assertEquals((await withTestDeadline("an end", fixture.ask("GET", "/"))).status, 508);
    assertEquals(laps.length, 1);
  },
);

onBothProtocols("one service behind another is not a loop", async ({ start }) => {
  await using end = await nodeUpstream((_, response) => response.end("end"));
  await using back = await opened(await start([end.port], { pseudonym: "failover-back" }));
  await using front = await opened(await start([back.port], { pseudonym: "failover-front" }));
  const answer = await front.ask("GET", "/");
  assertEquals([answer.status, answer.body.includes("end")], [200, true]);
});

onBothSockets(
  "the proxy's own answers have a Date, a response of an upstream keeps its own, or gets one",
  async ({ start }) => {
    await using up = canned("HTTP/1.1 200 OK\r\nDate: yesterday\r\nContent-Length: 0\r\n\r\n");
    await using undated = canned("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    await using fixture = await opened(
      await start([up.port, undated.port], {
        backup: () => Promise.resolve(new Response("static")),
      }),
    );
    const { lines } = await fixture.ask("GET", "/");
    assertEquals(lines.filter((line) => /^date:/i.test(line)), ["Date: yesterday"]);
    const dateOf = async (asking: Promise<{ get(name: string): string | undefined }>) => {
      const date = (await asking).get("date");
      assertMatch(date ?? "", /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/);
    };
    await dateOf(fixture.ask("GET", "/__failover/health"));
    await dateOf(fixture.ask("TRACE", "/"));
    await dateOf(fixture.raw("GET / HTTP/1.1\nHost: a\r\n\r\n").then(parsed));
    for (const rank of [1, 2]) {
      await fixture.open(rank);
      await dateOf(fixture.ask("GET", "/"));
    }
    await fixture.gateway.refuse();
    await dateOf(fixture.ask("GET", "/"));
  },
);

onBothSockets(
  "a request that is refused at once leaves its connection usable",
  async ({ start }) => {
    await using up = mirror();
    const options = { basePath: "/app", pseudonym: "failover-1" };
    await using fixture = await opened(await start([up.port], options));
    const body = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    const post = (target: string, line = "X: y") =>
      `POST ${target} HTTP/1.1\r\nHost: a\r\n${line}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const answer = await fixture.raw([
      post("/").replace("POST", "TRACE"),
      post("/../x"),
      post("/", "Via: 1.1 failover-1"),
      "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ].join(""));
    const statuses = [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status);
    assertEquals(statuses, ["405", "400", "508", "200"]);
    assertStringIncludes(answer, "GET /app/last HTTP/1.1\r\n");
  },
);

tlsTest("over HTTP/2 the same requests are refused at once", async (tls) => {
  await using up = mirror();
  await using fixture = await GatewayFixture.start([up.port], {
    tls,
    basePath: "/app",
    pseudonym: "failover-1",
  });
  await fixture.open(0);
  const session = connect(`https://localhost:${fixture.port}`, { ca: tls.cert });
  const ask = (headers: Record<string, string>) => {
    const answer = Promise.withResolvers<IncomingHttpHeaders & IncomingHttpStatusHeader>();
    const request = session.request({ ":path": "/", ...headers });
    request.on("response", answer.resolve);
    request.on("error", answer.reject);
    request.resume();
    request.end();
    return withTestDeadline(JSON.stringify(headers), answer.promise);
  };
  assertEquals((await ask({}))[":status"], 200);
  assertEquals((await ask({ ":path": "/a/%2e%2e/../x" }))[":status"], 400);
  assertEquals((await ask({ via: "1.1 failover-1" }))[":status"], 508);
  const trace = await ask({ ":method": "TRACE" });
  assertEquals(trace[":status"], 405);
  assertStringIncludes(String(trace.allow), "GET");
  assertMatch(String(trace.date), / GMT$/);
  const closed = new Promise<void>((resolve) => session.close(resolve));
  await withTestDeadline("the end of the session", closed);
});
