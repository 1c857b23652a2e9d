/** The incident records of the real proxy: their moments, and the outcome for clients. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import type { IncidentRecord } from "../../src/incidents/record.ts";
import { runCommand } from "../harness/command.ts";
import { Control } from "../harness/control.ts";
import { Folder, waitForFile } from "../harness/folder.ts";
import { startProxy } from "../harness/proxy.ts";
import { ENGINES, scenario, testWithPrograms } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { Upgradable } from "../harness/upgradable.ts";
import { startUpstream } from "../harness/upstream.ts";
import { startWebPair } from "../harness/web_pair.ts";

/** The last incident, as soon as it fulfils a condition. */
async function lastIncident(
  control: Control,
  isWanted: (record: IncidentRecord) => boolean,
): Promise<IncidentRecord> {
  let isOver = false;
  const search = async () => {
    while (!isOver) {
      const { incidents } = await (await control.get("incidents")).json();
      const last = incidents.at(-1);
      if (last !== undefined && isWanted(last)) return last;
    }
  };
  return await withTestDeadline("the incident", search()).finally(() => isOver = true);
}

scenario("a failover is recorded with its clients, sessions and triggers", async (relay) => {
  await using control = await Control.make();
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  const trigger = await folder.script(
    "promote.sh",
    `[ "$FAILOVER_EVENT" = start ] || { ${waitForFile(folder.at("go"))}; }`,
  );
  await using proxy = await startProxy({
    upstreams: [primary, backup],
    flags: { ...relay, control: control.path, "on-failover": trigger, grace: "0s" },
  });
  assertEquals(await proxy.ask(), "primary");
  await primary.kill();
  await proxy.event("trigger.started", { epoch: 2 });
  const held = proxy.ask();
  await lastIncident(control, ({ clients }) => clients.most_held === 1);
  await folder.write("go", "");
  assertEquals(await held, "backup");
  const record = await lastIncident(control, ({ t }) => t.first_success !== undefined);

  assertEquals([record.kind, record.outcome, record.epoch], ["failover", "served", 2]);
  assertEquals([record.from, record.to], [primary.name, backup.name]);
  const order = [
    "first_failure",
    "down",
    "held",
    "triggers_begin",
    "triggers_end",
    "open",
  ] as const;
  const times = order.map((moment) => Date.parse(record.t[moment]!));
  assertEquals(times, times.toSorted((a, b) => a - b), JSON.stringify(record.t));
  assertEquals(record.triggers.map(({ program, reason }) => [program, reason]), [[trigger, null]]);
  assert(record.evidence.some(({ upstream, passed }) => upstream === primary.name && !passed));
  assert(record.evidence.some(({ upstream, passed }) => upstream === backup.name && passed));
  const { most_held, released, lost, hold_p50_ms } = record.clients;
  assertEquals([most_held, released, lost, typeof hold_p50_ms], [1, 1, 0, "number"]);
  const { id } = await proxy.event("promotion.finished", { epoch: 2 });
  assertEquals(record.promotions, [id]);

  const one = await (await control.get(`incidents/${record.id}?inputs=true`)).json();
  assertEquals(one.id, record.id);
  assert(one.inputs.entries.length > 2);
  for (const unknown of ["incidents/none", "incidents?service=none", "timeline?service=none"]) {
    const answer = await control.get(unknown);
    assertEquals([answer.status, typeof (await answer.json()).error], [404, "string"]);
  }
  const { services: [{ changes }] } = await (await control.get("timeline")).json();
  assertEquals(changes.at(-1).upstream, backup.name);
  const metrics = await (await control.get("metrics")).text();
  assertStringIncludes(metrics, 'failover_incidents_total{service="tcp",kind="failover"} 1');
});

scenario("in HTTP mode, too, and the public port shows no incident", async (relay) => {
  await using pair = await startWebPair(relay);
  const { primary, proxy, control } = pair;
  await primary.kill();
  await proxy.event("promotion.finished", { move: "failover" });
  assertEquals((await proxy.get("/")).status, 200);
  const record = await lastIncident(
    control,
    ({ kind, t }) => kind === "failover" && t.first_success !== undefined,
  );
  assertMatch(record.reason, /is down/);
  const replayed = await runCommand([
    ...["replay", record.id, "--with", "fail_threshold=1", "--json", "--control", control.path],
  ]);
  assertEquals(JSON.parse(replayed.out).is_same, true, replayed.err);
  const one = await runCommand(["history", record.id, "--control", control.path]);
  assertMatch(one.out, /a client received an answer/);
  const response = await fetch(`http://${proxy.address}/__failover/incidents`);
  assertEquals(response.status, 404);
  await response.body?.cancel();
});

/** Asks again and again until the answer is as wanted. */
async function asked<T>(
  what: string,
  ask: () => Promise<T>,
  isWanted: (answer: T) => boolean,
): Promise<T> {
  let isOver = false;
  const search = async () => {
    for (;;) {
      const answer = await ask();
      if (isOver || isWanted(answer)) return answer;
    }
  };
  return await withTestDeadline(what, search()).finally(() => isOver = true);
}

