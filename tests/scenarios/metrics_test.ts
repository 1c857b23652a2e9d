/** What a scrape of a real process says, and whether Prometheus' own linter accepts it. */
import { assertEquals, assertMatch } from "@std/assert";
import { startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { lint, NO_PROMTOOL } from "../harness/promtool.ts";

scenario(
  "a scrape tells whether somebody could take over, and how long a move took",
  async (relay) => {
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    const admin = `127.0.0.1:${unusedPort()}`;
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: { ...relay, admin, failback: "manual" },
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
    assertMatch(after, /^failover_outage_seconds_total\{service="tcp"\} 0\.\d+$/m);
    assertMatch(after, /^failover_last_promotion_timestamp_seconds\{service="tcp"\} \d{10}/m);
    if (Deno.build.os === "linux") assertMatch(after, /^process_open_fds [1-9]\d+$/m);
    if (NO_PROMTOOL === undefined) assertEquals(await lint(after), "");
    else console.log(`the linter is left out: ${NO_PROMTOOL}`);
  },
);
