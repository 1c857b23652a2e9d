/** What becomes of established connections when a new process takes over. */
import { assert, assertEquals } from "@std/assert";
import { isAlive, untilGone } from "../harness/child.ts";
import { connectTo } from "../harness/client.ts";
import type { LineConn } from "../harness/line_conn.ts";
import { type Flags, startProxy } from "../harness/proxy.ts";
import { ENGINES, testWithPrograms } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { Upgradable } from "../harness/upgradable.ts";
import { startUpstream } from "../harness/upstream.ts";
import type { WebConnection } from "../harness/web_client.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

const isLinux = Deno.build.os === "linux";
/** More than all buffers hold between a sender and a receiver that does not read. */
const BULK = 40 * 1024 * 1024;
const PASSING = new URL("../harness/dying_in_passing.ts", import.meta.url);

/** Sessions that have been used once. */
async function sessionsOf(address: string, count: number): Promise<LineConn[]> {
  const sessions = await Promise.all(Array.from({ length: count }, () => connectTo(address)));
  for (const session of sessions) assert(await answers(session));
  return sessions;
}

/** True if the session still reaches the upstream. */
async function answers(session: LineConn): Promise<boolean> {
  try {
    await session.say("echo still-here");
    return await withTestDeadline("an answer", session.line()) === "still-here";
  } catch (error) {
    if (error instanceof Error && /waited/.test(error.message)) throw error;
    return false;
  }
}

async function countAnswering(sessions: readonly LineConn[]): Promise<number> {
  return (await Promise.all(sessions.map(answers))).filter(Boolean).length;
}

/** A proxy that can be upgraded. */
function upgradable(flags: Flags, env: Readonly<Record<string, string>> = {}) {
  return async (more: Flags) => {
    const upstream = await startUpstream({ says: "primary" });
    const it = await Upgradable.start((control) =>
      startProxy({ upstreams: [upstream], flags: { ...control, ...more, ...flags }, env })
    );
    return {
      it,
      upstream,
      async [Symbol.asyncDispose]() {
        await it[Symbol.asyncDispose]();
        await upstream[Symbol.asyncDispose]();
      },
    };
  };
}

for (const relay of isLinux ? ENGINES : []) {
  testWithPrograms(
    `[${relay}] bulk data in both directions passes through upgrades, whatever is between the sockets`,
    [],
    async () => {
      await using made = await upgradable({ relay, workers: "2" })({});
      const { it } = made;
      const count = 6;
      const sockets = await socketsOf(it.pid);
      const idle = await sessionsOf(it.proxy.address, 2);
      const sessions = await sessionsOf(it.proxy.address, count);
      const upgraded = Promise.withResolvers<void>();
      const results = sessions.map(async (session, number) => {
        await session.say(`exchange ${BULK}`);
        const sent = session.sendBulk(BULK);
        // Half of them read nothing before the end: all buffers and pipes are full.
        if (number % 2 === 0) await upgraded.promise;
        const received = await session.receiveBulk(BULK);
        return [`${received} ${await sent}`, await session.line()];
      });
      // By the other engine they end in the old process, and there is no further upgrade before that.
      for (let round = 1; round <= (relay === "splice" ? 2 : 1); round++) {
        const before = it.pid;
        assertEquals((await it.upgrade()).status, 200);
        if (relay === "stream") continue;
        const { connections } = await it.proxy.event("upgrade.finished", { fromPid: before });
        // Those that were read from may have ended.
        assert(connections >= idle.length + count / 2, `${connections} connections`);
        await untilGone([String(before)]);
      }
      assertEquals(await countAnswering(idle), idle.length);
      upgraded.resolve();
      for (const [seen, said] of await Promise.all(results)) assertEquals(seen, said);
      assertEquals(await countAnswering(idle), idle.length);
      for (const session of [...idle, ...sessions]) session.close();
      // Nothing is left of them; a check may be under way.
      await fewerSockets(it.pid, sockets + 2);
    },
  );
}

