/** HTTP mode when upstreams fail, return, or are missing: what clients get. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { scenario, testWithPrograms } from "../harness/scenario.ts";
import { refusingUpstream } from "../harness/upstream.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { Nginx, rawWebUpstream, WebUpstream } from "../harness/web_upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** A frozen primary is given up after that; nothing else here depends on it. */
const FROZEN = { "check-timeout": "3s", "fail-threshold": "2" };

scenario("a request that waits for a frozen primary is answered by the backup", async (relay) => {
  await using primary = await WebUpstream.start("primary");
  await using backup = await WebUpstream.start("backup");
  const flags = { ...relay, ...FROZEN };
  await using proxy = await startWebProxy({ primary, backups: [backup], flags });
  assertEquals((await proxy.get("/")).text, "primary");

  await primary.freeze();
  const reply = await proxy.get("/");

  assertEquals([reply.status, reply.text], [200, "backup"]);
  assertStringIncludes(reply.headers.get("failover")!, "upstream=backup; attempt=2; reason=");
});

scenario(
  "an unsafe request that a frozen primary may have received is not sent to the backup",
  async (relay) => {
    await using folder = await Folder.make();
    const requestLog = await folder.write("requests.log", "");
    await using primary = await WebUpstream.start("primary", requestLog);
    await using backup = await WebUpstream.start("backup", requestLog);
    const flags = { ...relay, ...FROZEN };
    await using proxy = await startWebProxy({ primary, backups: [backup], flags });

    await primary.freeze();
    const sent = { method: "POST", target: "/echo", lines: ["X-Request-Id: 1"], body: "once" };
    const reply = await proxy.request(sent);
    assert(reply.status === 502 || reply.status === 504, `status ${reply.status}`);
    primary.thaw();
    await primary.ask("/");

    const delivered = (await folder.read("requests.log")).match(/^POST 1$/gm) ?? [];
    assert(delivered.length <= 1, `delivered ${delivered.length} times`);
    assertMatch(reply.headers.get("failover")!, /^upstream=none; attempt=1; reason=/);
  },
);

testWithPrograms(
  "with nginx as both upstreams the backup serves, and then the primary again",
  ["nginx"],
  async () => {
    await using primary = await Nginx.start("primary");
    await using backup = await Nginx.start("backup");
    await using proxy = await startWebProxy({ primary, backups: [backup] });
    assertEquals((await proxy.get("/")).text, "primary");

    await primary.kill();
    assertEquals((await proxy.get("/")).text, "backup");
    const moved = await proxy.event("promotion.finished", { move: "failover" });
    await primary.restart();
    await proxy.event("promotion.finished", { move: "failback" }, moved);
    assertEquals((await proxy.get("/")).text, "primary");
  },
);

testWithPrograms(
  "nginx's compressed bodies, ranges and validators are forwarded unchanged",
  ["nginx"],
  async () => {
    await using primary = await Nginx.start("primary");
    await using proxy = await startWebProxy({ primary });
    const whole = await proxy.get("/large.txt");
    const etag = whole.headers.get("etag")!;
    assertEquals([whole.text.length, whole.headers.get("content-length")], [100_000, "100000"]);
    const part = await proxy.get("/large.txt", ["Range: bytes=10-14"]);
    assertEquals([part.status, part.text], [206, "01234"]);
    assertEquals(part.headers.get("content-range"), "bytes 10-14/100000");
    const same = await proxy.get("/large.txt", [`If-None-Match: ${etag}`]);
    assertEquals([same.status, same.text], [304, ""]);
    const zipped = await proxy.get("/large.txt", ["Accept-Encoding: gzip"]);
    assertEquals(zipped.headers.get("content-encoding"), "gzip");
    const head = await proxy.request({ method: "HEAD", target: "/large.txt" });
    assertEquals([head.status, head.headers.get("content-length")], [200, "100000"]);
  },
);

Deno.test("the first usable --backup in order is chosen", async () => {
  await using second = await WebUpstream.start("second");
  await using third = await WebUpstream.start("third");
  const primary = { url: `http://${refusingUpstream().name}` };
  await using proxy = await startWebProxy({ primary, backups: [second, third] });
  assertEquals((await proxy.get("/")).text, "second");
  await second.kill();
  assertEquals((await proxy.get("/")).text, "third");
  const state = await proxy.event("promotion.finished", { to: third.url });
  await second.restart();
  await proxy.event("promotion.finished", { move: "failback", to: second.url }, state);
  assertEquals((await proxy.get("/")).text, "second");
});

