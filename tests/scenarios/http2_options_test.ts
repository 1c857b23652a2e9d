/** Options of HTTP mode that look at requests, clients and time, in the real program over HTTP/2. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Http2Client } from "../gateway/http2_client.ts";
import type { Exchange } from "../gateway/story_client.ts";
import { Folder } from "../harness/folder.ts";
import type { Flags } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";
import { rawWebUpstream, WebUpstream } from "../harness/web_upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

function clientOf({ address }: WebProxy): Promise<Http2Client> {
  return Http2Client.to(address);
}

async function answer(asked: Exchange | Promise<Exchange>) {
  return await withTestDeadline("an answer", (await asked).answer());
}

/** One request on a connection of its own. */
async function ask(
  proxy: WebProxy,
  path: string,
  { method = "GET", lines = [], body }: {
    readonly method?: string;
    readonly lines?: readonly string[];
    readonly body?: string;
  } = {},
) {
  const client = await clientOf(proxy);
  const asked = await client.begin(method, path, lines, { hasBody: body !== undefined });
  if (body !== undefined) {
    await asked.send(body);
    await asked.end();
  }
  const got = await answer(asked);
  client.conn.close();
  return got;
}

/** The fields of a request as its upstream got them, by their names in lower case. */
function echoed(body: string): Map<string, string> {
  const { headers } = JSON.parse(body) as { headers: string[] };
  return new Map(
    Array.from({ length: headers.length / 2 }, (_, i) => [
      headers[2 * i]!.toLowerCase(),
      headers[2 * i + 1]!,
    ]),
  );
}

/** The lines of a JSON access log, as soon as there are `count`, by their time: each thread writes its own. */
async function logOf(folder: Folder, count: number) {
  const lines = (text: string) => text.split("\n").slice(0, -1);
  await folder.reads("access.log", (text) => lines(text).length >= count);
  const found = lines(await folder.read("access.log")).map((line) => JSON.parse(line));
  return found.sort((a, b) => Date.parse(a.time) - Date.parse(b.time));
}

function logged(folder: Folder, more: Flags): Flags {
  const log = { "access-log": folder.at("access.log"), "access-log-format": "json" };
  return { h2c: true, ...log, ...more };
}

scenario(
  "over HTTP/2, ids, trusted proxies, hosts and the access log are as over HTTP/1.1",
  async ({ relay }) => {
    await using folder = await Folder.make();
    await using primary = await WebUpstream.start("primary");
    const flags = logged(folder, {
      relay,
      "request-id": true,
      "trusted-proxies": "127.0.0.1",
      "preserve-host": true,
      "no-failover-header": true,
      "max-body": "10",
    });
    await using proxy = await startWebProxy({ primary, flags });
    const lines = [
      "X-Request-Id: my-id",
      "X-Forwarded-For: 203.0.113.7",
      "X-Forwarded-Proto: https",
      "User-Agent: test/2",
      "Host: site.example:8080",
    ];
    const first = await ask(proxy, "/echo?q=1", { method: "POST", lines, body: "12345" });
    const fields = echoed(first.body);
    assertEquals([first.status, first.get("x-request-id"), first.get("failover")], [
      200,
      "my-id",
      undefined,
    ]);
    assertEquals(
      ["host", "x-request-id", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]
        .map((name) => fields.get(name)),
      ["site.example:8080", "my-id", "203.0.113.7, 127.0.0.1", "https", "site.example:8080"],
    );
    assertMatch(fields.get("via")!, /^2\.0 /);
    const given = (await ask(proxy, "/", { method: "HEAD", lines: ["X-Request-Id: {}"] }))
      .get("x-request-id")!;
    assertMatch(given, /^[\w-]{8,}$/);
    await ask(proxy, "/__failover/health");
    const large = await ask(proxy, "/echo", { method: "POST", body: "longer than that" });
    assertEquals(large.status, 413);
    const bad = await ask(proxy, "/", { lines: ["Expect: the unexpected"] });
    assertEquals(bad.status, 417);
    const log = await logOf(folder, 5);
    assertEquals(log.map((line) => [line.method, line.target, line.status, line.outcome]), [
      ["POST", "/echo?q=1", 200, "done"],
      ["HEAD", "/", 200, "done"],
      ["GET", "/__failover/health", 200, "done"],
      ["POST", "/echo", 413, "body-too-large"],
      [null, null, 417, "expectation-unknown"],
    ]);
    const [echo, head, own] = log;
    assertEquals(
      [echo.client, echo.peer, echo.request_id, echo.user_agent, echo.host, echo.upstream],
      ["203.0.113.7", "127.0.0.1", "my-id", "test/2", "site.example:8080", primary.url],
    );
    assertEquals([echo.protocol, echo.scheme, echo.request_bytes, echo.attempts], [
      "HTTP/2.0",
      "http",
      5,
      1,
    ]);
    assertEquals([echo.bytes, head.bytes, own.bytes], [first.body.length, 0, 2]);
    assertEquals(head.request_id, given);
    assert(echo.total_ms >= echo.first_byte_ms && echo.first_byte_ms > 0);
    await proxy.event("request.refused", { status: 417, client: "127.0.0.1" });
  },
);

scenario(
  "over HTTP/2, a response that was cut is reset, and logged as far as it came",
  async ({ relay }) => {
    await using folder = await Folder.make();
    const says = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this";
    await using cutting = await rawWebUpstream({ "/cut": { says, reset: true } });
    await using proxy = await startWebProxy({
      primary: cutting,
      flags: logged(folder, { relay }),
    });
    const cut = await ask(proxy, "/cut");
    assertEquals([cut.status, cut.body, cut.end], [200, "only this", "reset"]);
    const [line] = await logOf(folder, 1);
    assertEquals([line.status, line.bytes, line.outcome], [200, 9, "upstream-reset"]);
  },
);

