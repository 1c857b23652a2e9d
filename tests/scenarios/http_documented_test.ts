/**
 * The documented behaviour of HTTP mode, with the real program; `deno task verify` runs
 * these tests. Primary and backup are different servers, so that a failover can be seen.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Folder } from "../harness/folder.ts";
import { runProxy } from "../harness/proxy.ts";
import { startWebProxy, WebProxy, type WebProxyOptions } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** Two servers and the proxy in front of them. */
async function pair(flags: WebProxyOptions["flags"] = {}) {
  await using stack = new AsyncDisposableStack();
  const primary = stack.use(await WebUpstream.start("primary"));
  const backup = stack.use(await WebUpstream.start("backup"));
  const proxy = stack.use(await startWebProxy({ primary, backups: [backup], flags }));
  const owned = stack.move();
  return { primary, backup, proxy, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

interface Echo {
  readonly says: string;
  readonly method: string;
  readonly url: string;
  readonly headers: readonly string[];
  readonly body: string;
}

function valuesOf({ headers }: Echo, name: string): string[] {
  return headers.filter((_, i) => i % 2 === 1 && headers[i - 1]!.toLowerCase() === name);
}

Deno.test("routing: the quick start sends all traffic to the primary", async () => {
  await using primary = await WebUpstream.start("primary");
  await using backup = await WebUpstream.start("backup");
  const listen = `127.0.0.1:${unusedPort()}`;
  const args = [`--primary=${primary.url}`, `--backup=${backup.url}`, `--listen=${listen}`];
  await using proxy = new WebProxy(args, {}, listen);
  await proxy.line(/start to http.* done/);
  for (const target of ["/", "/any/path", "/?q=1"]) {
    const reply = await proxy.get(target);
    assertEquals([reply.status, reply.text], [200, "primary"]);
    assertEquals(reply.headers.get("failover"), "upstream=primary; attempt=1");
  }
  const printed = await runProxy(["--primary", primary.url, "--print-config"]);
  assertMatch(printed.stdout.join("\n"), /listen\W+0\.0\.0\.0:8080/);
});

Deno.test("routing: one server may be primary and backup, and counts as two upstreams", async () => {
  await using server = await WebUpstream.start("both");
  await using proxy = await startWebProxy({ primary: server, backups: [server] });
  assertEquals((await proxy.get("/")).text, "both");
  const warned = await proxy.event("config.warned", { message: /primary and backup are the same/ });
  assertEquals(warned.level, "warn");
  const state = JSON.parse((await proxy.get("/__failover/state")).text);
  const names = state.upstreams.map((each: { name: string }) => each.name);
  assertEquals(names, [server.url, `${server.url} (2)`]);
  const metrics = (await proxy.get("/__failover/metrics")).text.split("\n");
  const series = metrics.filter((line) => /^\w+\{/.test(line)).map((line) => line.split("} ")[0]);
  assertEquals(series.length, new Set(series).size);
});

Deno.test("failover: the backup serves when the primary is killed, and no request fails", async () => {
  await using scene = await pair();
  const { primary, proxy } = scene;
  assertEquals((await proxy.get("/")).text, "primary");
  await primary.kill();
  const first = await proxy.get("/");
  assertEquals([first.status, first.text], [200, "backup"]);
  await proxy.event("promotion.finished", { move: "failover" });
  const later = await proxy.get("/");
  assertEquals(later.headers.get("failover"), "upstream=backup; attempt=1");
});

Deno.test("recovery: traffic returns to the primary after --recover-threshold passes", async () => {
  await using scene = await pair({ "recover-threshold": "3" });
  const { primary, proxy } = scene;
  await primary.kill();
  const moved = await proxy.event("promotion.finished", { move: "failover" });
  await primary.restart();
  const back = await proxy.event("promotion.finished", { move: "failback" }, moved);
  assertEquals(back.to, primary.url);
  assertEquals((await proxy.get("/")).text, "primary");
});

Deno.test("checks: --fail-threshold failed answers move traffic to the backup", async () => {
  await using scene = await pair({ "fail-threshold": "4" });
  const { primary, proxy } = scene;
  await primary.behave("failing");
  await proxy.event("promotion.finished", { move: "failover" });
  // The fourth one brings it down.
  const failed = proxy.events("probe.failed", { upstream: primary.url });
  assertEquals(failed.map((each) => [each.failures, each.fall]), [[1, 4], [2, 4], [3, 4]]);
  assertEquals((await proxy.get("/")).text, "backup");
});

Deno.test("endpoints: /__failover/health answers OK, also while every upstream is down", async () => {
  await using scene = await pair();
  const { primary, backup, proxy } = scene;
  await primary.kill();
  await backup.kill();
  const reply = await proxy.get("/__failover/health");
  assertEquals([reply.status, reply.text], [200, "OK"]);
});

Deno.test("endpoints: /__failover/state shows which upstream serves, and since when", async () => {
  await using scene = await pair({ "fail-threshold": "2" });
  const { primary, backup, proxy } = scene;
  const state = async () => JSON.parse((await proxy.get("/__failover/state")).text);
  const before = await state();
  assertEquals(before.on_backup, false);
  assertEquals([before.primary, before.backup], [primary.url, backup.url]);
  assertEquals([before.fail_count, before.recover_count], [0, 0]);
  await primary.kill();
  const moved = await proxy.event("promotion.finished", { move: "failover" });
  const after = await state();
  assertEquals([after.on_backup, after.active, after.epoch], [true, backup.url, moved.epoch]);
  assert(after.fail_count >= 1);
  const movedAt = Date.parse(moved.time) / 1_000;
  assert(Math.abs(after.since_unix - movedAt) <= 2, `since ${after.since_unix}, moved ${movedAt}`);
});

for (const method of ["GET", "POST", "PUT", "DELETE", "PATCH"]) {
  Deno.test(`methods: ${method} reaches the upstream unchanged`, async () => {
    await using scene = await pair();
    const body = method === "GET" ? "" : "some text";
    const reply = await scene.proxy.request({ method, target: "/echo?a=%20b&a=c", body });
    const echo: Echo = JSON.parse(reply.text);
    assertEquals([reply.status, echo.method, echo.url], [200, method, "/echo?a=%20b&a=c"]);
    assertEquals(echo.body, body);
  });
}

Deno.test("bodies: up to --max-body they pass, beyond it the answer is 413", async () => {
  await using scene = await pair({ "max-body": "100KB" });
  const { proxy } = scene;
  const fits = "x".repeat(102_400);
  const reply = await proxy.request({ method: "POST", target: "/upload", body: fits });
  assertEquals([reply.status, reply.text.split(" ")[0]], [200, "102400"]);
  const large = await proxy.request({ method: "POST", target: "/upload", body: `${fits}y` });
  assertEquals(large.status, 413);
});

Deno.test("bodies: a chunked body that grows beyond --max-body is answered 413 too", async () => {
  await using scene = await pair({ "max-body": "100KB" });
  const { proxy } = scene;
  const lines = ["Transfer-Encoding: chunked"];
  const chunks = (count: number) => `c800\r\n${"x".repeat(51_200)}\r\n`.repeat(count);
  const sent = { method: "POST", target: "/upload", lines };
  const fits = await proxy.request({ ...sent, body: `${chunks(2)}0\r\n\r\n` });
  assertEquals([fits.status, fits.text.split(" ")[0]], [200, "102400"]);
  // There is no last chunk: the answer arrives before the end of the body.
  const large = await proxy.request({ ...sent, body: `${chunks(2)}1\r\ny\r\n` });
  assertEquals(large.status, 413);
});

Deno.test("headers: those of the client arrive, and the upstream is told the client's address", async () => {
  await using scene = await pair();
  const lines = ["X-Custom: one", "X-Custom: two", "Connection: X-Secret", "X-Secret: no"];
  const echo: Echo = JSON.parse((await scene.proxy.get("/echo", lines)).text);
  assertEquals(valuesOf(echo, "x-custom"), ["one", "two"]);
  assertEquals(valuesOf(echo, "x-secret"), []);
  assertEquals(valuesOf(echo, "x-forwarded-for"), ["127.0.0.1"]);
  assertEquals(valuesOf(echo, "x-forwarded-proto"), ["http"]);
  assertEquals(valuesOf(echo, "x-forwarded-host"), ["site.example"]);
  assertEquals(valuesOf(echo, "host"), [scene.primary.address]);
});

Deno.test("headers: those of the upstream arrive, many cookies included", async () => {
  await using scene = await pair();
  const { headers } = await scene.proxy.get("/headers");
  assertEquals(headers.getSetCookie(), ["a=1; Path=/", "b=2; HttpOnly"]);
  assertEquals([headers.get("x-custom"), headers.get("x-hop")], ["kept", null]);
});

Deno.test("logs: with --json-logs every line is a JSON object", async () => {
  await using scene = await pair();
  const { primary, proxy } = scene;
  await primary.kill();
  await proxy.event("promotion.finished", { move: "failover" });
  assert(proxy.log.length > 5);
  for (const line of proxy.log) {
    const { time, level, event, message } = JSON.parse(line);
    for (const field of [time, level, event, message]) assertEquals(typeof field, "string", line);
  }
});

Deno.test("configuration: the documented file is read, and flags win over it", async () => {
  await using primary = await WebUpstream.start("primary");
  await using backup = await WebUpstream.start("backup");
  await using folder = await Folder.make();
  const documented = new URL("../config/valid/documented.yaml", import.meta.url);
  const listen = `127.0.0.1:${unusedPort()}`;
  const text = (await Deno.readTextFile(documented))
    .replace("https://myapp.com", primary.url)
    .replace("https://myapp-backup.s3.amazonaws.com", backup.url)
    .replace("0.0.0.0:8080", listen)
    .replace("10MB", "1KB")
    .replace("json_logs: false", "json_logs: true");
  const config = await folder.write("config.yaml", text);
  await using proxy = new WebProxy(["--config", config, "--max-body", "2KB"], {}, listen);
  await proxy.event("promotion.finished", { to: primary.url });
  const status = async (bytes: number) => {
    const body = "x".repeat(bytes);
    return (await proxy.request({ method: "POST", target: "/upload", body })).status;
  };
  assertEquals([await status(1_500), await status(2_500)], [200, 413]);
});

Deno.test("configuration: an error is reported in one line, with exit code 2", async () => {
  const run = await runProxy(["--primary", "http://a.example", "--check-interval", "0s"]);
  assertEquals(run.code, 2);
  assertEquals(run.stderr.length, 1, run.stderr.join("\n"));
  assertStringIncludes(run.stderr[0]!, "--check-interval");
});
