/** Every command to a running proxy, in both modes and with several services in one process. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { EXIT_NO_PROCESS, EXIT_USAGE } from "../../src/config/commands.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { ask as askTcp } from "../harness/client.ts";
import { type CommandRun, runCommand, RunningCommand } from "../harness/command.ts";
import { Control } from "../harness/control.ts";
import { Folder } from "../harness/folder.ts";
import { Proxy, startProxy } from "../harness/proxy.ts";
import { scenario, testWithPrograms } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startUpstream } from "../harness/upstream.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

interface Scene extends AsyncDisposable {
  readonly proxy: Proxy;
  readonly service: string;
  readonly primary: string;
  readonly backup: string;
  readonly ask: () => Promise<string>;
  readonly command: (...args: string[]) => Promise<CommandRun>;
}

type Flags = Readonly<Record<string, string>>;

/** No check fails because the machine is busy. */
const FLAGS = { hold: "1m", failback: "manual", "check-timeout": "20s" };

async function tcpScene(flags: Flags): Promise<Scene> {
  await using parts = new AsyncDisposableStack();
  const control = parts.use(await Control.make());
  const primary = parts.use(await startUpstream({ says: "primary" }));
  const backup = parts.use(await startUpstream({ says: "backup" }));
  const all = { ...FLAGS, ...flags, control: control.path };
  const proxy = parts.use(await startProxy({ upstreams: [primary, backup], flags: all }));
  await proxy.event("upstream.up", { upstream: backup.name });
  return {
    ...{ proxy, service: "tcp", primary: primary.name, backup: backup.name },
    ask: () => proxy.ask(),
    ...withCommands(control, parts.move()),
  };
}

async function httpScene(flags: Flags): Promise<Scene> {
  await using parts = new AsyncDisposableStack();
  const control = parts.use(await Control.make());
  const primary = parts.use(await WebUpstream.start("primary"));
  const backup = parts.use(await WebUpstream.start("backup"));
  const all = { ...FLAGS, ...flags, control: control.path };
  const proxy = parts.use(await startWebProxy({ primary, backups: [backup], flags: all }));
  await proxy.event("upstream.up", { upstream: backup.url });
  return {
    ...{ proxy, service: "http", primary: primary.url, backup: backup.url },
    ask: async () => (await proxy.get("/")).text,
    ...withCommands(control, parts.move()),
  };
}

