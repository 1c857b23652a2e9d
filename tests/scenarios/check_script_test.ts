/** The check script: its input, and the effect of its exit code, of its silence and of its children. */
import { assert, assertEquals } from "@std/assert";
import { untilGone } from "../harness/child.ts";
import { Folder, waitForFile } from "../harness/folder.ts";
import { runProxy, startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { refusingUpstream, startUpstream } from "../harness/upstream.ts";

scenario("an upstream that its check script denies is passed over", async (relay) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  const check = await folder.script("check.sh", `[ "$1" = '${backup.name}' ]`);
  await using proxy = await startProxy({
    upstreams: [primary, backup],
    flags: { ...relay, "check-host": check },
  });

  assertEquals(await proxy.ask(), "backup");
});

scenario("the check script still runs after the upstream was chosen", async (relay) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  const check = await folder.script("check.sh", `[ ! -e "denied-$1" ]`);
  await using proxy = await startProxy({
    upstreams: [primary, backup],
    flags: { ...relay, "check-host": check },
  });
  assertEquals(await proxy.ask(), "primary");

  await folder.write(`denied-${primary.name}`, "");

  await proxy.event("promotion.finished", { to: backup.name });
  assertEquals(await proxy.ask(), "backup");
});

scenario(
  "a check script gets the host as its only argument, and the active upstream and the epoch",
  async (relay) => {
    await using folder = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    // Its output is logged whenever its answer changes, and its answer changes with the epoch.
    const check = await folder.script(
      "check.sh",
      'echo "$# $1 active=$FAILOVER_ACTIVE epoch=$FAILOVER_EPOCH"; exit "$FAILOVER_EPOCH"',
    );
    await using proxy = await startProxy({
      upstreams: [primary],
      flags: { ...relay, "check-host": check },
    });

    const host = primary.name;
    await proxy.event("program.said", { upstream: host, line: `1 ${host} active= epoch=0` });
    await proxy.event("program.said", { upstream: host, line: `1 ${host} active=${host} epoch=1` });
  },
);

scenario(
  "a check script that hangs counts as a failure, and leaves nothing running",
  async (relay) => {
    await using folder = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    // It ignores SIGTERM, like a script that is blocked in the kernel.
    const check = await folder.script(
      "check.sh",
      `[ "$1" = '${backup.name}' ] && exit 0\ntrap '' TERM\necho $$ >> pids\nsleep 600 & wait; sleep 600`,
    );
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: { ...relay, "check-host": check, "check-script-timeout": "1s" },
    });

    assertEquals(await proxy.ask(), "backup");
    await folder.reads("pids", (text) => text.includes("\n"));
    assertEquals(await proxy.stop(), 0);
    const pids = (await folder.read("pids")).trim().split("\n");
    await untilGone(pids);
  },
);

scenario(
  "a check script whose grandchild keeps the pipe open counts by its exit code",
  async (relay) => {
    await using folder = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    const check = await folder.script("check.sh", "sleep 600 & echo $! >> pids; exit 0");
    await using proxy = await startProxy({
      upstreams: [primary],
      flags: { ...relay, "check-host": check, "check-script-timeout": "1h" },
    });

    assertEquals(await proxy.ask(), "primary");
    assertEquals(await proxy.stop(), 0);
    const pids = (await folder.read("pids")).trim().split("\n");
    await untilGone(pids);
  },
);

scenario(
  "the output of a check script is logged, and a very long one has no other effect",
  async (relay) => {
    await using folder = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    const check = await folder.script("check.sh", "echo I am here; yes | head -c 50000000");
    await using proxy = await startProxy({
      upstreams: [primary],
      flags: { ...relay, "check-host": check, "check-script-timeout": "10s" },
    });

    await proxy.event("program.said", { line: "I am here", upstream: primary.name });
    assertEquals(await proxy.ask(), "primary");
    assert(proxy.log.length < 5_000, `${proxy.log.length} lines of log`);
  },
);

scenario("each script that cannot run is reported at the start in one line", async () => {
  await using folder = await Folder.make();
  const upstream = refusingUpstream().name;
  const noBit = await folder.write("no-bit.sh", "#!/bin/sh\n");
  const missing = folder.at("missing.sh");
  for (const check of [noBit, missing, folder.path]) {
    const run = await runProxy(["-p", "1", "-H", upstream, "-c", check]);
    assertEquals(run.code, 2, run.stderr.join("\n"));
    assertEquals(run.stderr.length, 1, run.stderr.join("\n"));
    assert(run.stderr[0]!.includes(check), run.stderr[0]);
  }
});

