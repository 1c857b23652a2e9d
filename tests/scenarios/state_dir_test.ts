/** The state folder of the real proxy: what is kept, and what happens if it cannot be used. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { IncidentRecord } from "../../src/incidents/record.ts";
import { runCommand } from "../harness/command.ts";
import { Control } from "../harness/control.ts";
import { Folder } from "../harness/folder.ts";
import { runProxy, startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { assertTroubleToldOnce } from "../harness/told_once.ts";
import { startUpstream } from "../harness/upstream.ts";

/** The incidents of the proxy, as soon as they fulfil a condition. */
async function incidents(
  control: Control,
  isWanted: (records: readonly IncidentRecord[]) => boolean,
): Promise<readonly IncidentRecord[]> {
  let isOver = false;
  const search = async () => {
    for (;;) {
      const records = (await (await control.get("incidents")).json()).incidents;
      if (isWanted(records) || isOver) return records;
    }
  };
  return await withTestDeadline("incidents", search()).finally(() => isOver = true);
}

/** Waits until the file has a line that `pattern` matches. */
async function lineIn(path: string, pattern: RegExp): Promise<string> {
  let isOver = false;
  const search = async () => {
    for (;;) {
      const text = await Deno.readTextFile(path).catch(() => "");
      const found = text.split("\n").find((line) => pattern.test(line));
      if (found !== undefined || isOver) return found ?? "";
    }
  };
  return await withTestDeadline(String(pattern), search()).finally(() => isOver = true);
}

scenario(
  "incidents are kept after a kill, and a running one is marked as interrupted",
  async (relay) => {
    await using control = await Control.make();
    await using folder = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    const state = folder.at("made/state");
    const flags = { ...relay, control: control.path, "state-dir": state };
    {
      await using proxy = await startProxy({ upstreams: [primary, backup], flags });
      await primary.kill();
      await proxy.event("promotion.finished", { to: backup.name });
      await backup.kill();
      await proxy.event("selection.failed");
      await lineIn(`${state}/incidents.jsonl`, /"nobody"|"id":.*no upstream|is down/);
      await incidents(control, (records) => records.length === 3);
      // The next incident completes the one before it.
      await lineIn(`${state}/incidents.jsonl`, /"kind":"failover".*"inputs":/);
      await lineIn(`${state}/incidents.jsonl`, new RegExp(`"from":"${backup.name}"`));
      await proxy.kill();
    }
    // A power cut in the middle of a line.
    await Deno.writeTextFile(`${state}/incidents.jsonl`, '{"id":"20', { append: true });
    await using again = await startUpstream({ says: "again" });
    await using proxy = await startProxy({ upstreams: [again], flags });
    const damaged = await proxy.event("state.damaged");
    assertEquals([damaged.lines, damaged.path], [1, `${state}/incidents.jsonl`]);
    const [start, failover, outage, last] = await incidents(
      control,
      (all) => all.length === 4 && all[3]!.outcome === "served",
    );
    assertEquals([start!.kind, failover!.to, last!.to], ["start", backup.name, again.name]);
    assertEquals([outage!.outcome, outage!.from], ["killed", backup.name]);
    assertEquals(await proxy.stop(), 0);

    const offline = await runCommand(["history", "--state-dir", state]);
    assertEquals([offline.code, offline.out.split("\n").length], [0, 4], offline.out);
    assertStringIncludes(offline.out, "until the process was killed");
    const one = await runCommand(["history", failover!.id, "--state-dir", state, "--json"]);
    assertEquals(JSON.parse(one.out).to, backup.name);
    const args = ["replay", failover!.id, "--state-dir", state, "--with", "fail_threshold=1"];
    const replayed = await runCommand(args);
    assertEquals([replayed.code, replayed.err], [0, ""]);
    assertMatch(replayed.out, /would have served as well/);
  },
);

scenario(
  "a folder that cannot be written is reported in one line, and the service continues",
  async (relay) => {
    await using folder = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    const state = folder.at("state");
    await Deno.mkdir(`${state}/incidents.jsonl`, { recursive: true });
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: { ...relay, "state-dir": state },
    });
    const { message } = await proxy.event("state.failed", { path: state });
    assertMatch(message, /^cannot use the state folder .*: /);
    await primary.kill();
    await proxy.event("promotion.finished", { to: backup.name });
    assertEquals(await proxy.ask(), "backup");
    assertEquals(await proxy.stop(), 0);
    assertTroubleToldOnce(proxy);
  },
);

Deno.test("an invalid state folder is refused before anything starts", async () => {
  await using folder = await Folder.make();
  const file = await folder.write("file", "");
  for (const more of [[], ["--check-config"]]) {
    const run = await runProxy(["-p", "1", "-H", "a:1", "--state-dir", file, ...more]);
    assertEquals([run.code, run.stderr.length], [2, 1], run.stderr.join("\n"));
    assertStringIncludes(run.stderr[0]!, `Cannot use "${file}" as state_dir: it is not a folder`);
  }
  const fresh = folder.at("fresh");
  const args = ["-p", "1", "-H", "a:1", "--state-dir", fresh, "--check-config"];
  assertEquals((await runProxy(args)).code, 0);
  assert(await Deno.stat(fresh).then(() => false, () => true), "--check-config made it");
});
