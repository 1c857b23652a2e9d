/** Where operators see what became of the last reload: status, state, page, metrics, log and notification. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { runCommand } from "../harness/command.ts";
import { Folder } from "../harness/folder.ts";
import { startReloaded } from "../harness/reloaded.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

Deno.test("a reload that was refused is seen everywhere, until one is done; the public sees neither", async () => {
  await using web = await WebUpstream.start("web");
  const received: Record<string, unknown>[] = [];
  const arrived = Promise.withResolvers<void>();
  await using hook = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (r) => {
    received.push(await r.json());
    arrived.resolve();
    return new Response();
  });
  const listen = `127.0.0.1:${unusedPort()}`;
  const admin = `127.0.0.1:${unusedPort()}`;
  await using folder = await Folder.make();
  const page = await folder.write("page.html", "backup");
  const options = (hold: string) => ({
    ...{ admin, public_state: "full", webhook_format: "json" },
    webhook_url: `http://127.0.0.1:${hook.addr.port}/`,
    services: { web: { primary: web.url, backup: `page:${page}`, listen, hold } },
  });
  await using proxy = await startReloaded(options("1s"));
  await proxy.event("promotion.finished");
  await proxy.event("port.opened", { service: "", address: admin });
  const status = async () => (await runCommand(["status", "--control", proxy.control])).out;
  const stateAt = async (address: string) =>
    await (await fetch(`http://${address}/__failover/state`)).json();
  const pageText = async () => await (await fetch(`http://${admin}/__failover/page`)).text();
  assertEquals((await stateAt(admin)).config.last_reload, null);
  assertEquals((await status()).includes("reload"), false);

  await proxy.write("hold: 1s\nholdd: 2s\n");
  proxy.signal("SIGHUP");
  await proxy.event("config.refused");

  await withTestDeadline("a notification", arrived.promise);
  assertEquals([received[0]!.kind, received[0]!.service], ["config_refused", ""]);
  assertMatch(String(received[0]!.message), /^reload refused, .* ordered by SIGHUP: .*holdd/);
  assertMatch(
    await status(),
    /\n\nRELOAD REFUSED [\w.]+ ago, by SIGHUP: Unknown key "holdd".* in force$/,
  );
  const { config } = await stateAt(admin);
  assertEquals([config.last_reload.outcome, config.last_reload.by], ["refused", "SIGHUP"]);
  assertMatch(config.last_reload.errors.join(), /holdd/);
  assertMatch(await pageText(), /The reload ordered by SIGHUP [\w.]+ ago was refused: Unknown key/);
  assertMatch(await proxy.metrics(), /failover_config_reload_success 0/);
  assertEquals("config" in await stateAt(listen), false);

  const { code } = await proxy.reload(options("3s"));

  assertEquals(code, 0);
  assertMatch(await status(), /\n\nlast reload [\w.]+ ago, by .*: 1 change$/);
  const after = await stateAt(admin);
  assertEquals(after.config.last_reload.outcome, "applied");
  assertMatch(after.config.last_reload.changes.join(), /hold 1s → 3s/);
  assertStringIncludes(await pageText(), "service web: hold 1s → 3s.");
  assertMatch(await proxy.metrics(), /failover_config_reload_success 1/);
  // One that only asks what would change is none.
  await proxy.reload(options("4s"), ["--dry-run"]);
  assertEquals((await stateAt(admin)).config, after.config);
  assertEquals(received.length, 1);
});
