/** Special cases of HTTP: what is read leniently, what is never forwarded, and what is refused at once. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { withTestDeadline } from "../harness/test_deadline.ts";
import {
  type GatewayFixture,
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

onBothProtocols(
  "a response head whose lines end in a bare LF is forwarded without them, and the connection is used again",
  async ({ start, protocol }) => {
    const lf = "HTTP/1.1 200 OK\nX-a: 1\nConnection: keep-alive\nContent-Length: 2\nX-B: 2\n\nhi";
    const early = "HTTP/1.1 103 Early Hints\nLink: </a>\n\n";
    await using up = canned(lf, early + lf, "HTTP/1.1 204 None\nX-a: 3\n\n");
    await using fixture = await opened(await start([up.port]));
    const client = await fixture.client();
    const first = await withTestDeadline("an answer", (await client.begin("GET", "/")).answer());
    const spelt = (...lines: string[]) =>
      protocol === "HTTP/2" ? lines.map((line) => line.toLowerCase()) : lines;
    assertEquals(first.lines.slice(0, 2), spelt("X-a: 1", "X-B: 2"));
    assertEquals([first.status, first.body, first.end], [200, "hi", "whole"]);
    const asked = await client.begin("GET", "/");
    const interim = await withTestDeadline("an interim response", asked.head());
    assertEquals([interim.status, interim.lines[0]], [103, spelt("Link")[0] + ": </a>"]);
    const second = await withTestDeadline("an answer", asked.answer());
    assertEquals([second.status, second.body], [200, "hi"]);
    const third = await withTestDeadline("an answer", (await client.begin("GET", "/")).answer());
    assertEquals([third.status, third.lines[0], third.end], [204, spelt("X-a: 3")[0], "whole"]);
    for (const { lines } of [first, interim, second, third]) {
      assert(!/[\r\n]/.test(lines.join("")), JSON.stringify(lines));
    }
    assertEquals(fixture.doubts, []);
  },
);

onBothProtocols(
  "a bare LF in the chunks of a response is malformed, and cuts the response",
  async ({ start, cut }) => {
    const head = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n";
    for (const body of ["2\nhi\r\n0\r\n\r\n", "2\r\nhi\n0\r\n\r\n", "2\r\nhi\r\n0\r\nX: 1\n\r\n"]) {
      await using up = canned(head + body);
      await using fixture = await opened(await start([up.port]));
      const asked = await (await fixture.client()).begin("GET", "/");
      const { end } = await withTestDeadline("the end", asked.answer());
      assertEquals(end, cut, JSON.stringify(body));
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

onBothProtocols(
  "TE: trailers is forwarded with its connection option, and trailers are returned",
  async ({ start, protocol }) => {
    const heads: string[] = [];
    const answer =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\ngrpc-status: 0\r\n\r\n";
    await using up = rawUpstream(async (conn) => {
      for (let head = await readUntil(conn); head !== ""; head = await readUntil(conn)) {
        heads.push(head);
        await sendText(conn, answer);
      }
    });
    await using fixture = await opened(await start([up.port]));
    const client = await fixture.client();
    // HTTP/2 has no other coding there, RFC 9113 section 8.2.2.
    const te = protocol === "HTTP/2" ? "TE: trailers" : "TE: gzip, trailers";
    const { body, trailers } = await (await client.begin("GET", "/", [te])).answer();
    assertEquals([body, trailers], ["hi", ["grpc-status: 0"]]);
    assertStringIncludes(heads[0]!, "\r\nTE: trailers\r\nConnection: TE\r\n");
    assert(!heads[0]!.includes("gzip"));
    await (await client.begin("GET", "/")).answer();
    assert(!/\r\n(te|connection):/i.test(heads[1]!), heads[1]);
  },
);

onBothProtocols(
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
    const [first, ...rest] = lines.slice(0, 3);
    // Names are in lower case in HTTP/2.
    if (first === "x-a: 1") assertEquals(rest, ["location: /x?y", "x-b: 2"]);
    else assertEquals([first, ...rest], ["X-A: 1", "lOcation: /x?y", "X-B: 2"]);
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

onBothProtocols(
  "a field that is malformed in a head is malformed in a trailer, too",
  async ({ start, protocol }) => {
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
      "TE: trailers",
      "Trailer: X-Key",
      "x-key: theirs",
      // Malformed over HTTP/2, as the names below are.
      ...protocol === "HTTP/2" ? [] : ["Keep-Alive: 5"],
    ];
    const ask = async (trailers: string[]) => {
      const client = await fixture.client();
      const asked = await client.begin("POST", "/", [], { hasBody: true });
      await asked.send("hi");
      await asked.end(trailers);
      return await withTestDeadline(trailers.join(), asked.answer());
    };
    const { body } = await ask(["X-Sum: 1", ...bad, "Grpc-Status: 0"]);
    assertMatch(body, /\r\n0\r\nX-Sum: 1\r\nGrpc-Status: 0\r\n\r\n$/i);
    for (
      const name of ["Content-Length: 3", "Transfer-Encoding: chunked", "Host: b", "Connection: x"]
    ) {
      const { status, end } = await ask([name]);
      if (protocol === "HTTP/2") assertEquals([status, end], [0, "reset"], name);
      else assertEquals(status, 400, name);
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

onBothProtocols(
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

onBothProtocols(
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
    const dates = lines.filter((line) => /^date:/i.test(line));
    assertEquals(dates.map((line) => line.toLowerCase()), ["date: yesterday"]);
    const dateOf = async (asking: Promise<{ get(name: string): string | undefined }>) => {
      const date = (await asking).get("date");
      assertMatch(date ?? "", /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/);
    };
    await dateOf(fixture.ask("GET", "/__failover/health"));
    await dateOf(fixture.ask("TRACE", "/"));
    await dateOf(fixture.ask("GET", "/", ["Expect: the unexpected"]));
    await dateOf(fixture.raw("GET / HTTP/1.1\nHost: a\r\n\r\n").then(parsed));
    for (const rank of [1, 2]) {
      await fixture.open(rank);
      await dateOf(fixture.ask("GET", "/"));
    }
    await fixture.gateway.refuse();
    await dateOf(fixture.ask("GET", "/"));
  },
);

onBothProtocols(
  "a request that is refused at once leaves its connection usable",
  async ({ start }) => {
    await using up = mirror();
    const options = { basePath: "/app", pseudonym: "failover-1" };
    await using fixture = await opened(await start([up.port], options));
    const client = await fixture.client();
    const body = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    const asked = [];
    for (
      const [method, path, line] of [
        ["TRACE", "/", "X: y"],
        ["POST", "/../x", "X: y"],
        ["POST", "/", "Via: 1.1 failover-1"],
      ] as const
    ) {
      const length = `Content-Length: ${body.length}`;
      const one = await client.begin(method, path, [line, length], { hasBody: true });
      await one.send(body);
      await one.end();
      asked.push(one);
    }
    asked.push(await client.begin("GET", "/last"));
    const statuses: number[] = [];
    for (const one of asked) {
      const answer = await withTestDeadline("an answer", one.answer());
      statuses.push(answer.status);
      if (answer.status === 405) assertStringIncludes(answer.get("allow")!, "GET");
      if (answer.status === 200) assertStringIncludes(answer.body, "GET /app/last HTTP/1.1\r\n");
      else assertMatch(answer.get("date") ?? "", / GMT$/);
    }
    assertEquals(statuses, [405, 400, 508, 200]);
  },
);

onBothProtocols(
  "Via names the protocol, fields of one hop do not pass, and cookies arrive",
  async ({ start, protocol }) => {
    await using up = mirror();
    await using fixture = await opened(await start([up.port], { pseudonym: "failover-1" }));
    const { body } = await fixture.ask("GET", "/", [
      "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
      "Proxy-Authorization: Basic eA==",
      "Cookie: a=1",
      "X-Between: 1",
      "Cookie: b=2; c=3",
    ]);
    const version = protocol === "HTTP/2" ? "2.0" : "1.1";
    assertStringIncludes(body, `\r\nVia: ${version} failover-1\r\n`);
    assert(!/http2-settings|proxy-authorization|connection|upgrade/i.test(body), body);
    const cookies = [...body.matchAll(/^cookie: (.*)\r$/gim)].map(([, value]) => value);
    // Over HTTP/2 a client may divide them as it likes, RFC 9113 section 8.2.3.
    assertEquals(cookies, protocol === "HTTP/2" ? ["a=1; b=2; c=3"] : ["a=1", "b=2; c=3"]);
    const again = await fixture.ask("GET", "/", ["Via: 1.0 fred, 2.0 edge"]);
    assertStringIncludes(again.body, `\r\nVia: 1.0 fred, 2.0 edge, ${version} failover-1\r\n`);
    assertEquals((await fixture.ask("GET", "/", ["Via: 2.0 failover-1"])).status, 508);
  },
);