function withCommands(control: Control, parts: AsyncDisposableStack) {
  return {
    command: (...args: string[]) => runCommand([...args, "--control", control.path]),
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

for (const [mode, start] of [["TCP", tcpScene], ["HTTP", httpScene]] as const) {
  scenario(`in ${mode} mode every command does what it says, and prints JSON`, async (relay) => {
    await using scene = await start(relay);
    const { proxy, service, primary, backup, ask, command } = scene;
    const json = async (code: number, ...args: string[]) => {
      const run = await command(...args, "--json");
      assertEquals(run.code, code, `${args.join(" ")}: ${run.out}${run.err}`);
      return JSON.parse(run.out);
    };
    const state = () => json(0, "status", service);
    assertEquals((await state()).active, primary);

    const reason = ["--reason", "new kernel"];
    const moved = await json(
      0,
      "switchover",
      service,
      "--to",
      backup,
      "--max-wait",
      "1s",
      ...reason,
    );
    assertEquals([moved.outcome, moved.epoch], ["finished", 2]);
    assertEquals(await ask(), "backup");
    assertEquals((await json(1, "status")).on_backup, true);
    assertEquals((await json(1, "switchover", "--to", backup)).outcome, "refused");
    assertEquals((await json(1, "switchover", "--to", "http://nobody:1")).outcome, "refused");
    assertEquals((await json(0, "failback", service, ...reason)).outcome, "finished");
    assertEquals(await ask(), "primary");

    await json(0, "pause", ...reason);
    assertEquals((await state()).paused.reason, "new kernel");
    assertStringIncludes((await command("status")).out, "NOT READY: paused");
    await json(0, "resume");
    assertEquals((await state()).paused, null);

    await json(0, "hold", "--max", "50s");
    assertEquals((await json(2, "status")).admission, "holding");
    const waits = ask();
    await json(0, "release", service);
    assertEquals([await waits, (await state()).held_by_order], ["primary", null]);

    await json(0, "drain", backup, ...reason);
    assertEquals((await state()).ready, false);
    assertEquals((await json(1, "drain", primary)).outcome, "refused");
    assertEquals((await json(1, "switchover", "--to", backup)).outcome, "refused");
    await json(0, "undrain", backup, service);
    assertEquals((await state()).ready, true);

    const records = await json(0, "history");
    assert(Array.isArray(records) && records.length >= 2, JSON.stringify(records));
    const started = await proxy.event("promotion.started", { epoch: 2 });
    assertStringIncludes(started.reason, "new kernel");
    const by = Deno.build.os === "linux" ? `uid ${Deno.uid()}` : "a local user";
    assertStringIncludes((await proxy.event("service.paused")).by, by);
  });

  scenario(`in ${mode} mode a hold by order ends at its maximum`, async (relay) => {
    await using scene = await start(relay);
    const { proxy, ask, command } = scene;
    assertEquals((await command("hold", "--max", "500ms")).code, 0);
    assertEquals(await ask(), "primary");
    await proxy.event("hold.ended");
    assertEquals((await command("status")).code, 0);
  });
}

scenario(
  "with several services a command names one, and the others are left alone",
  async ({ relay }) => {
    await using folder = await Folder.make();
    await using control = await Control.make();
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    await using web = await WebUpstream.start("web");
    const [one, two, http] = Array.from({ length: 3 }, () => `127.0.0.1:${unusedPort()}`);
    const hosts = `[${primary.name}, ${backup.name}]`;
    const config = await folder.write(
      "failover.yaml",
      `relay: ${relay}
json_logs: true
check_interval: 200ms
check_timeout: 20s
services:
  one: { bind: "${one}", hosts: ${hosts} }
  two: { bind: "${two}", hosts: ${hosts} }
  web: { listen: "${http}", primary: "${web.url}" }
`,
    );
    await using proxy = new Proxy(["--config", config, "--control", control.path], {});
    for (const service of ["one", "two", "web"]) {
      await proxy.event("promotion.finished", { service });
      if (service !== "web") await proxy.event("upstream.up", { service, upstream: backup.name });
    }
    const command = (...args: string[]) => runCommand([...args, "--control", control.path]);

    const all = await command("status");
    assertEquals(all.code, 0, all.err);
    for (const service of ["one (tcp)", "two (tcp)", "web (http)"]) {
      assertStringIncludes(
        all.out,
        service,
      );
    }
    const unnamed = await command("pause");
    assertEquals(unnamed.code, EXIT_USAGE);
    assertMatch(unnamed.err, /services: one, two, web/);
    assertEquals((await command("pause", "nobody")).code, EXIT_USAGE);

    assertEquals((await command("switchover", "two", "--to", backup.name)).code, 0);
    assertEquals([await askTcp(one!), await askTcp(two!)], ["primary", "backup"]);
    assertEquals((await command("status")).code, 1);
    assertEquals([(await command("status", "one")).code, (await command("status", "two")).code], [
      0,
      1,
    ]);
    assertEquals((await command("drain", backup.name, "one")).code, 0);
    assertEquals(
      JSON.parse((await command("status", "two", "--json")).out).upstreams[1].drained,
      null,
    );

    await web.kill();
    await proxy.event("upstream.down", { service: "web" });
    assertEquals((await command("status")).code, 2);
    assertEquals(JSON.parse((await command("status", "--json")).out).services.length, 3);
  },
);

testWithPrograms("watch redraws in a terminal, within its size", ["script", "stty"], async () => {
  await using scene = await tcpScene({});
  const { proxy, command, backup } = scene;
  const path = (await proxy.event("control.opened")).path;
  await using watch = RunningCommand.inTerminal(["watch", "--control", path], {
    columns: 60,
    rows: 12,
  });
  const [esc, redraw] = ["\x1b", "\x1b[H\x1b[J"];
  await withTestDeadline("a picture", watch.line(/serves/));
  assertEquals((await command("switchover", "--to", backup)).code, 0);
  const moved = new RegExp(`${backup.replaceAll(".", "\\.")} serves`);
  await withTestDeadline("the picture of the backup", watch.line(moved));
  assert(watch.lines.some((line) => line.startsWith(redraw)), "it redraws");
  for (const line of watch.lines) {
    const shown = line.replaceAll(redraw, "").replaceAll("\r", "");
    assert(shown.length <= 60 && !shown.includes(esc), JSON.stringify(line));
  }
  await proxy.stop();
  assertEquals(await watch.end(), EXIT_NO_PROCESS);
});
