/** The access log of the real process: its lines, and that it delays nothing. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { tlsTest } from "../gateway/certificate.ts";
import { Folder } from "../harness/folder.ts";
import { Proxy, runProxy } from "../harness/proxy.ts";
import { type Engine, ENGINES, scenario, testWithPrograms } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startWebProxy, webArgs } from "../harness/web_proxy.ts";
import { rawWebUpstream, WebUpstream } from "../harness/web_upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** The lines of a JSON access log, as soon as there are `count`. */
async function linesOf(folder: Folder, count: number, name = "access.log") {
  const lines = (text: string) => text.split("\n").slice(0, -1);
  await folder.reads(name, (text) => lines(text).length >= count);
  const found = lines(await folder.read(name)).map((line) => JSON.parse(line));
  // Exchanges on different connections may end in another order than they began in.
  return found.sort((a, b) => Date.parse(a.time) - Date.parse(b.time));
}

scenario("--access-log has a line for each exchange", async ({ relay }) => {
  await using folder = await Folder.make();
  await using primary = await WebUpstream.start("primary");
  await using backup = await WebUpstream.start("backup");
  const flags = {
    relay,
    "access-log": folder.at("access.log"),
    "access-log-format": "json",
    "max-body": "10",
  };
  await using proxy = await startWebProxy({ primary, backups: [backup], flags });
  await proxy.request({
    target: "/echo?q=1",
    method: "POST",
    lines: ["X-Request-Id: my-id", "User-Agent: test/1", "Authorization: Basic c2VjcmV0"],
    body: "12345",
  });
  await proxy.request({ target: "/", method: "HEAD" });
  await proxy.get("/__failover/health");
  await proxy.request({ target: "/echo", method: "POST", body: "longer than that" });
  const malformed = await proxy.connect();
  await malformed.send(new TextEncoder().encode("GET / HTTP/1.1\r\nNo colon\r\n\r\n"));
  assertMatch(await malformed.rest(), /^HTTP\/1\.1 400 /);
  malformed.close();
  await primary.kill();
  assertEquals((await proxy.get("/")).text, "backup");

  const lines = await linesOf(folder, 6);
  assertEquals(lines.map((line) => [line.method, line.target, line.status, line.outcome]), [
    ["POST", "/echo?q=1", 200, "done"],
    ["HEAD", "/", 200, "done"],
    ["GET", "/__failover/health", 200, "done"],
    ["POST", "/echo", 413, "body-too-large"],
    [null, null, 400, "bad-request"],
    ["GET", "/", 200, "done"],
  ]);
  const [echo, head, own, , , moved] = lines;
  assertEquals(
    [echo.upstream, echo.attempts, echo.request_id, echo.user_agent, echo.host, echo.client],
    [primary.url, 1, "my-id", "test/1", "site.example", "127.0.0.1"],
  );
  assertEquals([echo.protocol, echo.scheme, echo.request_bytes], ["HTTP/1.1", "http", 5]);
  assert(echo.bytes > 0 && echo.total_ms >= echo.first_byte_ms && echo.first_byte_ms > 0);
  assertEquals([head.bytes, own.bytes, own.upstream], [0, 2, null]);
  assertEquals(moved.upstream, backup.url);
  assert(!JSON.stringify(lines).includes("c2VjcmV0"));
});

scenario(
  "--access-log shows a client that left, and a response that was cut",
  async ({ relay }) => {
    await using folder = await Folder.make();
    const says = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this";
    await using primary = await rawWebUpstream({ "/cut": { says, reset: true } });
    const flags = { relay, "access-log": folder.at("access.log"), "access-log-format": "json" };
    await using proxy = await startWebProxy({ primary, flags });
    const connection = await proxy.open();
    await connection.send({ target: "/cut" });
    assertEquals((await connection.head()).status, 200);
    await connection.conn.rest().catch(() => {});
    connection.close();
    const [cut] = await linesOf(folder, 1);
    assertEquals([cut.status, cut.bytes, cut.outcome], [200, 9, "upstream-reset"]);
  },
);

scenario("--access-log shows how long a client was held", async ({ relay }) => {
  await using folder = await Folder.make();
  await using primary = await WebUpstream.start("primary");
  const flags = { relay, "access-log": folder.at("access.log"), "access-log-format": "json" };
  await using proxy = await startWebProxy({ primary, flags });
  await primary.kill();
  await proxy.event("upstream.down");
  const asked = proxy.get("/");
  await proxy.event("clients.held");
  await primary.restart();
  assertEquals((await asked).text, "primary");
  const [line] = await linesOf(folder, 1);
  assert(line.held_ms > 0 && line.held_ms <= line.total_ms);
});

