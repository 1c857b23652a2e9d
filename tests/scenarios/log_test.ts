/** A log that cannot be written must not affect anything else. */
import { assert, assertEquals } from "@std/assert";
import { connectTo } from "../harness/client.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { Proxy, runProxy, spawnProxy } from "../harness/proxy.ts";
import { ENGINES, testWithPrograms } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** What replaces stderr. Each is a command that starts the proxy. */
const LOGS = {
  "on a full disk": ["bash", "-c", 'exec "$@" 2> /dev/full', "bash"],
  "in a pipe that nobody reads": ["bash", "-c", 'exec "$@" 2> >(exec true)', "bash"],
};

/** Resolves when the proxy accepts clients, which its log cannot show. */
async function untilOpen(proxy: Proxy): Promise<void> {
  const opening = (async () => {
    for (;;) {
      try {
        return (await connectTo(proxy.address)).close();
      } catch (error) {
        if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
        await Deno.stat(".");
      }
    }
  })();
  await withTestDeadline("the port to be open", opening);
}

for (const [where, under] of Object.entries(LOGS)) {
  for (const relay of ENGINES) {
    testWithPrograms(
      `[${relay}] a log ${where} ends nothing and delays no client`,
      ["bash"],
      async () => {
        await using primary = await startUpstream({ says: "primary" });
        await using backup = await startUpstream({ says: "backup" });
        const admin = `127.0.0.1:${unusedPort()}`;
        await using proxy = spawnProxy({
          upstreams: [primary, backup],
          flags: { relay, admin, "check-interval": "10ms" },
          under,
        });
        await untilOpen(proxy);
        assertEquals(await proxy.ask(), "primary");
        await primary.kill();
        assertEquals(await proxy.ask(), "backup");
        // Each failed check is a line at this level. Lines that cannot be written are counted at last.
        const counted = (async () => {
          for (;;) {
            const metrics = await (await fetch(`http://${admin}/__failover/metrics`)).text();
            const lost = Number(/^failover_log_lines_lost_total (\d+)$/m.exec(metrics)?.[1]);
            if (lost > 0 || where === "on a full disk") return metrics;
          }
        })();
        const metrics = await withTestDeadline("lines to be counted as lost", counted);
        assert(metrics.includes("failover_log_lines_lost_total"));
        assertEquals(await proxy.ask(), "backup");
        assertEquals(await proxy.stop(), 0);
        assertEquals(proxy.log, []);
      },
    );
  }

  testWithPrograms(`errors that are printed ${where} keep their exit code`, ["bash"], async () => {
    await using proxy = new Proxy(["--no-such-option"], {}, "", undefined, under);
    const { code } = await withTestDeadline("the proxy to end", proxy.ended);
    assertEquals(code, 2);
    assertEquals((await runProxy(["--no-such-option"])).code, 2);
  });
}
