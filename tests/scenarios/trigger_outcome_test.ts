/**
 * Triggers that fail or cannot be started: which clients are admitted, which upstream is trusted, what is
 * logged.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { connectTo } from "../harness/client.ts";
import { Folder } from "../harness/folder.ts";
import { startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";

const ON_LINUX = Deno.build.os === "linux" ? [] : ["/proc/self"];

scenario(
  "clients wait for a trigger that can't be started at the moment",
  async (relay) => {
    await using folder = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    const trigger = await folder.script("trigger.sh", `echo "$1" >> '${folder.at("ran")}'`);
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: { ...relay, "on-failover": trigger, "hold": "1m" },
    });

    // A program that is open for writing can't be executed (ETXTBSY).
    const file = await Deno.open(trigger, { append: true });
    await primary.kill();
    const answer = proxy.ask();
    const first = await proxy.event("promotion.delayed", { to: backup.name, attempt: 1 });
    await proxy.event("promotion.delayed", { attempt: 2 }, first);
    assertEquals(proxy.events("promotion.finished", { to: backup.name }), []);
    file.close();

    assertEquals(await answer, "backup");
    assertEquals(await folder.read("ran"), `${primary.name}\n${backup.name}\n`);
    const done = await proxy.event("promotion.finished", { to: backup.name });
    assertEquals(done.triggersFailed, undefined);
  },
  ON_LINUX,
);

scenario(
  "clients are turned away when --hold ends before a trigger could be started",
  async (relay) => {
    await using folder = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    const trigger = await folder.script("trigger.sh", "exit 0");
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: { ...relay, "on-failover": trigger, "hold": "200ms" },
    });

    const file = await Deno.open(trigger, { append: true });
    await primary.kill();
    await proxy.event("clients.refused");
    await assertRejects(() => connectTo(proxy.address), Deno.errors.ConnectionRefused);
    file.close();

    await proxy.event("port.opened", {}, await proxy.event("trigger.finished", { epoch: 2 }));
    assertEquals(await proxy.ask(), "backup");
  },
  ON_LINUX,
);

scenario(
  "a trigger that fails is reported with the promotion, and clients are admitted",
  async (relay) => {
    await using folder = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    const trigger = await folder.script("trigger.sh", `[ "$1" = '${primary.name}' ]`);
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: { ...relay, "on-failover": trigger },
    });

    await primary.kill();

    const done = await proxy.event("promotion.finished", { to: backup.name });
    assertMatch(done.triggersFailed ?? "", /exited with 1/);
    assertMatch(done.message, /serving after .*, trigger failed/);
    assertEquals(await proxy.ask(), "backup");
  },
);

scenario("--on-trigger-failure retry runs it again until it succeeds", async (relay) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  const trigger = await folder.script(
    "trigger.sh",
    `[ "$1" = '${primary.name}' ] || [ -e '${folder.at("go")}' ]`,
  );
  await using proxy = await startProxy({
    upstreams: [primary, backup],
    flags: { ...relay, "on-failover": trigger, "hold": "1m", "on-trigger-failure": "retry" },
  });

  await primary.kill();
  const answer = proxy.ask();
  await proxy.event("promotion.delayed", { to: backup.name, attempt: 1 });
  assertEquals(proxy.events("promotion.finished", { to: backup.name }), []);
  await folder.write("go", "");

  assertEquals(await answer, "backup");
});

scenario("--on-trigger-failure next promotes the next upstream", async (relay) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using second = await startUpstream({ says: "second" });
  await using third = await startUpstream({ says: "third" });
  const trigger = await folder.script("trigger.sh", `[ "$1" != '${second.name}' ]`);
  await using proxy = await startProxy({
    upstreams: [primary, second, third],
    flags: { ...relay, "on-failover": trigger, "hold": "1m", "on-trigger-failure": "next" },
  });

  await primary.kill();

  assertEquals(await proxy.ask(), "third");
  const given = await proxy.event("promotion.abandoned", { to: second.name });
  assertMatch(given.reason, /exited with 1/);
  assertEquals(proxy.events("promotion.finished", { to: second.name }), []);
});

/**
 * Two servers whose roles are files, with a check that trusts one of two servers that accept writes, like the
 * recipe; `promote` is the trigger.
 */
async function withRoles(folder: Folder, primary: string, promote: string) {
  const role = (name: string) => folder.at(`role-${name}`);
  await folder.write(`role-${primary}`, "primary");
  const check = await folder.script(
    "check.sh",
    `role=$(cat '${role("")}'"$1" 2>/dev/null)
if [ "$role" = primary ]; then
  [ -z "$FAILOVER_ACTIVE" ] || [ "$FAILOVER_ACTIVE" = "$1" ] && exit 0
  echo "stale primary"
  exit 1
fi
[ -n "$FAILOVER_ACTIVE" ] || exit 1
[ "$FAILOVER_ACTIVE" != "$1" ] || [ "$FAILOVER_PHASE" != serving ]`,
  );
  const trigger = await folder.script(
    "trigger.sh",
    `[ "$1" = '${primary}' ] && exit 0\n${promote.replaceAll("ROLE", `'${role("")}'"$1"`)}`,
  );
  return { "check-host": check, "on-failover": trigger };
}

scenario(
  "a promotion whose trigger failed does not lock the healthy old primary out",
  async (relay) => {
    await using folder = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    const programs = await withRoles(folder, primary.name, "exit 1");
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: { ...relay, ...programs, "hold": "1m", "hold-while": "down" },
    });

    await primary.kill();
    const failed = await proxy.event("promotion.finished", { to: backup.name });
    assert(failed.triggersFailed !== undefined);
    await primary.restart();

    // The backup is not a primary, so it goes down; the old one is trusted as before.
    await proxy.event("promotion.finished", { to: primary.name }, failed);
    assertEquals(await proxy.ask(), "primary");
  },
);

scenario(
  "a promotion whose trigger failed after it had done its work is trusted once a check passed",
  async (relay) => {
    await using folder = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    const programs = await withRoles(folder, primary.name, "echo primary > ROLE; exit 1");
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: { ...relay, ...programs, "failback": "auto", "recover-threshold": "1" },
    });

    await primary.kill();
    const failed = await proxy.event("promotion.finished", { to: backup.name });
    await primary.restart();

    await proxy.event("program.said", { upstream: primary.name, line: "stale primary" }, failed);
    assertEquals(await proxy.ask(), "backup");
    assertEquals(proxy.events("upstream.up", { upstream: primary.name }).length, 1);
  },
);