scenario(
  "over HTTP/2, who left and who was held is logged, and of --hold-clients streams are counted",
  async ({ relay }) => {
    await using folder = await Folder.make();
    await using primary = await WebUpstream.start("primary");
    const flags = logged(folder, { relay, "hold-clients": "1" });
    await using proxy = await startWebProxy({ primary, flags });
    const client = await clientOf(proxy);
    const waiting = await client.begin("GET", "/wait");
    await primary.isWaiting();
    await waiting.leave();
    const [left] = await logOf(folder, 1);
    assertEquals([left.target, left.status, left.bytes], ["/wait", 499, 0]);
    assertEquals((await answer(client.begin("GET", "/"))).body, "primary");
    await primary.kill();
    await proxy.event("upstream.down");
    const held = await client.begin("GET", "/held");
    await proxy.event("clients.held");
    const beyond = await answer(client.begin("GET", "/beyond"));
    assertEquals([beyond.status, beyond.get("retry-after")], [503, "5"]);
    await primary.restart();
    assertEquals((await answer(held)).body, "primary");
    const line = (await logOf(folder, 4)).find(({ target }) => target === "/held");
    assert(line.held_ms > 0 && line.held_ms <= line.total_ms, JSON.stringify(line));
    client.conn.close();
  },
);

scenario(
  "over HTTP/2, bodies have their limits in size and time, and a client must take its response",
  async ({ relay }) => {
    await using folder = await Folder.make();
    await using primary = await WebUpstream.start("primary");
    const flags = logged(folder, {
      relay,
      "max-body": "10",
      // A busy machine must not make the clients late that are not to be.
      "body-timeout": "4s",
      "write-timeout": "4s",
      "max-head": "1KB",
    });
    await using proxy = await startWebProxy({ primary, flags });
    const client = await clientOf(proxy);
    const declared = await client.begin("POST", "/echo", ["Content-Length: 11"], { hasBody: true });
    assertEquals((await answer(declared)).status, 413);
    const growing = await client.begin("POST", "/echo", [], { hasBody: true });
    await growing.send("0123456789");
    await growing.send("x");
    assertEquals((await answer(growing)).status, 413);
    const large = client.begin("GET", "/", [`X: ${"x".repeat(2_000)}`]);
    assertEquals((await answer(large)).status, 431);
    // Two streams of one connection that come to their ends by time, and one that does not.
    const stopping = await client.begin("POST", "/echo", ["Content-Length: 9"], { hasBody: true });
    await stopping.send("only");
    const stuck = await clientOf(proxy);
    // Nobody reads from this one, so that no window is opened.
    await stuck.begin("GET", "/download?bytes=5000000");
    assertEquals((await answer(stopping)).status, 408);
    assertEquals((await answer(client.begin("GET", "/"))).body, "primary");
    const log = await logOf(folder, 6);
    const outcomes = log.map((line) => `${line.status} ${line.outcome}`).sort();
    assertEquals(outcomes, [
      "200 done",
      "200 slow-reader",
      "408 request-timeout",
      "413 body-too-large",
      "413 body-too-large",
      "431 head-too-large",
    ]);
    for (const { conn } of [client, stuck]) conn.close();
  },
);

scenario(
  "over HTTP/2, a request that has waited for --hold gets 503, --error-page and Retry-After",
  async ({ relay }) => {
    await using folder = await Folder.make();
    const page = await folder.write("page.html", "<p>our page</p>");
    const primary = { url: `http://127.0.0.1:${unusedPort()}` };
    const flags = { relay, h2c: true, hold: "300ms", "error-page": page } as const;
    await using proxy = await startWebProxy({ primary, flags }, "selection.failed");
    const client = await clientOf(proxy);
    const late = await answer(client.begin("GET", "/"));
    assertEquals([late.status, late.body], [503, "<p>our page</p>"]);
    assertEquals(late.get("retry-after"), "5");
    assertMatch(late.get("content-type")!, /^text\/html/);
    const head = await answer(client.begin("HEAD", "/"));
    assertEquals([head.status, head.body, head.get("content-length")], [503, "", "15"]);
    assertEquals((await answer(client.begin("GET", "/__failover/health"))).body, "OK");
    client.conn.close();
  },
);

scenario(
  "over HTTP/2, connections at --max-connections give way if they are idle, and others wait if they are not",
  async ({ relay }) => {
    await using primary = await WebUpstream.start("primary");
    const flags = { relay, h2c: true, "max-connections": "2" } as const;
    await using proxy = await startWebProxy({ primary, flags });
    const idle = [await clientOf(proxy), await clientOf(proxy)];
    for (const client of idle) assertEquals((await answer(client.begin("GET", "/"))).status, 200);
    for (let i = 0; i < 4; i++) {
      assertEquals((await ask(proxy, "/__failover/health")).body, "OK");
      assertEquals((await ask(proxy, "/")).body, "primary");
    }
    await proxy.event("limit.reached", { limit: "connections", max: 2 });
    const busy: Exchange[] = [];
    const clients = [await clientOf(proxy), await clientOf(proxy)];
    for (const client of clients) {
      busy.push(await client.begin("GET", "/wait"));
      await primary.isWaiting();
    }
    for (const path of ["/__failover/health", "/__failover/state", "/__failover/metrics"]) {
      assertEquals((await ask(proxy, path)).status, 200, path);
    }
    const waiting = ask(proxy, "/");
    assertEquals((await ask(proxy, "/__failover/health")).body, "OK");
    await primary.ask("/release");
    assertEquals((await waiting).body, "primary");
    for (const one of busy) assertEquals((await answer(one)).body, "primary");
    for (const { conn } of [...idle, ...clients]) conn.close();
  },
);
