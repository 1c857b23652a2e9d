/** Sessions that were running when their upstream went down, or when the proxy was ordered to stop. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { realClock, sleep } from "../../src/base/clock.ts";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { type Proxy, startProxy } from "../harness/proxy.ts";
import { type Engine, scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import type { LineConn } from "../harness/line_conn.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/**
 * A primary whose check script can be made to fail (`deny`) or to hang (`mute`). Sessions are spared that move bytes
 * while it hangs: the checks take so long that on a busy machine those of the test do.
 */
async function startDeniable(flags: Readonly<Record<string, string>> & { relay: Engine }) {
  await using parts = new AsyncDisposableStack();
  const folder = parts.use(await Folder.make());
  const primary = parts.use(await startUpstream({ says: "primary" }));
  const backup = parts.use(await startUpstream({ says: "backup" }));
  const check = await folder.script(
    "check.sh",
    `[ "$1" = '${backup.name}' ] && exit 0\n[ -e mute ] && sleep 600\n[ ! -e deny ]`,
  );
  const proxy = parts.use(
    await startProxy({
      upstreams: [primary, backup],
      flags: { ...flags, "check-host": check, "check-script-timeout": "2s" },
    }),
  );
  const owned = parts.move();
  return { folder, primary, backup, proxy, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** True while the upstream behind `conn` answers. */
async function isServed(conn: LineConn): Promise<boolean> {
  try {
    await conn.say("who");
    return await withTestDeadline("an answer or an end", conn.line()) !== undefined;
  } catch (error) {
    // A session that was cut ends with a reset where that is possible, so a write may fail with EPIPE.
    if (error instanceof Deno.errors.ConnectionReset) return false;
    if (error instanceof Deno.errors.BrokenPipe) return false;
    throw error;
  }
}

/** Keeps a session busy until `isOver`; the upstream must answer all the time. */
async function busyUntil(conn: LineConn, isOver: () => boolean, proxy: Proxy): Promise<void> {
  const asking = async () => {
    while (!isOver()) assert(await isServed(conn), proxy.lastLines());
  };
  await withTestDeadline("the end of the wait of a busy session", asking(), proxy.lastLines);
}

/** Keeps a session busy until it is cut. */
async function busyUntilCut(conn: LineConn, proxy: Proxy): Promise<void> {
  const asking = async () => {
    while (await isServed(conn));
  };
  await withTestDeadline("a busy session to be cut", asking(), proxy.lastLines);
}

/** Whether a cut has spared a session. */
const hasSpared = (proxy: Proxy) => proxy.events("sessions.cut", { kept: 1 }).length > 0;

scenario("sessions of an upstream that its check denies are cut after the grace", async (relay) => {
  await using it = await startDeniable({ ...relay, grace: "300ms" });
  const conn = await it.proxy.connect();
  assert(await isServed(conn));

  await it.folder.write("deny", "");

  // It is busy all the time, which must not spare it, as the check has failed.
  await busyUntilCut(conn, it.proxy);
  const cut = await it.proxy.event("sessions.cut", { upstream: it.primary.name });
  assertEquals([cut.count, cut.kept], [1, 0]);
  assertEquals(await it.proxy.ask(), "backup");
  conn.close();
});

scenario("with --sessions-on-down keep sessions stay with their upstream", async (relay) => {
  await using it = await startDeniable({ ...relay, grace: "0", "sessions-on-down": "keep" });
  const conn = await it.proxy.connect();
  assert(await isServed(conn));

  await it.folder.write("deny", "");
  await it.proxy.event("promotion.finished", { to: it.backup.name });

  await conn.say("who");
  assertEquals(await conn.line(), "primary");
  assertEquals(it.proxy.events("sessions.cut"), []);
  conn.close();
});

scenario("sessions have the whole --grace to end by themselves", async (relay) => {
  await using it = await startDeniable({ ...relay, grace: "1h" });
  const conn = await it.proxy.connect();
  assert(await isServed(conn));

  await it.folder.write("deny", "");
  await it.proxy.event("promotion.finished", { to: it.backup.name });

  assert(await isServed(conn));
  assertEquals(it.proxy.events("sessions.cut"), []);
  conn.close();
});

scenario(
  "when the check is only silent, idle sessions are cut and busy ones are spared",
  async (relay) => {
    await using it = await startDeniable({ ...relay, grace: "1s" });
    const idle = await it.proxy.connect();
    const busy = await it.proxy.connect();
    assert(await isServed(idle) && await isServed(busy));

    await it.folder.write("mute", "");
    let idleEnded = false;
    const idleEnd = withTestDeadline("the idle session's end", idle.line().catch(() => undefined))
      .then(() => idleEnded = true);
    await busyUntil(busy, () => idleEnded, it.proxy);

    await idleEnd;
    const cut = await it.proxy.event("sessions.cut", { upstream: it.primary.name });
    assertEquals([cut.count, cut.kept], [1, 1]);
    assert(await isServed(busy));
    idle.close();
    busy.close();
  },
);

scenario(
  "busy sessions that were spared during silence are cut when the check fails",
  async (relay) => {
    await using it = await startDeniable({ ...relay, grace: "0" });
    const busy = await it.proxy.connect();
    await it.folder.write("mute", "");
    await busyUntil(busy, () => hasSpared(it.proxy), it.proxy);
    assert(await isServed(busy));

    await it.folder.write("deny", "");
    await Deno.remove(it.folder.at("mute"));

    await busyUntilCut(busy, it.proxy);
    await it.proxy.event("sessions.cut", { upstream: it.primary.name, count: 1, kept: 0 });
    busy.close();
  },
);

scenario("sessions that were spared may be idle when the upstream answers again", async (relay) => {
  const admin = `127.0.0.1:${unusedPort()}`;
  await using it = await startDeniable({ ...relay, grace: "0", admin });
  const conn = await it.proxy.connect();
  await it.folder.write("mute", "");
  await busyUntil(conn, () => hasSpared(it.proxy), it.proxy);

  await Deno.remove(it.folder.at("mute"));
  const down = await it.proxy.event("upstream.down", { upstream: it.primary.name });
  const isUp = () =>
    it.proxy.events("upstream.up", { upstream: it.primary.name })
      .some(({ index }) => index > down.index);
  // On a busy machine that may take longer than a silent session is spared.
  await busyUntil(conn, isUp, it.proxy);
  // For longer than the time after which silent sessions would be examined again.
  const passed = new RegExp(`checks_total\\{.*"${it.primary.name}",result="passed"\\} (\\d+)`);
  const checks = async () => {
    const metrics = await (await fetch(`http://${admin}/__failover/metrics`)).text();
    return Number(passed.exec(metrics)![1]);
  };
  const enough = await checks() + 20;
  const untilChecked = async () => {
    while (await checks() < enough) await sleep(realClock, 50);
  };
  await withTestDeadline("further checks", untilChecked(), it.proxy.lastLines);

  assert(await isServed(conn));
  assertEquals(it.proxy.events("sessions.cut", { count: 1 }), []);
  conn.close();
});

scenario(
  "on SIGTERM the port closes, running sessions finish, and the exit code is 0",
  async (relay) => {
    await using upstream = await startUpstream({ says: "primary" });
    await using proxy = await startProxy({ upstreams: [upstream], flags: relay });
    const conn = await proxy.connect();
    assert(await isServed(conn));

    proxy.signal("SIGTERM");
    await proxy.event("port.closed");
    await assertRejects(() => proxy.connect(), Deno.errors.ConnectionRefused);
    assert(await isServed(conn));
    conn.close();

    assertEquals((await withTestDeadline("the proxy to end", proxy.ended)).code, 0);
    await proxy.event("proxy.stopped", { cutSessions: 0 });
  },
);

scenario("a second signal ends it at once, sessions or not", async (relay) => {
  await using upstream = await startUpstream({ says: "primary" });
  await using proxy = await startProxy({
    upstreams: [upstream],
    flags: { ...relay, "drain-timeout": "1h" },
  });
  const conn = await proxy.connect();
  assert(await isServed(conn));

  proxy.signal("SIGTERM");
  const stopping = await proxy.event("proxy.stopping");
  assertEquals(stopping.message, "stopping (SIGTERM): 1 running session has 1h to finish");
  proxy.signal("SIGTERM");

  assertEquals((await withTestDeadline("the proxy to end", proxy.ended)).code, 0);
  await proxy.event("proxy.stopped", { cutSessions: 1 });
  assertEquals(await isServed(conn), false);
  conn.close();
});

scenario("a session that outlasts --drain-timeout is cut", async (relay) => {
  await using upstream = await startUpstream({ says: "primary" });
  await using proxy = await startProxy({
    upstreams: [upstream],
    flags: { ...relay, "drain-timeout": "300ms" },
  });
  const conn = await proxy.connect();
  assert(await isServed(conn));

  assertEquals(await proxy.stop(), 0);

  await proxy.event("proxy.stopped", { cutSessions: 1 });
  conn.close();
});

scenario("SIGINT stops it as SIGTERM does, also while no upstream is up", async (relay) => {
  await using upstream = await startUpstream({ says: "primary" });
  await using proxy = await startProxy({ upstreams: [upstream], flags: relay });
  await upstream.kill();
  await proxy.event("selection.failed");

  proxy.signal("SIGINT");

  assertEquals((await withTestDeadline("the proxy to end", proxy.ended)).code, 0);
  // There is no session to wait for.
  assertEquals((await proxy.event("proxy.stopping")).message, "stopping (SIGINT)");
});