scenario("--backup file:// serves a folder while the primary is down", async (relay) => {
  await using folder = await Folder.make();
  await folder.write("index.html", "<h1>static</h1>");
  await using primary = await WebUpstream.start("primary");
  const backups = [`file://${folder.path}`];
  await using proxy = await startWebProxy({ primary, backups, flags: relay });
  assertEquals((await proxy.get("/")).text, "primary");

  await primary.kill();
  const reply = await proxy.get("/");
  assertEquals([reply.status, reply.text], [200, "<h1>static</h1>"]);
  assertMatch(reply.headers.get("content-type")!, /^text\/html/);
  assertEquals((await proxy.get("/missing")).status, 404);
  const unsafe = await proxy.request({ method: "POST", target: "/", body: "x" });
  assertEquals(unsafe.status, 503);
  assert(Number(unsafe.headers.get("retry-after")) > 0);
});

Deno.test("--backup page: answers everything with one page and 503", async () => {
  await using folder = await Folder.make();
  const page = await folder.write("sorry.html", "<h1>sorry</h1>");
  await using primary = await WebUpstream.start("primary");
  await using proxy = await startWebProxy({ primary, backups: [`page:${page}`] });
  await primary.kill();
  for (const target of ["/", "/any/path"]) {
    const reply = await proxy.get(target);
    assertEquals([reply.status, reply.text], [503, "<h1>sorry</h1>"]);
    assert(Number(reply.headers.get("retry-after")) > 0);
  }
});

scenario(
  "a request that finds no upstream waits, and is served by the first that comes up",
  async (relay) => {
    await using primary = await WebUpstream.start("primary");
    await using proxy = await startWebProxy({ primary, flags: { hold: "1m", ...relay } });
    await primary.kill();
    await proxy.event("upstream.down");

    const reply = proxy.get("/");
    await primary.restart();

    assertEquals((await reply).text, "primary");
  },
);

Deno.test("a request that has waited for --hold gets 503, --error-page and Retry-After", async () => {
  await using folder = await Folder.make();
  const page = await folder.write("away.html", "<h1>away</h1>");
  const primary = { url: `http://${refusingUpstream().name}` };
  const flags = { "hold": "300ms", "error-page": page };
  await using proxy = await startWebProxy({ primary, flags }, "selection.failed");
  const reply = await proxy.get("/");
  assertEquals([reply.status, reply.text], [503, "<h1>away</h1>"]);
  assertMatch(reply.headers.get("content-type")!, /^text\/html/);
  assert(Number(reply.headers.get("retry-after")) > 0);
});

Deno.test("--admin removes the state from the main port, and keeps health there", async () => {
  await using primary = await WebUpstream.start("primary");
  await using backup = await WebUpstream.start("backup");
  const admin = `127.0.0.1:${unusedPort()}`;
  await using proxy = await startWebProxy({
    primary,
    backups: [backup],
    flags: { admin, "public-state": "off" },
  });
  const get = async (path: string) =>
    await (await fetch(`http://${admin}/__failover${path}`)).text();
  assertEquals(JSON.parse(await get("/state")).active, primary.url);
  assertMatch(await get("/metrics"), /^failover_epoch\{service="http"\} 1$/m);
  assertEquals((await proxy.get("/__failover/state")).status, 404);
  assertEquals((await proxy.get("/__failover/health")).text, "OK");
});

Deno.test("a webhook receives the failover and the recovery", async () => {
  const reported: Record<string, unknown>[] = [];
  let news = Promise.withResolvers<void>();
  await using receiver = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      reported.push(await request.json());
      news.resolve();
      news = Promise.withResolvers();
      return new Response();
    },
  );
  const heard = async (kind: string) => {
    while (!reported.some((each) => each.kind === kind)) await news.promise;
    return reported.find((each) => each.kind === kind)!;
  };
  await using primary = await WebUpstream.start("primary");
  await using backup = await WebUpstream.start("backup");
  const flags = {
    "webhook-url": `http://127.0.0.1:${receiver.addr.port}/hush`,
    "webhook-format": "json",
  };
  await using proxy = await startWebProxy({ primary, backups: [backup], flags });
  await primary.kill();
  const failover = await withTestDeadline(
    "the notice of the failover",
    heard("failover"),
    proxy.lastLines,
  );
  assertEquals([failover.from, failover.to], [primary.url, backup.url]);
  await primary.restart();
  const recovery = await withTestDeadline(
    "the notice of the recovery",
    heard("recovery"),
    proxy.lastLines,
  );
  assertEquals(recovery.to, primary.url);
  assert(!proxy.log.join("\n").includes("hush"));
});

