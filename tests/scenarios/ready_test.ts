/** For load balancers: readiness, and the time to notice a stop; and the public state. */
import { assert, assertEquals } from "@std/assert";
import { argsOf, spawnProxy, startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startUpstream } from "../harness/upstream.ts";
import { startWebProxy, WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** Sends requests until the answer is 503; fails at once if there is no answer. */
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

scenario("ready is 503 until an upstream was chosen, and stays 200 in an outage", async (relay) => {
  await using upstream = await startUpstream({ says: "primary" });
  await upstream.kill();
  const admin = `127.0.0.1:${unusedPort()}`;
  await using proxy = spawnProxy({ upstreams: [upstream], flags: { ...relay, admin } });
  await proxy.event("port.opened", { address: admin });
  const ask = async () => {
    const response = await fetch(`http://${admin}/__failover/ready`);
    return [response.status, await response.text()];
  };
  await proxy.event("selection.failed");
  assertEquals(await ask(), [503, "no upstream was chosen yet"]);
  assertEquals(await fetch(`http://${admin}/__failover/health`).then((r) => r.text()), "OK");
  await upstream.restart();
  await proxy.event("promotion.finished");
  assertEquals(await ask(), [200, "ready"]);
  const down = await proxy.event("promotion.finished");
  await upstream.kill();
  await proxy.event("selection.failed", {}, down);
  assertEquals(await ask(), [200, "ready"]);
});

scenario(
  "in HTTP mode ready is 503 until an upstream was chosen, and while sessions drain",
  async (relay) => {
    await using primary = await WebUpstream.start("primary");
    await primary.kill();
    const admin = `127.0.0.1:${unusedPort()}`;
    await using proxy = await startWebProxy(
      { primary, flags: { ...relay, admin, "public-state": "off" } },
      "selection.failed",
    );
    const ready = async () => (await proxy.get("/__failover/ready")).status;
    assertEquals(await ready(), 503);
    await primary.restart();
    await proxy.event("promotion.finished");
    assertEquals(await ready(), 200);

    const working = primary.isWaiting();
    const slow = proxy.request({ method: "POST", target: "/wait", body: "x" });
    await working;
    proxy.signal("SIGTERM");
    await proxy.event("proxy.stopping");
    // The port of the clients is closed by now; the operator's stays open to the end.
    const response = await fetch(`http://${admin}/__failover/ready`);
    assertEquals([response.status, await response.text()], [503, "stopping"]);
    await primary.ask("/release");
    assertEquals((await slow).text, "primary");
    assertEquals((await withTestDeadline("the end", proxy.ended)).code, 0);
  },
);

for (
  const [publicState, admin, state, metrics] of [
    ["full", false, 200, 200],
    ["brief", false, 200, 404],
    ["off", false, 404, 404],
    // With a separate admin listener the main port shows less, unless an option says otherwise.
    [undefined, true, 404, 404],
    ["full", true, 200, 200],
  ] as const
) {
  const name = `${publicState === undefined ? "by default" : `with --public-state ${publicState}`}${
    admin ? " and --admin" : ""
  }`;
  scenario(
    `${name} the main port answers ${state} for state, ${metrics} for metrics`,
    async (relay) => {
      await using primary = await WebUpstream.start("primary");
      const listen = `127.0.0.1:${unusedPort()}`;
      const flags = {
        ...relay,
        ...publicState === undefined ? {} : { "public-state": publicState },
        ...admin ? { admin: `127.0.0.1:${unusedPort()}` } : {},
      };
      const args = ["--listen", listen, "--primary", primary.url, "--json-logs", ...argsOf(flags)];
      await using proxy = new WebProxy(args, {}, listen);
      await proxy.event("promotion.finished");
      const status = async (path: string) => (await proxy.get(`/__failover/${path}`)).status;
      assertEquals([await status("health"), await status("ready")], [200, 200]);
      assertEquals([await status("state"), await status("metrics")], [state, metrics]);
      assertEquals([await status("events"), await status("incidents")], [404, 404]);
      const order = await proxy.request({ method: "POST", target: "/__failover/pause" });
      assertEquals(order.status, 404);
    },
  );
}
