/** Every operator command, as a separate process, with a running proxy. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { COMMAND_NAMES, EXIT_NO_PROCESS, EXIT_USAGE } from "../../src/config/commands.ts";
import { runCommand, RunningCommand } from "../harness/command.ts";
import { Control } from "../harness/control.ts";
import { EXECUTABLE, startProxy } from "../harness/proxy.ts";
import { scenario, testWithPrograms } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";

/** A primary, a backup, a proxy in front, and commands to it. */
async function startPair(flags: Readonly<Record<string, string>>) {
  await using parts = new AsyncDisposableStack();
  const control = parts.use(await Control.make());
  const primary = parts.use(await startUpstream({ says: "primary" }));
  const backup = parts.use(await startUpstream({ says: "backup" }));
  const proxy = parts.use(
    await startProxy({
      upstreams: [primary, backup],
      // No check fails because the machine is busy.
      flags: { hold: "1m", "check-timeout": "20s", control: control.path, ...flags },
    }),
  );
  // A switchover needs an upstream that has passed a check.
  await proxy.event("upstream.up", { upstream: backup.name });
  const owned = parts.move();
  const command = (...args: string[]) => runCommand([...args, "--control", control.path]);
  return {
    ...{ control, primary, backup, proxy, command },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

scenario(
  "status shows which upstream serves, and its exit code the state of the service",
  async (relay) => {
    await using scene = await startPair(relay);
    const { command, primary, backup, proxy } = scene;
    const well = await command("status");
    assertEquals([well.code, well.err], [0, ""]);
    assertStringIncludes(well.out, `${primary.name} serves (rank 0, epoch 1)`);
    const { code, out } = await command("status", "tcp", "--json");
    assertEquals([code, JSON.parse(out).active], [0, primary.name]);

    await primary.kill();
    await proxy.event("promotion.finished", { to: backup.name });
    const onBackup = await command("status");
    assertEquals(onBackup.code, 1);
    assertStringIncludes(onBackup.out, "NOT READY");

    await backup.kill();
    await proxy.event("selection.failed");
    assertEquals((await command("status")).code, 2);
    const unknown = await command("status", "nobody");
    assertEquals([unknown.code, unknown.err], [EXIT_USAGE, 'failover: no service "nobody"']);
  },
);

scenario("switchover and failback move the traffic and wait for the end", async (relay) => {
  await using scene = await startPair({ ...relay, failback: "manual" });
  const { command, primary, backup, proxy } = scene;
  const args = ["--to", backup.name, "--max-wait", "1s", "--reason", "new kernel"];
  assertEquals(await command("switchover", ...args), {
    code: 0,
    out: "switchover: done (epoch 2)",
    err: "",
  });
  assertEquals(await proxy.ask(), "backup");
  assertMatch((await proxy.event("promotion.started", { epoch: 2 })).reason, /new kernel$/);

  const again = await command("switchover", "--to", backup.name);
  assertEquals([again.code, again.err], [1, `failover: refused: ${backup.name} is active already`]);

  assertEquals((await command("failback")).code, 0);
  assertEquals(await proxy.ask(), "primary");
  assertEquals((await command("failback", "--json")).code, 1);
  assertEquals(primary.name, (await proxy.event("promotion.finished", { epoch: 3 })).to);
});

scenario("pause, hold and drain stay in force until they are undone", async (relay) => {
  await using scene = await startPair(relay);
  const { command, backup, proxy } = scene;
  assertEquals((await command("pause", "--reason", "disk")).code, 0);
  assertEquals((await command("hold", "--max", "50s")).code, 0);
  assertEquals((await command("drain", backup.name)).code, 0);
  const { out } = await command("status");
  assertMatch(out, /^ {2}PAUSED .* \(disk\): no automatic decision is made$/m);
  assertMatch(out, /^ {2}HELD .*: new clients wait$/m);
  assertMatch(out, /\[drained by .*\]/);

  for (const args of [["resume"], ["release"], ["undrain", backup.name, "tcp"]]) {
    assertEquals((await command(...args)).code, 0, args.join(" "));
  }
  await proxy.event("service.resumed");
  await proxy.event("hold.ended");
  await proxy.event("upstream.undrained", { upstream: backup.name });
  assertEquals(/PAUSED|HELD|drained/.test((await command("status")).out), false);
  const refused = await command("hold", "--max", "2m");
  assertEquals(refused.code, 1);
  assertMatch(refused.err, /^failover: refused: 2m is longer than any client waits/);
});

scenario("history lists the incidents, and shows one with its moments", async (relay) => {
  await using scene = await startPair(relay);
  const { command, primary, backup, proxy } = scene;
  await primary.kill();
  const { id } = await proxy.event("promotion.finished", { to: backup.name });
  const all = await command("history");
  assertEquals([all.code, all.out.split("\n").length], [0, 2]);
  const what = `failover from ${primary.name} to ${backup.name} (epoch 2)`;
  assertStringIncludes(all.out, what);
  // Triggers and the log know the id of the promotion.
  const one = await command("history", id);
  assertStringIncludes(one.out, `${primary.name}  failed: connection refused`);
  assertMatch(one.out, /\+0s +first failure$/m);
  const [, incident] = JSON.parse((await command("history", "--json")).out);
  assertEquals([incident.kind, incident.promotions], ["failover", [id]]);
  assertStringIncludes((await command("history", incident.id)).out, what);
  const unknown = await command("history", "nothing");
  assertEquals([unknown.code, unknown.err], [1, "failover: there is no incident nothing"]);
});

scenario("replay shows the decisions, and those with other options", async (relay) => {
  await using scene = await startPair({ ...relay, "fail-threshold": "3" });
  const { command, primary, backup, proxy } = scene;
  await primary.kill();
  const { id } = await proxy.event("promotion.finished", { to: backup.name });
  const plain = await command("replay", id);
  assertEquals([plain.code, plain.err], [0, ""]);
  assertStringIncludes(plain.out, `failover from ${primary.name} to ${backup.name} done`);
  const args = ["--with", "fail_threshold=1", "--with", "hold=1s"];
  const other = await command("replay", id, ...args);
  assertMatch(other.out, /would have served as well, \S+ earlier/);
  const { is_same, would_have_decided } = JSON.parse(
    (await command("replay", id, ...args, "--json")).out,
  );
  assertEquals(is_same, true);
  assert(would_have_decided.length > 0);
  const wrong = await command("replay", id, "--with", "fail_threshold=many");
  assertEquals(wrong.code, 2);
  assertMatch(wrong.err, /^failover: Cannot use "many" as fail_threshold: expected .*$/);
  assertEquals((await command("replay", "nothing")).code, 1);
});

scenario(
  "watch prints a line for each event, until it is ended or the proxy ends",
  async (relay) => {
    await using scene = await startPair(relay);
    const { command, control, proxy } = scene;
    await using first = new RunningCommand(["watch", "--control", control.path]);
    await using second = new RunningCommand(["watch", "tcp", "--json", "--control", control.path]);
    // Events from before it was connected are not shown, so the order is repeated until it is seen.
    const seen = Promise.all([first.line(/paused by/), second.line(/"event":"service.paused"/)]);
    let isSeen = false;
    void seen.then(() => isSeen = true);
    for (let turn = 0; !isSeen && turn < 200; turn++) {
      await command("pause");
      await command("resume");
    }
    await seen;
    assertEquals(await first.end("SIGINT"), 0);
    await proxy.stop();
    assertEquals(await second.end(), EXIT_NO_PROCESS);
  },
);

Deno.test("commands without a proxy end with 3, and report where they looked for one", async () => {
  await using control = await Control.make();
  for (const name of COMMAND_NAMES.filter((each) => each !== "explain")) {
    const operands = name.endsWith("drain") || name === "replay"
      ? ["b"]
      : name === "switchover"
      ? ["--to", "b"]
      : [];
    // Never at the default path, where a proxy may serve this machine.
    const run = await runCommand([name, ...operands, "--control", control.path]);
    assertEquals(run.code, EXIT_NO_PROCESS, run.err);
    assertStringIncludes(run.err, `${control.path}: there is no socket`);
  }
});

Deno.test("explain needs no proxy, and takes the options of one", async () => {
  const options = ["--hosts", "db1:5432,db2:5432", "--port", "5432", "--hold", "3s"];
  const text = await runCommand(["explain", ...options]);
  assertEquals([text.code, text.err], [0, ""]);
  assertStringIncludes(text.out, "silent: usually 4.05s, at worst ");
  assertStringIncludes(text.out, "trap: hold 3s is shorter than the worst sum of refused, silent");
  const json = await runCommand(["explain", "--json", ...options]);
  assertEquals(JSON.parse(json.out)[0].mode, "tcp");
  const wrong = await runCommand(["explain", "--hosts"]);
  assertEquals([wrong.code, wrong.out], [2, ""]);
  assertEquals((await runCommand(["explain", "--help"])).code, 0);
});

Deno.test("a wrong command line ends with 64, and --help with 0", async () => {
  const wrong = await runCommand(["drain"]);
  assertEquals([wrong.code, wrong.err.split("\n")[0]], [EXIT_USAGE, "failover: drain needs HOST"]);
  const help = await runCommand(["switchover", "--help"]);
  assertEquals(help.code, 0);
  assert(help.out.startsWith("usage: failover switchover"));
});

testWithPrograms(
  "a command whose output pipe is closed ends, and one that cannot print says why",
  ["sh"],
  async () => {
    await using scene = await startPair({});
    const { control, command } = scene;
    const words = [Deno.execPath(), ...EXECUTABLE].map((word) => `'${word}'`).join(" ");
    // The shell prints the exit code of the command, not that of its reader.
    const script =
      `{ ${words} watch --control '${control.path}'; echo "ended with $?" >&2; } | head -n 1`;
    await using shell = new RunningCommand(["-c", script], ["sh"]);
    let isOver = false;
    const ended = shell.line(/^ended with/).finally(() => isOver = true);
    for (let turn = 0; !isOver && turn < 200; turn++) {
      await command("pause");
      await command("resume");
    }
    assertEquals(await ended, "ended with 141");

    const full = await new Deno.Command("sh", {
      args: ["-c", `${words} status --control '${control.path}' > /dev/full`],
    }).output();
    assertEquals([full.code, new TextDecoder().decode(full.stderr).trim()], [
      1,
      "failover: cannot print: No space left on device",
    ]);
  },
);