const isLinux = Deno.build.os === "linux";
for (const relay of isLinux ? ENGINES : []) {
  const name =
    `[${relay}] history shows reloads and upgrades between the incidents, also of earlier processes`;
  testWithPrograms(name, [], async () => {
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    await using it = await Upgradable.start(async (more, folder) => {
      await folder.write("failover.yaml", "hold: 1s\n");
      const flags = { config: folder.at("failover.yaml"), "state-dir": folder.at("state"), relay };
      return await startProxy({ upstreams: [primary, backup], flags: { ...more, ...flags } });
    });
    const { proxy, control, folder } = it;
    const history = async (...more: string[]) =>
      await runCommand(["history", ...more, "--control", control.path]);
    assertEquals(await proxy.ask(), "primary");
    await folder.write("failover.yaml", "hold: 2s\nfail_threshold: 1\n");
    const reload = () => runCommand(["reload", "--control", control.path]);
    assertEquals((await reload()).code, 0);
    // What changes nothing is no change.
    assertEquals((await reload()).code, 0);
    // It is written in the background, and the next process reads it at its start.
    const stored = () => runCommand(["history", "--state-dir", folder.at("state")]);
    await asked("the reload on disk", stored, ({ out }) => out.includes("reload: "));
    await folder.write("failover.yaml", "hold: forever\n");
    assertEquals((await reload()).code, 2);
    await folder.write("failover.yaml", "hold: 2s\nfail_threshold: 1\n");
    assertEquals((await it.upgrade()).status, 200);
    await primary.kill();
    await proxy.event("promotion.finished", { to: backup.name });

    // What is on disk is read in the background as well.
    const isRead = ({ out }: { readonly out: string }) => out.includes('"reload"');
    const { out: json } = await asked("the reload in memory", () => history("--json"), isRead);
    const list = JSON.parse(json) as IncidentRecord[];

    const kinds = list.map(({ kind }) => kind).filter((kind) => kind !== "start");
    assertEquals(kinds, ["reload", "upgrade", "failover"]);
    const { id, by } = list.find(({ kind }) => kind === "reload")!;
    assertMatch(by!, /\w/);
    const { out } = await history();
    assertMatch(out, /reload: .*hold 1s → 2s/);
    assertMatch(out, new RegExp(`upgrade: from \\S+ \\(process ${it.pids[0]}\\)`));
    assertMatch((await history(id)).out, /what differs:\n.*\n? *.*fail_threshold 3 → 1/);
    const page = await (await control.get("page")).text();
    assertStringIncludes(page, "reload: ");
    assertStringIncludes(page, "upgrade: ");
    const replay = await runCommand(["replay", id, "--control", control.path]);
    assertEquals([replay.code, replay.err], [1, `failover: ${id} is no incident: it was a reload`]);
  });
}

for (const relay of isLinux ? ENGINES : []) {
  testWithPrograms(
    `[${relay}] an incident under way at an upgrade was handed over`,
    [],
    async () => {
      await using primary = await startUpstream({ says: "primary" });
      await using it = await Upgradable.start(async (more, folder) => {
        const flags = { "state-dir": folder.at("state"), relay };
        return await startProxy({ upstreams: [primary], flags: { ...more, ...flags } });
      });
      const { proxy, control, folder } = it;
      assertEquals(await proxy.ask(), "primary");
      await primary.kill();
      await proxy.event("selection.failed");
      const refused = await it.upgrade("/bin/false");
      assertEquals(refused.status, 409);
      const isTold = ({ out }: { readonly out: string }) =>
        /outage of \S+, until another process took over/.test(out);
      const before = await runCommand(["history", "--control", control.path]);
      assertMatch(before.out, /UNDER WAY: outage of /);

      assertEquals((await it.upgrade()).status, 200);

      const ask = () => runCommand(["history", "--control", control.path]);
      const { out } = await asked("the outage in memory", ask, isTold);
      assertMatch(out, /UNDER WAY: outage: start/);
      const offline = () => runCommand(["history", "--state-dir", folder.at("state")]);
      await asked("the outage on disk", offline, isTold);
      assertEquals(/killed/.test(out + (await offline()).out), false);
    },
  );
}

scenario("history says that a restart came with other options", async (relay) => {
  await using control = await Control.make();
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  const bind = `127.0.0.1:${unusedPort()}`;
  const run = async (hold: string, starts: number) => {
    const flags = { ...relay, control: control.path, "state-dir": folder.at("state"), hold };
    await using proxy = await startProxy({ upstreams: [primary], flags, bind });
    assertEquals(await proxy.ask(), "primary");
    await lastIncident(control, ({ outcome }) => outcome === "served");
    const history = () => runCommand(["history", "--control", control.path]);
    const { out } = await asked(
      "all starts",
      history,
      ({ out }) => out.split("\n").length === starts,
    );
    assertEquals(await proxy.stop(), 0);
    return out.split("\n").map((line) => /\(since .*/.exec(line)?.[0]);
  };
  assertEquals(await run("1s", 1), [undefined]);
  assertEquals(await run("1s", 2), [undefined, undefined]);
  assertEquals(await run("2s", 3), [undefined, undefined, "(since the one before: other options)"]);
});
