/** The metrics of a real process, and whether Prometheus' linter accepts them. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { Folder } from "../harness/folder.ts";
import { lint, NO_PROMTOOL } from "../harness/promtool.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { untilCounted } from "../harness/metrics.ts";
import { untilTrue } from "../harness/test_deadline.ts";

/** No check fails because the machine is busy. */
const PATIENT = { "check-timeout": "20s" };

/** Fails if Prometheus' linter finds an error in a scrape. */
async function assertClean(scrape: string): Promise<void> {
  if (NO_PROMTOOL === undefined) assertEquals(await lint(scrape), "");
  else console.log(`the linter is left out: ${NO_PROMTOOL}`);
}

/** The value of one line of a scrape; undefined without that line. */
function valueOf(scrape: string, line: string): number | undefined {
  const found = scrape.split("\n").find((each) => each.startsWith(`${line} `));
  return found === undefined ? undefined : Number(found.slice(line.length + 1));
}

/** The labels of the requests that were counted, and how many there were, sorted. */
function requestsOf(scrape: string): string[] {
  const lines = scrape.matchAll(
    /^http_server_request_duration_seconds_count\{service="http",(.*)\} (\d+)$/gm,
  );
  return [...lines].map(([, labels, count]) => `${labels!.replaceAll('"', "")} ${count}`).sort();
}

scenario(
  "a scrape shows whether an upstream could take over, and how long a move took",
  async (relay) => {
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    const admin = `127.0.0.1:${unusedPort()}`;
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: { ...relay, ...PATIENT, admin, failback: "manual" },
    });
    const scrape = async () => await (await fetch(`http://${admin}/__failover/metrics`)).text();
    await proxy.event("upstream.up", { upstream: backup.name });
    const before = await scrape();
    assertMatch(before, /^failover_ready\{service="tcp"\} 1$/m);
    assertMatch(before, /^failover_on_backup\{service="tcp"\} 0$/m);

    await primary.kill();
    await proxy.event("promotion.finished", { move: "failover", to: backup.name });
    const after = await scrape();
    assertMatch(after, /^failover_ready\{service="tcp"\} 0$/m);
    assertMatch(after, /^failover_on_backup\{service="tcp"\} 1$/m);
    const moved = /^failover_promotion_duration_seconds_count\{service="tcp",move="failover"\} 1$/m;
    assertMatch(after, moved);
    assertMatch(after, /^failover_outage_seconds_total\{service="tcp"\} \d+\.\d+$/m);
    assertMatch(after, /^failover_last_promotion_timestamp_seconds\{service="tcp"\} \d{10}/m);
    if (Deno.build.os === "linux") assertMatch(after, /^process_open_fds [1-9]\d+$/m);
    assertMatch(after, /^failover_upstream_role\{.*upstream=".*",role="active"\} 1$/m);
    await assertClean(after);
  },
);

scenario("a scrape shows how long clients waited, and how long triggers took", async (relay) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  const admin = `127.0.0.1:${unusedPort()}`;
  // The trigger continues when the test has seen a client wait.
  const trigger = await folder.script(
    "trigger.sh",
    `[ "$FAILOVER_EVENT" = start ] || while [ ! -e "${folder.at("go")}" ]; do sleep 0.01; done
    [ "$FAILOVER_EVENT" = start ] || exit 3`,
  );
  await using proxy = await startProxy({
    upstreams: [primary, backup],
    flags: { ...relay, ...PATIENT, admin, hold: "1m", "on-failover": trigger },
  });
  const scrape = async () => await (await fetch(`http://${admin}/__failover/metrics`)).text();
  await proxy.event("upstream.up", { upstream: backup.name });
  await primary.kill();
  await proxy.event("promotion.started", { to: backup.name });
  const asked = [proxy.ask(), proxy.ask()];
  const held = async () => valueOf(await scrape(), 'failover_clients_held{service="tcp"}');
  await untilTrue("two clients to be held", async () => await held() === 2, proxy.lastLines);
  await folder.write("go", "");

  assertEquals(await Promise.all(asked), ["backup", "backup"]);
  await proxy.event("trigger.failed");
  const after = await untilCounted(
    scrape,
    /^failover_hold_duration_seconds_count\{service="tcp"\} 2$/m,
  );
  assert(valueOf(after, 'failover_hold_duration_seconds_sum{service="tcp"}')! > 0);
  const triggers = (result: string) =>
    valueOf(after, `failover_trigger_duration_seconds_count{service="tcp",result="${result}"}`);
  assertEquals([triggers("finished"), triggers("failed")], [1, 1]);
  await assertClean(after);
});

for (const workers of ["1", "2"]) {
  scenario(
    `in HTTP mode a scrape counts requests by method, status and upstream (workers ${workers})`,
    async (relay) => {
      await using primary = await WebUpstream.start("primary");
      await using backup = await WebUpstream.start("backup");
      await using proxy = await startWebProxy({
        primary,
        backups: [backup],
        flags: { ...relay, ...PATIENT, workers, failback: "manual", "max-body": "1KB" },
      });
      for (let i = 0; i < 3; i++) await proxy.get("/");
      await proxy.request({ method: "POST", target: "/", body: "x" });
      await proxy.request({ method: "PROPFIND", target: "/" });
      const large = await proxy.request({ method: "POST", target: "/", body: "x".repeat(2_000) });
      assertEquals(large.status, 413);
      await primary.kill();
      await proxy.event("promotion.finished", { to: backup.url });
      await proxy.get("/");
      const wanted = [
        `method=GET,status=200,upstream=${primary.url} 3`,
        `method=POST,status=200,upstream=${primary.url} 1`,
        `method=POST,status=413,upstream=none 1`,
        `method=_OTHER,status=200,upstream=${primary.url} 1`,
        `method=GET,status=200,upstream=${backup.url} 1`,
      ].sort();
      // A request is counted just after its response was sent, perhaps by another thread.
      let text = "";
      for (let turn = 0; turn < 200 && requestsOf(text).join() !== wanted.join(); turn++) {
        text = (await proxy.get("/__failover/metrics")).text;
      }
      assertEquals(requestsOf(text), wanted);
      assertMatch(text, /^http_server_request_duration_seconds_bucket\{.*,le="0.075"\} \d+$/m);
      assertMatch(text, /^failover_hold_duration_seconds_count\{service="http"\} \d+$/m);
      await assertClean(text);
    },
  );
}

scenario("a request that waited, and one whose client left, are counted as such", async (relay) => {
  await using primary = await WebUpstream.start("primary");
  await using proxy = await startWebProxy({ primary, flags: { ...relay, ...PATIENT, hold: "1m" } });
  const scrape = async () => (await proxy.get("/__failover/metrics")).text;
  const working = primary.isWaiting();
  const leaving = await proxy.open();
  await leaving.send({ target: "/wait" });
  await working;
  leaving.close();
  const left =
    'http_server_request_duration_seconds_count{service="http",method="GET",status="0",upstream="none"}';
  const count = async () => valueOf(await scrape(), left);
  await untilTrue("it to be counted", async () => await count() === 1, proxy.lastLines);

  await primary.kill();
  const held = proxy.get("/");
  await proxy.event("clients.held");
  await primary.restart();
  assertEquals((await held).text, "primary");
  await untilCounted(
    scrape,
    /^failover_hold_duration_seconds_count\{service="http"\} [1-9]\d*$/m,
  );
});
