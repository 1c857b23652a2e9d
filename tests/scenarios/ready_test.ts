/** What balancers are shown: readiness, the time to notice a stop, and what everybody may see. */
import { assert, assertEquals } from "@std/assert";
import { startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startUpstream } from "../harness/upstream.ts";
import { startWebProxy, WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** Asks until the answer is 503; fails at once if nobody answers. */
async function notReady(status: () => Promise<number>): Promise<void> {
  await withTestDeadline(
    "readiness to end",
    (async () => {
      while (await status() !== 503);
    })(),
  );
}

scenario("--drain-delay serves new clients after SIGTERM, while ready says 503", async (relay) => {
  await using upstream = await startUpstream({ says: "primary" });
  const admin = `127.0.0.1:${unusedPort()}`;
  await using proxy = await startProxy({
    upstreams: [upstream],
    flags: { ...relay, admin, "drain-delay": "1h" },
  });
  const status = async () => {
    const response = await fetch(`http://${admin}/__failover/ready`);
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await status(), 200);
  proxy.signal("SIGTERM");
  await notReady(status);
  assertEquals(await proxy.ask(), "primary");
  assertEquals(proxy.events("proxy.stopping").length, 0);
  proxy.signal("SIGTERM");
  assertEquals((await withTestDeadline("the end", proxy.ended)).code, 0);
});

for (const relay of ["splice", "stream"]) {
  Deno.test(`[${relay}] --drain-delay serves requests after SIGTERM, while ready says 503`, async () => {
    await using primary = await WebUpstream.start("primary");
    const flags = { relay, "drain-delay": "1h" };
    await using proxy = await startWebProxy({ primary, flags });
    const status = async () => (await proxy.get("/__failover/ready")).status;
    assertEquals(await status(), 200);
    proxy.signal("SIGTERM");
    await notReady(status);
    assertEquals((await proxy.get("/")).text, "primary");
    proxy.signal("SIGTERM");
    assertEquals((await withTestDeadline("the end", proxy.ended)).code, 0);
  });
}

Deno.test("by default the main port shows four fields of the state, and no metrics", async () => {
  await using primary = await WebUpstream.start("primary");
  const listen = `127.0.0.1:${unusedPort()}`;
  const args = ["--listen", listen, "--primary", primary.url, "--json-logs"];
  await using proxy = new WebProxy(args, {}, listen);
  await proxy.event("promotion.finished");
  const state = JSON.parse((await proxy.get("/__failover/state")).text);
  assertEquals(Object.keys(state), ["on_backup", "since_unix", "primary", "backup"]);
  assert(!state.on_backup);
  assertEquals((await proxy.get("/__failover/metrics")).status, 404);
});
