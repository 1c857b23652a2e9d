/** A drill with the real proxy: its findings, and that it has no effect. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { runCommand } from "../harness/command.ts";
import { Control } from "../harness/control.ts";
import { Folder, waitForFile } from "../harness/folder.ts";
import { type Proxy, startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { startWebPair } from "../harness/web_pair.ts";

/** The state without the fields that change by themselves. */
async function stateOf(control: Control) {
  const state = await (await control.get("state")).json();
  const { epoch, active, phase, admission, ready, upstreams } = state;
  const verdicts = upstreams.map(({ name, verdict }: Record<string, string>) => [name, verdict]);
  return { epoch, active, phase, admission, ready, verdicts };
}

/** The variables of a trigger, from the file that it wrote. */
async function variables(folder: Folder, file: string): Promise<Record<string, string>> {
  const lines = (await folder.read(file)).trim().split("\n");
  return Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)));
}

function promotions(proxy: Proxy): number {
  return proxy.events("promotion.started").length;
}

scenario("a drill reports which upstream would take over, and changes nothing", async (relay) => {
  await using control = await Control.make();
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  await using third = await startUpstream({ says: "third" });
  // It prints its variables, which are those of a failover.
  const check = await folder.script(
    "check.sh",
    `echo "$1 $FAILOVER_PHASE" >> "${folder.at("asked")}"`,
  );
  await using proxy = await startProxy({
    upstreams: [primary, backup, third],
    flags: { ...relay, control: control.path, "check-host": check },
  });
  await proxy.event("upstream.up", { upstream: backup.name });
  await proxy.event("upstream.up", { upstream: third.name });
  const session = await proxy.connect();
  const ask = async () => {
    await session.say("who");
    return await session.line();
  };
  assertEquals(await ask(), "primary");
  const before = await stateOf(control);
  const drill = (...args: string[]) => runCommand(["drill", ...args, "--control", control.path]);

  await folder.write("asked", "");
  const good = await drill("tcp", "--reason", "before the weekend");
  assertEquals([good.code, good.err], [0, ""]);
  assertStringIncludes(good.out, `${backup.name} would take over: it is the first in order`);
  assertMatch(good.out, /refused: usually \S+, at worst \S+$/m);
  assertMatch((await proxy.event("drill.started")).reason, /^before the weekend$/);
  assertEquals((await proxy.event("drill.finished")).chosen, backup.name);
  assert((await folder.read("asked")).includes(`${backup.name} selecting\n`));

  await backup.kill();
  const other = JSON.parse((await drill("--json")).out);
  assertEquals([other.chosen, other.standbys.length], [third.name, 2]);
  assertMatch(other.why, new RegExp(`^${backup.name} (does not pass|is down)`));
  assertEquals(await ask(), "primary");
  const { verdicts: _, ...after } = await stateOf(control);
  const { verdicts: __, ...asBefore } = before;
  assertEquals(after, asBefore);
  assertEquals(promotions(proxy), 1);

  await third.kill();
  const nobody = await drill();
  assertEquals(nobody.code, 1);
  assertStringIncludes(nobody.out, "NOBODY would take over: no other upstream passes its check");
  // Status and drill agree as soon as the checks have noticed it.
  await proxy.event("upstream.down", { upstream: third.name });
  await proxy.event("upstream.down", { upstream: backup.name });
  assertStringIncludes((await runCommand(["status", "--control", control.path])).out, "NOT READY");
  assertEquals(JSON.parse((await drill("--json")).out).ready, false);
  assertEquals(await ask(), "primary");
  session.close();
});

