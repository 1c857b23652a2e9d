/** Trigger scripts: their input, their order, and that clients wait for them. */
import { assertEquals, assertMatch } from "@std/assert";
import { startWithBlockingTrigger } from "../harness/blocking_trigger.ts";
import { untilGone } from "../harness/child.ts";
import { connectTo } from "../harness/client.ts";
import { Folder, waitForFile } from "../harness/folder.ts";
import { spawnProxy, startProxy } from "../harness/proxy.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";

scenario(
  "no client gets through before the triggers have run, and all do afterwards",
  async (relay) => {
    await using service = await startWithBlockingTrigger({ ...relay, "hold": "1m" });
    const { proxy, primary, backup } = service;

    await primary.kill();
    const answers = [proxy.ask(), proxy.ask(), proxy.ask()];
    await proxy.event("trigger.started", { epoch: 2 });
    // None of them has reached the backup, which becomes active only after its triggers.
    assertEquals(proxy.events("promotion.finished", { to: backup.name }), []);
    await service.endTrigger();

    assertEquals(await Promise.all(answers), ["backup", "backup", "backup"]);
    const ended = await proxy.event("trigger.finished", { epoch: 2 });
    await proxy.event("promotion.finished", { to: backup.name }, ended);
  },
);

scenario("the port opens only after the first triggers have run", async (relay) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  const trigger = await folder.script("trigger.sh", waitForFile("go"));
  await using proxy = spawnProxy({
    upstreams: [primary],
    flags: { ...relay, "on-failover": trigger },
  });

  await proxy.event("trigger.started");
  const refused = await connectTo(proxy.address).catch((error) => error);
  await folder.write("go", "");

  assertEquals(refused.constructor, Deno.errors.ConnectionRefused);
  await proxy.event("port.opened", {}, await proxy.event("trigger.finished"));
  assertEquals(await proxy.ask(), "primary");
});

scenario("triggers of a folder run one after another, in alphabetical order", async (relay) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  for (const name of ["20-b", "10-c", "30-a"]) {
    await folder.script(
      `triggers/${name}`,
      `echo "${name} begins" >> order; sleep 0.1; echo "${name} ends" >> order`,
    );
  }
  await using proxy = await startProxy({
    upstreams: [primary],
    flags: { ...relay, "on-failover": folder.at("triggers") },
  });

  assertEquals((await folder.read("order")).trim().split("\n"), [
    ...["10-c begins", "10-c ends"],
    ...["20-b begins", "20-b ends"],
    ...["30-a begins", "30-a ends"],
  ]);
  assertEquals(await proxy.ask(), "primary");
});

scenario(
  "a trigger gets the host as its only argument, and all facts in its environment",
  async (relay) => {
    await using folder = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    const trigger = await folder.script(
      "trigger.sh",
      'echo "$# $1"; echo "$FAILOVER_EVENT|$FAILOVER_EVENT_ID|$FAILOVER_EPOCH|$FAILOVER_FROM|' +
        '$FAILOVER_TO|$FAILOVER_REASON|$FAILOVER_SERVICE"',
    );
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: { ...relay, "on-failover": trigger },
    });

    await proxy.event("program.said", { line: `1 ${primary.name}` });
    const start = await proxy.event("program.said", { line: /\|/ });
    const first = await proxy.event("promotion.finished", { epoch: 1 });
    assertEquals(start.line.split("|").slice(0, 5), ["start", first.id, "1", "", primary.name]);

    await primary.kill();
    const reported = await proxy.event("program.said", { line: /^failover\|/ });
    const second = await proxy.event("promotion.finished", { epoch: 2 });
    assertEquals(
      reported.line.split("|").slice(0, 5),
      ["failover", second.id, "2", primary.name, backup.name],
    );
    assertMatch(reported.line, /connection refused/);
  },
);

scenario("a trigger that fails causes a warning only", async (relay) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await folder.script("triggers/1-fails", "exit 7");
  await folder.script("triggers/2-goes-on", "touch went-on");
  await using proxy = await startProxy({
    upstreams: [primary],
    flags: { ...relay, "on-failover": folder.at("triggers") },
  });

  const failed = await proxy.event("trigger.failed", { program: /1-fails/ });
  assertEquals(failed.level, "warn");
  assertMatch(failed.reason, /7/);
  assertEquals(await folder.read("went-on"), "");
  assertEquals(await proxy.ask(), "primary");
});

scenario(
  "a trigger past its deadline is ended with its children, and clients get through",
  async (relay) => {
    await using folder = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    const trigger = await folder.script("trigger.sh", "sleep 600 & echo $! > pid; wait");
    await using proxy = await startProxy({
      upstreams: [primary],
      flags: { ...relay, "on-failover": trigger, "trigger-timeout": "2s" },
    });

    await proxy.event("trigger.failed");
    assertEquals(await proxy.ask(), "primary");
    const pid = (await folder.read("pid")).trim();
    await untilGone([pid]);
  },
);

scenario(
  "a candidate that goes down during its triggers is replaced by the next one",
  async (relay) => {
    await using folder = await Folder.make();
    await using first = await startUpstream({ says: "first" });
    await using second = await startUpstream({ says: "second" });
    const trigger = await folder.script(
      "trigger.sh",
      `[ "$1" = '${second.name}' ] || { ${waitForFile("go")}; }`,
    );
    await using proxy = spawnProxy({
      upstreams: [first, second],
      flags: { ...relay, "on-failover": trigger },
    });

    await proxy.event("trigger.started");
    await first.kill();
    await proxy.event("upstream.down", { upstream: first.name });
    await folder.write("go", "");

    await proxy.event("promotion.abandoned", { to: first.name });
    await proxy.event("port.opened");
    assertEquals(await proxy.ask(), "second");
  },
);

scenario("a second signal ends a trigger that ignores the first one", async (relay) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  const trigger = await folder.script(
    "trigger.sh",
    "trap '' TERM INT\nsleep 600 &\necho $$ $! > pids\nwhile :; do sleep 1; done",
  );
  await using proxy = spawnProxy({
    upstreams: [primary],
    flags: { ...relay, "on-failover": trigger },
  });
  await folder.reads("pids", (text) => text.endsWith("\n"));

  proxy.signal("SIGTERM");
  await proxy.event("proxy.stopping");
  proxy.signal("SIGTERM");

  const { code } = await withTestDeadline("the proxy to end", proxy.ended, proxy.lastLines);
  assertEquals(code, 0);
  await untilGone((await folder.read("pids")).trim().split(" "));
});
