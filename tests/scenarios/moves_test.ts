/** Failbacks and switchovers: what happens to sessions, and that a failed move does not interrupt the service. */
import { assert, assertEquals } from "@std/assert";
import { Folder, waitForFile } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { type Proxy, startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream, type UpstreamProcess } from "../harness/upstream.ts";
import type { LineConn } from "../harness/line_conn.ts";

interface Pair extends AsyncDisposable {
  readonly folder: Folder;
  readonly primary: UpstreamProcess;
  readonly backup: UpstreamProcess;
  readonly proxy: Proxy;
  /** A session on the backup, in which bytes have flowed. */
  readonly session: LineConn;
}

/** A proxy that serves from the backup while the primary is up again, with one session there. */
async function onBackup(
  flags: Readonly<Record<string, string>>,
  trigger?: (primary: string, folder: Folder) => string,
): Promise<Pair> {
  await using parts = new AsyncDisposableStack();
  const folder = parts.use(await Folder.make());
  const primary = parts.use(await startUpstream({ says: "primary" }));
  const backup = parts.use(await startUpstream({ says: "backup" }));
  const programs = trigger === undefined
    ? {}
    : { "on-failover": await folder.script("trigger.sh", trigger(primary.name, folder)) };
  const proxy = parts.use(
    await startProxy({
      upstreams: [primary, backup],
      flags: { failback: "manual", hold: "1m", ...programs, ...flags },
    }),
  );
  await primary.kill();
  const failover = await proxy.event("promotion.finished", { to: backup.name });
  await primary.restart();
  await proxy.event("upstream.up", { upstream: primary.name }, failover);
  const session = await proxy.connect();
  await session.say("who");
  assertEquals(await session.line(), "backup");
  const owned = parts.move();
  return {
    ...{ folder, primary, backup, proxy, session },
    async [Symbol.asyncDispose]() {
      session.close();
      await owned.disposeAsync();
    },
  };
}

/** A trigger that passes at the start and at a failover, and waits at a failback until the file `go` exists. */
const hangsOnTheWayBack = () =>
  `[ "$FAILOVER_EVENT" = switchover ] || exit 0\n${waitForFile("go")}`;

/** True if the session is cut in time. */
async function isCut(conn: LineConn): Promise<boolean> {
  const end = conn.line().then((line) => line === undefined, () => true);
  return await withTestDeadline("the session to be cut", end);
}

scenario(
  "with triggers, sessions on the old upstream are cut before the triggers begin",
  async (relay) => {
    await using pair = await onBackup({ ...relay, grace: "10ms" }, () => "exit 0");

    pair.proxy.signal("SIGUSR2");

    assert(await isCut(pair.session));
    const cut = await pair.proxy.event("sessions.cut", { upstream: pair.backup.name });
    const trigger = await pair.proxy.event("trigger.started", { epoch: 3 });
    assert(cut.index < trigger.index, `${cut.index}, ${trigger.index}`);
    assertEquals(await pair.proxy.ask(), "primary");
  },
);

scenario(
  "with --trigger-mode beside the old upstream serves until the triggers of a move back have ended",
  async (relay) => {
    await using pair = await onBackup({ ...relay, "trigger-mode": "beside" }, hangsOnTheWayBack);
    pair.proxy.signal("SIGUSR2");
    await pair.proxy.event("trigger.started", { epoch: 3 });
    assertEquals(await pair.proxy.ask(), "backup");
    await pair.folder.write("go", "");
    await pair.proxy.event("promotion.finished", { epoch: 3 });
    assertEquals(await pair.proxy.ask(), "primary");
  },
);

scenario("sessions are cut after --grace", async (relay) => {
  await using pair = await onBackup({ ...relay, grace: "1m" }, () => "exit 0");

  pair.proxy.signal("SIGUSR2");
  await pair.proxy.event("promotion.started", { move: "switchover" });

  await pair.session.say("who");
  assertEquals(await pair.session.line(), "backup");
  assertEquals(pair.proxy.events("trigger.started", { epoch: 3 }), []);
});

scenario("--sessions-on-move keep does not cut sessions", async (relay) => {
  await using pair = await onBackup({ ...relay, "sessions-on-move": "keep" }, () => "exit 0");

  pair.proxy.signal("SIGUSR2");
  await pair.proxy.event("promotion.finished", { move: "switchover" });

  await pair.session.say("who");
  assertEquals(await pair.session.line(), "backup");
});