scenario("triggers are rehearsed with FAILOVER_EVENT=drill, one drill at a time", async (relay) => {
  await using control = await Control.make();
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  const trigger = await folder.script(
    "promote.sh",
    [
      `[ "$FAILOVER_EVENT" = drill ] || exit 0`,
      `env | grep ^FAILOVER_ > "${folder.at("env.new")}"; mv "${folder.at("env.new")}" "${
        folder.at("env")
      }"`,
      waitForFile(folder.at("go")),
      `exit $(cat "${folder.at("go")}")`,
    ].join("\n"),
  );
  await using proxy = await startProxy({
    upstreams: [primary, backup],
    flags: { ...relay, control: control.path, "on-failover": trigger, "trigger-timeout": "1m" },
  });
  await proxy.event("upstream.up", { upstream: backup.name });
  const { id } = await proxy.event("promotion.finished");
  const drill = (...args: string[]) => runCommand(["drill", ...args, "--control", control.path]);

  const first = drill("--run-triggers", "--reason", "rehearsal");
  await proxy.event("drill.started", { runsTriggers: true });
  const second = await drill();
  assertEquals([second.code, second.err], [1, "failover: refused: a drill is under way already"]);
  await folder.write("go", "0\n");
  const rehearsed = await first;
  assertEquals([rehearsed.code, rehearsed.err], [0, ""]);
  assertStringIncludes(rehearsed.out, "1 trigger: succeeded in ");
  const env = await variables(folder, "env");
  assertEquals(
    [env.FAILOVER_EVENT, env.FAILOVER_FROM, env.FAILOVER_TO, env.FAILOVER_EPOCH],
    ["drill", primary.name, backup.name, "1"],
  );
  assertMatch(env.FAILOVER_REASON!, /^a drill, ordered by .*: rehearsal$/);
  assertMatch(env.FAILOVER_EVENT_ID!, new RegExp(`^${id.replace(/-\d+$/, "")}-drill-1$`));

  await folder.write("go", "3\n");
  const failed = await drill("--run-triggers");
  assertEquals(failed.code, 1);
  assertStringIncludes(failed.out, "1 trigger: FAILED: ");
  // A trigger that failed says nothing about how long one takes.
  assertMatch(failed.out, / 0s +\S+ {2}the trigger /);
  assertStringIncludes(
    (await proxy.event("drill.finished", { triggersFailed: /3/ })).message,
    "FAILED",
  );
  // The run did not belong to a promotion.
  assertEquals([promotions(proxy), proxy.events("trigger.failed").length], [1, 0]);
  const incidents = (await (await control.get("incidents")).json()).incidents;
  assertEquals(
    incidents.map(({ kind, triggers }: { kind: string; triggers: unknown[] }) => [
      kind,
      triggers.length,
    ]),
    [["start", 1]],
  );
});

scenario("a real failover does not wait for a drill, and ends its triggers", async (relay) => {
  await using control = await Control.make();
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  const trigger = await folder.script(
    "promote.sh",
    `[ "$FAILOVER_EVENT" = drill ] || exit 0\ntouch "${folder.at("begun")}"\nexec sleep 600`,
  );
  await using proxy = await startProxy({
    upstreams: [primary, backup],
    flags: { ...relay, control: control.path, "on-failover": trigger },
  });
  await proxy.event("upstream.up", { upstream: backup.name });
  const drill = runCommand(["drill", "--run-triggers", "--control", control.path]);
  await folder.has("begun");
  await primary.kill();
  assertEquals(await proxy.ask(), "backup");
  const { code, out } = await drill;
  assertEquals(code, 1, out);
  assertStringIncludes(out, "1 trigger: FAILED: cancelled");
  await proxy.event("promotion.finished", { to: backup.name });
});

scenario("a drill in HTTP mode; the public port refuses it", async (relay) => {
  await using pair = await startWebPair(relay);
  const { proxy, control } = pair;
  const run = await runCommand(["drill", "--control", control.path]);
  assertEquals([run.code, run.err], [0, ""]);
  assertMatch(run.out, /^http \(http\): .* serves\n.*passed: /);
  const url = `http://${proxy.address}/__failover/drill`;
  const response = await fetch(url, { method: "POST" });
  await response.body?.cancel();
  assertEquals(response.status, 404);
  const wrong = await runCommand(["drill", "--run-triggers", "--control", control.path]);
  assertEquals([wrong.code, wrong.err], [
    1,
    "failover: refused: there are no triggers (--on-failover)",
  ]);
});
