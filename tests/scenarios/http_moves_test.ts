/** Failbacks and switchovers in HTTP mode: with triggers beside the traffic no request is lost. */
import { assertEquals, assertMatch } from "@std/assert";
import { Folder, waitForFile } from "../harness/folder.ts";
import { scenario } from "../harness/scenario.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

/** A proxy on the backup, whose triggers of a failback wait until the file `go` exists. */
async function onBackup(flags: Readonly<Record<string, string>>) {
  await using parts = new AsyncDisposableStack();
  const folder = parts.use(await Folder.make());
  const primary = parts.use(await WebUpstream.start("primary"));
  const backup = parts.use(await WebUpstream.start("backup"));
  const trigger = await folder.script(
    "trigger.sh",
    `[ "$FAILOVER_EVENT" = failback ] || exit 0\n${waitForFile("go")}`,
  );
  const proxy = parts.use(
    await startWebProxy({
      primary,
      backups: [backup],
      flags: { "on-failover": trigger, hold: "1m", ...flags },
    }),
  );
  await primary.kill();
  assertEquals((await proxy.get("/")).text, "backup");
  await proxy.event("promotion.finished", { to: backup.url });
  await primary.restart();
  await proxy.event("trigger.started", { epoch: 3 });
  const owned = parts.move();
  return {
    ...{ folder, primary, backup, proxy },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

scenario("while triggers run beside a failback the backup still serves", async (relay) => {
  await using scene = await onBackup(relay);
  assertEquals((await scene.proxy.get("/")).text, "backup");
  await scene.folder.write("go", "");
  await scene.proxy.event("promotion.finished", { move: "failback" });
  assertEquals((await scene.proxy.get("/")).text, "primary");
});

scenario("exchanges on the backup have the drain time after a failback", async (relay) => {
  await using primary = await WebUpstream.start("primary");
  await using backup = await WebUpstream.start("backup");
  await using proxy = await startWebProxy({
    primary,
    backups: [backup],
    flags: { ...relay, "drain-timeout": "300ms" },
  });
  await primary.kill();
  assertEquals((await proxy.get("/")).text, "backup");
  const moved = await proxy.event("promotion.finished", { to: backup.url });
  const unsafe = proxy.request({ method: "POST", target: "/wait", body: "x" });
  await backup.isWaiting();

  await primary.restart();

  const back = await proxy.event("promotion.finished", { move: "failback" }, moved);
  const cut = await proxy.event("sessions.cut", { upstream: backup.url, count: 1 }, back);
  assertMatch(cut.reason, /traffic moves to/);
  assertEquals((await unsafe).status, 502);
});

scenario("no client notices a failback whose candidate goes down meanwhile", async (relay) => {
  await using scene = await onBackup(relay);
  await scene.primary.kill();
  await scene.proxy.event("service.returned", { upstream: scene.backup.url });
  assertEquals((await scene.proxy.get("/")).text, "backup");
  assertEquals(scene.proxy.events("clients.held").length, 1);
});

scenario(
  "with --trigger-mode before requests wait, and return to the backup when the candidate goes down",
  async (relay) => {
    await using scene = await onBackup({ ...relay, "trigger-mode": "before" });
    const reply = scene.proxy.get("/");
    await scene.primary.kill();
    assertEquals((await reply).text, "backup");
    await scene.proxy.event("service.returned", { upstream: scene.backup.url });
  },
);