for (const engine of ENGINES) {
  testWithPrograms(
    `[${engine}] --access-log - writes combined lines to stdout, including the last one before the end`,
    [],
    async () => {
      await using primary = await WebUpstream.start("primary");
      const flags = { relay: engine, "access-log": "-" };
      await using proxy = await startWebProxy({ primary, flags });
      await proxy.get("/");
      assertEquals(await proxy.stop(), 0);
      assertEquals(proxy.stdout.length, 1);
      assertMatch(
        proxy.stdout[0]!,
        /^127\.0\.0\.1 - - \[[^\]]+\] "GET \/ HTTP\/1\.1" 200 7 "-" "-" service=http upstream="http:/,
      );
    },
  );
}

if (Deno.build.os !== "windows") {
  scenario("SIGHUP opens the access log again", async ({ relay }) => {
    await using folder = await Folder.make();
    await using primary = await WebUpstream.start("primary");
    const flags = { relay, "access-log": folder.at("access.log"), "access-log-format": "json" };
    await using proxy = await startWebProxy({ primary, flags });
    await proxy.get("/1");
    await linesOf(folder, 1);
    await Deno.rename(folder.at("access.log"), folder.at("old.log"));
    proxy.signal("SIGHUP");
    await folder.has("access.log");
    await proxy.get("/2");
    assertEquals((await linesOf(folder, 1)).map(({ target }) => target), ["/2"]);
    assertEquals((await linesOf(folder, 1, "old.log")).map(({ target }) => target), ["/1"]);
  });
}

/** Runs the proxy with its access log in this file instead of stdout, and sends `count` requests. */
async function withLogIn(relay: Engine, file: string, count: number): Promise<void> {
  await using primary = await rawWebUpstream({});
  const flags = { relay, "access-log": "-", "access-log-format": "json" };
  const address = `127.0.0.1:${unusedPort()}`;
  const under = ["bash", "-c", 'exec "$@" > "$0"', file];
  await using proxy = new Proxy(
    webArgs(address, { primary, flags }),
    {},
    address,
    undefined,
    under,
  );
  await proxy.event("promotion.finished");
  await using connection = new Connection(address);
  const target = `/${"x".repeat(8_000)}`;
  for (let i = 0; i < count; i++) assertEquals(await connection.get(target), 200);
  const { count: lost } = await proxy.event("accessLog.lost");
  assert(lost > 0);
  assertEquals(await connection.get("/"), 200);
  assertEquals(await proxy.stop(), 0);
}

for (const relay of ENGINES) {
  testWithPrograms(
    `[${relay}] an access log on a full disk delays no exchange, and lost lines are reported`,
    ["bash"],
    () => withLogIn(relay, "/dev/full", 1),
  );

  testWithPrograms(
    `[${relay}] an access log that nobody reads delays no exchange, and lost lines are reported`,
    ["bash", "mkfifo"],
    async () => {
      await using folder = await Folder.make();
      const path = folder.at("pipe");
      await new Deno.Command("mkfifo", { args: [path] }).output();
      // A reader must have it open, or the proxy could not open it.
      using _reader = await Deno.open(path, { read: true, write: true });
      await withLogIn(relay, path, 400);
    },
  );
}

/** One connection that sends one request after another. */
class Connection implements AsyncDisposable {
  readonly #client = Deno.createHttpClient({ poolMaxIdlePerHost: 1 });
  readonly #address: string;

  constructor(address: string) {
    this.#address = address;
  }

  async get(target: string): Promise<number> {
    const asking = fetch(`http://${this.#address}${target}`, { client: this.#client });
    const response = await withTestDeadline("an answer", asking);
    await response.body?.cancel();
    return response.status;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    return Promise.resolve();
  }
}

tlsTest("the access log shows requests over HTTP/2", async (tls) => {
  await using folder = await Folder.make();
  await using primary = await WebUpstream.start("primary");
  const flags = {
    "tls-cert": tls.certPath,
    "tls-key": tls.keyPath,
    relay: tls.relay,
    "access-log": folder.at("access.log"),
    "access-log-format": "json",
  };
  await using proxy = await startWebProxy({ primary, flags });
  using client = Deno.createHttpClient({ caCerts: [tls.cert], http1: false });
  const url = `https://localhost:${proxy.address.split(":")[1]}/`;
  assertEquals(await (await fetch(url, { client })).text(), "primary");
  const [line] = await linesOf(folder, 1);
  assertEquals(
    [line.protocol, line.scheme, line.status, line.bytes, line.client],
    ["HTTP/2.0", "https", 200, 7, "127.0.0.1"],
  );
});

Deno.test("an access log that cannot be opened is one line and exit code 2", async () => {
  await using folder = await Folder.make();
  const path = folder.at("missing/access.log");
  const args = ["--primary", "http://127.0.0.1:9", "--listen", `127.0.0.1:${unusedPort()}`];
  const { code, stderr } = await runProxy([...args, "--access-log", path]);
  assertEquals(code, 2);
  assertEquals(
    stderr.at(-1),
    `failover: Cannot use "${path}" as access_log: its folder does not exist (from flag --access-log)`,
  );
});