scenario(
  "SIGTERM lets a running exchange end with Connection: close, and accepts no more",
  async (relay) => {
    await using primary = await WebUpstream.start("primary");
    await using proxy = await startWebProxy({
      primary,
      flags: { "drain-timeout": "1m", ...relay },
    });
    const idle = await proxy.open();
    await idle.send({ target: "/" });
    await idle.reply();
    const busy = await proxy.open();
    const isWaiting = primary.isWaiting();
    await busy.send({ target: "/wait" });
    await isWaiting;

    proxy.signal("SIGTERM");
    assertEquals(await withTestDeadline("the idle connection to end", idle.conn.line()), undefined);
    await proxy.event("port.closed");
    await primary.ask("/release");

    const reply = await withTestDeadline("the running exchange", busy.reply());
    assertEquals([reply.text, reply.headers.get("connection")], ["primary", "close"]);
    assertEquals((await withTestDeadline("the end", proxy.ended, proxy.lastLines)).code, 0);
    idle.close();
    busy.close();
  },
);

scenario(
  "--drain-timeout ends exchanges that do not end by themselves, also a half-closed upgrade",
  async (relay) => {
    await using primary = await WebUpstream.start("primary");
    await using proxy = await startWebProxy({
      primary,
      flags: { "drain-timeout": "200ms", ...relay },
    });
    const waiting = await proxy.open();
    const isWaiting = primary.isWaiting();
    await waiting.send({ target: "/wait" });
    await isWaiting;
    const upgraded = await proxy.open();
    const lines = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x"];
    await upgraded.send({ target: "/socket", lines });
    assertEquals((await upgraded.head()).status, 101);
    await upgraded.conn.closeWrite();

    assertEquals(await proxy.stop(), 0);
    assertEquals(proxy.events("proxy.stopped").map((each) => each.cutSessions), [2]);
    waiting.close();
    upgraded.close();
  },
);

scenario(
  "an invalid response of an upstream becomes a 502, or is cut",
  async (relay) => {
    const ok = "HTTP/1.1 200 OK\r\n";
    await using primary = await rawWebUpstream({
      "/silent": { says: "" },
      "/garbage": { says: "SSH-2.0-OpenSSH_9.2\r\n\r\n" },
      "/two-lengths": { says: `${ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy` },
      "/both-framings": { says: `${ok}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx` },
      "/endless-head": { says: `${ok}X: ${"x".repeat(300_000)}` },
      "/folded": { says: `${ok}X: a\r\n b\r\nContent-Length: 0\r\n\r\n` },
      "/short": { says: `${ok}Content-Length: 10\r\n\r\nshort` },
      "/reset": { says: `${ok}Content-Length: 10\r\n\r\nshort`, reset: true },
      "/cut-chunk": { says: `${ok}Transfer-Encoding: chunked\r\n\r\nff\r\nshort` },
    });
    await using proxy = await startWebProxy({ primary, flags: relay });
    for (
      const target of [
        "silent",
        "garbage",
        "two-lengths",
        "both-framings",
        "endless-head",
        "folded",
      ]
    ) {
      const reply = await proxy.request({ method: "POST", target: `/${target}`, body: "x" });
      assertEquals([target, reply.status], [target, 502]);
    }
    for (const target of ["short", "reset", "cut-chunk"]) {
      const connection = await proxy.open();
      await connection.send({ target: `/${target}` });
      assertEquals((await connection.head()).status, 200);
      // An orderly end here would make half a body look complete.
      const rest = await withTestDeadline("the cut", connection.conn.rest().catch(() => "reset"));
      assert(!rest.includes("\r\n0\r\n"), `${target}: ${rest}`);
      connection.close();
    }
    assertEquals((await proxy.get("/")).text, "fine");
    assertEquals(proxy.events("upstream.down"), []);
  },
);