scenario(
  "without triggers and checks sessions have the drain time after the move, then they are cut",
  async (relay) => {
    await using pair = await onBackup({ ...relay, "drain-timeout": "300ms" });

    pair.proxy.signal("SIGUSR2");

    const moved = await pair.proxy.event("promotion.finished", { move: "switchover" });
    assert(await isCut(pair.session));
    await pair.proxy.event("sessions.cut", { upstream: pair.backup.name, count: 1 }, moved);
  },
);

scenario(
  "--sessions-on-move drain gives sessions the drain time with triggers as well",
  async (relay) => {
    await using pair = await onBackup(
      { ...relay, "sessions-on-move": "drain", "drain-timeout": "10ms" },
      hangsOnTheWayBack,
    );

    pair.proxy.signal("SIGUSR2");
    await pair.proxy.event("trigger.started", { epoch: 3 });
    await pair.session.say("who");
    assertEquals(await pair.session.line(), "backup");
    await pair.folder.write("go", "");

    const moved = await pair.proxy.event("promotion.finished", { move: "switchover" });
    await pair.proxy.event("sessions.cut", { upstream: pair.backup.name, count: 1 }, moved);
  },
);

scenario("a switchover whose candidate goes down returns the service at once", async (relay) => {
  await using pair = await onBackup({ ...relay, "sessions-on-move": "keep" }, hangsOnTheWayBack);
  const { proxy, primary, backup } = pair;

  proxy.signal("SIGUSR2");
  await proxy.event("trigger.started", { epoch: 3 });
  const answer = proxy.ask();
  await primary.kill();

  assertEquals(await answer, "backup");
  const back = await proxy.event("service.returned", { upstream: backup.name });
  assertEquals(proxy.events("selection.started").filter(({ index }) => index > back.index), []);
  await pair.session.say("who");
  assertEquals(await pair.session.line(), "backup");
});

scenario("a failback whose trigger fails is cancelled and tried again later", async (relay) => {
  const trigger = () => '[ "$FAILOVER_EVENT" != failback ]';
  await using pair = await onBackup({ ...relay, failback: "auto" }, trigger);
  const { proxy, backup } = pair;

  await proxy.event("service.returned", { upstream: backup.name });

  const plan = await proxy.event("failback.scheduled", { reason: /triggers failed once/ });
  assert(plan.inMs > 9_000, `${plan.inMs} ms`);
  assertEquals(await proxy.ask(), "backup");
});

scenario(
  "with three upstreams a failover past one that just failed is not followed by a failback to it",
  async (relay) => {
    await using first = await startUpstream({ says: "first" });
    await using second = await startUpstream({ says: "second" });
    await using third = await startUpstream({ says: "third" });
    await using proxy = await startProxy({
      upstreams: [first, second, third],
      flags: { ...relay, failback: "auto" },
    });

    await Promise.all([first.kill(), second.kill()]);

    const moved = await proxy.event("promotion.finished", { to: third.name });
    await proxy.event("upstream.down", { upstream: second.name });
    assertEquals(await proxy.ask(), "third");
    const later = proxy.events("promotion.started").filter(({ index }) => index > moved.index);
    assertEquals(later, []);
  },
);

scenario("a check that began before a promotion is repeated", async (relay) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  const asked = folder.at("asked");
  // The first check of the returned primary begins before the promotion and passes after it; any other
  // fails.
  const check = await folder.script(
    "check.sh",
    `[ "$1" = '${primary.name}' ] && [ -e '${folder.at("returned")}' ] || exit 0
if [ -e '${asked}' ]; then echo no; exit 1; fi
: > '${asked}'
${waitForFile("go")}`,
  );
  const trigger = await folder.script(
    "trigger.sh",
    `[ "$1" = '${primary.name}' ] && exit 0\n${waitForFile("asked")}`,
  );
  await using proxy = await startProxy({
    upstreams: [primary, backup],
    flags: {
      ...relay,
      "check-host": check,
      "on-failover": trigger,
      "check-script-timeout": "1m",
      "failback": "auto",
      "recover-threshold": "1",
    },
  });

  await primary.kill();
  await proxy.event("promotion.started", { to: backup.name });
  await folder.write("returned", "");
  await primary.restart();
  const done = await proxy.event("promotion.finished", { to: backup.name });
  await folder.write("go", "");

  await proxy.event("program.said", { upstream: primary.name, line: "no" }, done);
  assertEquals(proxy.events("upstream.up", { upstream: primary.name }).length, 1);
  assertEquals(proxy.events("promotion.started", { move: "failback" }), []);
});