scenario("a killed primary is noticed while its check script still runs", async (relay) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  // From its second run for the primary on it takes longer than this test waits.
  const check = await folder.script(
    "check.sh",
    `[ "$1" = '${backup.name}' ] && exit 0
    [ -e asked ] && { touch at-work; exec sleep 100; }
    touch asked`,
  );
  await using proxy = await startProxy({
    upstreams: [primary, backup],
    flags: { ...relay, "check-host": check, "check-script-timeout": "90s" },
  });
  await folder.has("at-work");

  await primary.kill();

  assertEquals(await proxy.ask(), "backup");
  const down = await proxy.event("upstream.down", { upstream: primary.name });
  assertEquals(down.reason, "connection refused");
});

scenario(
  "a NUL in the last line of a check script does not keep a trigger from running",
  async (relay) => {
    await using folder = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    const check = await folder.script(
      "check.sh",
      `[ -e stale ] && [ "$1" = '${primary.name}' ] && { printf 'stale\\0primary\\n'; exit 1; }; exit 0`,
    );
    const trigger = await folder.script("trigger.sh", 'echo "$FAILOVER_REASON"');
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: { ...relay, "check-host": check, "on-failover": trigger },
    });

    await folder.write("stale", "");

    await proxy.event("promotion.finished", { to: backup.name });
    await proxy.event("program.said", { upstream: backup.name, line: /: stale␀primary$/ });
    assertEquals(proxy.events("trigger.failed"), []);
    assertEquals(await proxy.ask(), "backup");
  },
);

scenario("a missing check script changes no verdict, and is reported", async (relay) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  const check = await folder.script("check.sh", "exit 0");
  await using proxy = await startProxy({
    upstreams: [primary, backup],
    flags: { ...relay, "check-host": check, "fail-threshold": "1" },
  });
  const session = await proxy.connect();
  await session.say("who");
  assertEquals(await session.line(), "primary");

  await Deno.remove(check);

  // If the script disappears between execve(2) and the shell's open(2), the shell reports it instead.
  await proxy.line(
    /check could not be started: it, or the interpreter it names, is missing|check exited with (2|127), and its file was removed meanwhile/,
  );
  await session.say("who");
  assertEquals(await session.line(), "primary");
  session.close();
  assertEquals(await proxy.ask(), "primary");
  assertEquals(proxy.events("upstream.down"), []);
});

scenario("a check that passes while its file is replaced is repeated", async (relay) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  // The result of a check that began before the end of the promotion does not count, so a few run first.
  const quick = "touch check.$(ls check.[0-9]* 2>/dev/null | wc -l); exit 0";
  const old = `[ -e slow ] || { ${quick}; }\ntouch asked; ${waitForFile("replaced")}; exit 0`;
  const check = await folder.script("check.sh", old);
  await using proxy = await startProxy({
    upstreams: [primary],
    flags: { ...relay, "check-host": check, "check-script-timeout": "1m" },
  });
  assertEquals(await proxy.ask(), "primary");
  await folder.has("check.4");

  await folder.write("slow", "");
  await folder.has("asked");
  await Deno.rename(await folder.script("new.sh", "exit 0"), check);
  await folder.write("replaced", "");

  // On a machine that is very busy the check may get no verdict for that reason.
  const reason = /^check exited with 0, and its file was replaced meanwhile|stood still/;
  const began = await proxy.event("noVerdict.began", { upstream: primary.name, reason });
  await proxy.event("noVerdict.ended", { upstream: primary.name }, began);
  assertEquals(proxy.events("upstream.down"), []);
  assertEquals(await proxy.ask(), "primary");
});

scenario("a check that prints without end is silent, and delays nothing", async (relay) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  const check = await folder.script(
    "check.sh",
    `[ -e endless ] && [ "$1" = '${primary.name}' ] || exit 0\nexec yes`,
  );
  await using proxy = await startProxy({
    upstreams: [primary, backup],
    flags: { ...relay, "check-host": check, "check-script-timeout": "1s" },
  });
  const session = await proxy.connect();
  await session.say("who");
  assertEquals(await session.line(), "primary");

  await folder.write("endless", "");

  await proxy.event("upstream.down", {
    upstream: primary.name,
    reason: /did not end within 1s/,
  });
  // Until then clients are still let through to the old one, which serves them.
  await proxy.event("promotion.finished", { to: backup.name });
  assertEquals(await proxy.ask(), "backup");
  // It runs again and again, and its output is logged once.
  await proxy.event("probe.failed", { upstream: primary.name });
  const said = proxy.events("program.said", { upstream: primary.name, line: "y" });
  assert(said.length <= 1_024, `${said.length} lines`);
  session.close();
});
