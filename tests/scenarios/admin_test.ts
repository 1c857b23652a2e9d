/** The admin listener in TCP mode, and the notifications. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Control } from "../harness/control.ts";
import { Folder } from "../harness/folder.ts";
import { runProxy, startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { type Reply, request, type Sent } from "../harness/web_client.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

scenario(
  "--admin shows health, state and metrics, and accepts the order to fail back",
  async (relay) => {
    await using folder = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    const admin = `127.0.0.1:${unusedPort()}`;
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: {
        ...relay,
        admin,
        failback: "manual",
        "admin-token-file": await folder.write("token", "s3cret\n"),
      },
    });
    const get = async (path: string) =>
      await (await fetch(`http://${admin}/__failover${path}`)).text();
    assertEquals(await get("/health"), "OK");
    assertEquals(JSON.parse(await get("/state")).on_backup, false);

    await primary.kill();
    assertEquals(await proxy.ask(), "backup");
    const state = JSON.parse(await get("/state"));
    assertEquals([state.on_backup, state.active, state.epoch], [true, backup.name, 2]);
    assertMatch(await get("/metrics"), /^failover_epoch\{service="tcp"\} 2$/m);

    const down = await proxy.event("upstream.down", { upstream: primary.name });
    await primary.restart();
    await proxy.event("upstream.up", { upstream: primary.name }, down);
    const order = async (headers: Record<string, string>) => {
      const init = { method: "POST", headers };
      const response = await fetch(`http://${admin}/__failover/failback`, init);
      await response.body?.cancel();
      return response.status;
    };
    assertEquals(await order({}), 401);
    assertEquals(await order({ authorization: "Bearer s3cre" }), 401);
    assertEquals(await order({ authorization: "Bearer s3cret" }), 202);
    await proxy.event("promotion.finished", { move: "switchover", to: primary.name });
    assertEquals(await proxy.ask(), "primary");
  },
);

scenario(
  "an --admin address in use ends the start with exit code 1 and one line",
  async (relay) => {
    await using upstream = await startUpstream({ says: "primary" });
    const args = ["-b", `127.0.0.1:${unusedPort()}`, "-H", upstream.name, "--admin", upstream.name];
    const run = await runProxy([...args, "--relay", relay.relay, "--log-level", "error"]);
    assertEquals(run.code, 1);
    assertEquals(run.stderr.length, 1, run.stderr.join("\n"));
    assertStringIncludes(run.stderr[0]!, `Cannot listen on ${upstream.name}`);
    assertStringIncludes(run.stderr[0]!, "--admin");
  },
);

scenario("--webhook-url receives a failover, and the URL stays secret", async (relay) => {
  const reported = Promise.withResolvers<Record<string, unknown>>();
  await using receiver = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      reported.resolve(await request.json());
      return new Response("thanks");
    },
  );
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  await using control = await Control.make();
  const url = `http://127.0.0.1:${receiver.addr.port}/hush-hush`;
  await using proxy = await startProxy({
    upstreams: [primary, backup],
    flags: { ...relay, "webhook-url": url, "webhook-format": "json", control: control.path },
  });
  await primary.kill();
  assertEquals(await proxy.ask(), "backup");
  const notice = await withTestDeadline("the notification", reported.promise);
  assertEquals([notice.kind, notice.to], ["failover", backup.name]);
  // With it `failover history` shows the incident.
  const record = await (await control.get(`incidents/${notice.record}`)).json();
  assertEquals([record.kind, record.to], ["failover", backup.name]);
  await proxy.event("notification.sent");
  assert(!proxy.log.join("\n").includes("hush-hush"));
});

scenario("the webhook reports that the trigger of a promotion failed", async (relay) => {
  const received: Record<string, unknown>[] = [];
  const arrived = Promise.withResolvers<void>();
  await using receiver = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      received.push(await request.json());
      arrived.resolve();
      return new Response("thanks");
    },
  );
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  const trigger = await folder.script("promote.sh", `[ "$1" = '${primary.name}' ] || exit 3`);
  await using proxy = await startProxy({
    upstreams: [primary, backup],
    flags: {
      ...relay,
      "on-failover": trigger,
      "webhook-url": `http://127.0.0.1:${receiver.addr.port}/`,
      "webhook-format": "json",
    },
  });
  await primary.kill();
  assertEquals(await proxy.ask(), "backup");
  await withTestDeadline("the notification", arrived.promise, proxy.lastLines);
  const [{ kind, to, reason }] = received as [Record<string, unknown>];
  assertEquals([kind, to], ["failover", backup.name]);
  assertStringIncludes(
    String(reason),
    `(serving, trigger failed: trigger ${trigger} exited with 3)`,
  );
});

scenario(
  "a listener beyond loopback answers to its own names only, and never to a web page",
  async (relay) => {
    await using upstream = await startUpstream({ says: "primary" });
    await using folder = await Folder.make();
    const port = unusedPort();
    await using proxy = await startProxy({
      upstreams: [upstream],
      flags: {
        ...relay,
        admin: `0.0.0.0:${port}`,
        "admin-hosts": "proxy.test,second.test",
        "admin-token-file": await folder.write("token", "s3cret"),
      },
    });
    const ask = async (sent: Sent) => await request(`127.0.0.1:${port}`, sent, proxy.lastLines);
    const state = (host: string) => ask({ target: "/__failover/state", lines: [`Host: ${host}`] });
    for (const host of ["proxy.test", `second.test:${port}`, `127.0.0.1:${port}`, "localhost"]) {
      assertEquals((await state(host)).status, 200, host);
    }
    const evil = await state(`rebound.test:${port}`);
    assertEquals([evil.status, evil.text.includes(upstream.name)], [421, false]);
    assertStringIncludes(evil.text, "--admin-hosts");

    const fromPage = [
      "Host: localhost",
      "Origin: https://evil.test",
      "Authorization: Bearer s3cret",
    ];
    const seen = await ask({ target: "/__failover/state", lines: fromPage });
    const allowed = ({ headers }: Reply) =>
      [...headers.keys()].filter((name) => name.startsWith("access-control"));
    assertEquals([seen.status, allowed(seen)], [200, []]);
    const order = { method: "POST", target: "/__failover/pause", body: "" } as const;
    assertEquals((await ask({ ...order, lines: fromPage })).status, 403);
    const preflight = await ask({ ...order, method: "OPTIONS", lines: fromPage });
    assertEquals([preflight.status, allowed(preflight)], [404, []]);
    const token = (word: string) => ["Host: localhost", `Authorization: Bearer ${word}`];
    for (const word of ["", "s3cre", "s3cret2", "x".repeat(8_000)]) {
      assertEquals((await ask({ ...order, lines: token(word) })).status, 401, word.slice(0, 9));
    }
    assertEquals((await ask({ ...order, lines: token("s3cret") })).status, 200);
    const paused = await proxy.event("service.paused");
    assertMatch(paused.by, /127\.0\.0\.1/);
    assert(!proxy.log.join("\n").includes("s3cret"), "the token is never in the log");
  },
);

Deno.test("a token file that cannot be used keeps the proxy from starting", async () => {
  const flags = ["-b", "127.0.0.1:1", "-H", "127.0.0.1:2", "--admin", "127.0.0.1:3"];
  const run = await runProxy([...flags, "--admin-token-file", "/nowhere/token"]);
  assertEquals(run.code, 2);
  assertStringIncludes(run.stderr.join(), 'Cannot use "/nowhere/token" as admin_token_file');
});