if (isLinux) {
  testWithPrograms("kept connections of HTTP clients go on in the new process", [], async () => {
    await using primary = await WebUpstream.start("primary");
    await using it = await Upgradable.start<WebProxy>((flags) =>
      startWebProxy({ primary, flags: { ...flags, relay: "splice" } })
    );
    const clients = await Promise.all(Array.from({ length: 20 }, () => it.proxy.open()));
    for (const client of clients) assertEquals(await textOn(client), "primary");
    // Some are new and have asked nothing.
    const fresh = await Promise.all(Array.from({ length: 5 }, () => it.proxy.open()));
    for (let round = 0; round < 3; round++) {
      const before = it.pid;
      assertEquals((await it.upgrade()).status, 200);
      const { connections } = await it.proxy.event("upgrade.finished", { fromPid: before });
      assertEquals(connections, clients.length + fresh.length);
      await untilGone([String(before)]);
      for (const client of clients) assertEquals(await textOn(client), "primary");
    }
    for (const client of fresh) assertEquals(await textOn(client), "primary");
    for (const { conn } of [...clients, ...fresh]) conn.close();
  });

  /** Who is killed, when, and how many of eight sessions go on. */
  const KILLS: readonly (readonly [victim: string, at: number, moment: string, left: number])[] = [
    // The three before it were the new process's; the old one goes on with all others.
    ["new", 4, "before", 5],
    // That was its own, too.
    ["new", 4, "after", 4],
    // Those that the new process has confirmed to it.
    ["old", 4, "before", 3],
    ["old", 4, "after", 4],
  ];

  for (const [victim, at, moment, left] of KILLS) {
    testWithPrograms(
      `when the ${victim} process is killed ${moment} connection ${at} is confirmed, the sessions of the other go on`,
      [],
      async () => {
        const env = { TEST_PASSING: `${victim} ${at} ${moment}` };
        await using made = await upgradable({ relay: "splice", workers: "1" }, env)({});
        const { it } = made;
        const sessions = await sessionsOf(it.proxy.address, 8);
        const before = it.pid;
        const { status } = await it.upgrade(await it.executable(PASSING));
        assertEquals(status, 200);
        await untilGone([String(victim === "old" ? before : it.pid)]);
        const alive = await countAnswering(sessions);
        // A process that is killed takes a moment to die, in which it may still hear that others were taken.
        assert(victim === "old" ? alive >= left : alive === left, `${alive} answer`);
        // The others have ended, and nothing is left of them.
        const survivor = victim === "old" ? it.pid : before;
        const most = await socketsOf(survivor);
        for (const session of sessions) session.close();
        if (victim === "new") await untilGone([String(survivor)]);
        else await fewerSockets(survivor, most - 2 * alive);
      },
    );
  }

  testWithPrograms(
    "sessions that a new process takes late go on, also if the old one does not wait for it",
    [],
    async () => {
      const env = { TEST_PASSING: "slow 4 before" };
      await using made = await upgradable({ relay: "splice", workers: "1" }, env)({});
      const { it } = made;
      const sessions = await sessionsOf(it.proxy.address, 8);
      const before = it.pid;
      assertEquals((await it.upgrade(await it.executable(PASSING))).status, 200);
      await untilGone([String(before)]);
      Deno.kill(it.pid, "SIGCONT");
      assertEquals(await countAnswering(sessions), sessions.length);
      for (const session of sessions) session.close();
    },
  );

  testWithPrograms(
    "sessions for which the new process has no descriptors stay in the old one and go on",
    [],
    async () => {
      await using made = await upgradable({
        relay: "splice",
        workers: "1",
      })({});
      const { it } = made;
      const sessions = await sessionsOf(it.proxy.address, 20);
      const program = await it.executable(new URL("../../src/main.ts", import.meta.url));
      const limited = await it.folder.script(
        "limited",
        `ulimit -n 64; exec ${program} "$@"`,
      );
      const before = it.pid;
      const { status, lines } = await it.upgrade(limited);
      assertEquals([status, lines], [200, []]);
      assertEquals(await countAnswering(sessions), sessions.length);
      assert(isAlive(String(before)), "the old process serves some of them");
      for (const session of sessions) session.close();
      await untilGone([String(before)]);
    },
  );
}

/** The response to a request on this connection. */
async function textOn(client: WebConnection): Promise<string> {
  await client.send({ target: "/" });
  return (await client.reply()).text;
}

/** How many sockets a process has open. */
async function socketsOf(pid: number): Promise<number> {
  let count = 0;
  for await (const { name } of Deno.readDir(`/proc/${pid}/fd`)) {
    const target = await Deno.readLink(`/proc/${pid}/fd/${name}`).catch(() => "");
    if (target.startsWith("socket:")) count++;
  }
  return count;
}

/** Resolves when a process has at most so many sockets. */
async function fewerSockets(pid: number, most: number): Promise<void> {
  const look = async () => {
    while (await socketsOf(pid) > most) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  await withTestDeadline(`at most ${most} sockets of process ${pid}`, look());
}
