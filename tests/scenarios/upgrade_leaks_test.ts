/** Descriptors after upgrades that failed at each step, and after the old process was killed: none is left over. */
import { assertEquals } from "@std/assert";
import { type Flags, startProxy } from "../harness/proxy.ts";
import { ENGINES, testWithPrograms } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startUpstream } from "../harness/upstream.ts";
import { Upgradable } from "../harness/upgradable.ts";

const DYING = new URL("../harness/dying_successor.ts", import.meta.url);
/** Upgrades of one process that fail. */
const FAILURES = 2;

/** How many descriptors of each kind a process has: `socket`, `pipe`, `anon_inode:[eventpoll]`, `file` and others. */
function kindsOf(pid: number): Readonly<Record<string, number>> {
  const kinds: Record<string, number> = {};
  for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
    try {
      const target = Deno.readLinkSync(`/proc/${pid}/fd/${name}`);
      const kind = target.startsWith("/") ? "file" : target.replace(/:\[\d+\]$/, "");
      kinds[kind] = (kinds[kind] ?? 0) + 1;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return kinds;
}

/** Resolves when the process has none more of any kind than it had. Checks and the runtime open some for a moment. */
async function asBefore(
  pid: number,
  before: Readonly<Record<string, number>>,
  explain: () => string,
): Promise<void> {
  let more: unknown;
  const look = async () => {
    for (;;) {
      const now = Object.entries(kindsOf(pid));
      more = now.filter(([kind, count]) => count > (before[kind] ?? 0));
      if ((more as unknown[]).length === 0) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await withTestDeadline(
    "no more descriptors than before",
    look(),
    () => `${JSON.stringify([more, before])}\n${explain()}`,
  );
}

/** A proxy with a state folder, an admin listener and a client that stays. */
async function start(relay: Flags, env: Readonly<Record<string, string>>) {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream({ says: "here" }));
  const it = stack.use(
    await Upgradable.start((more, folder) =>
      startProxy({
        upstreams: [upstream],
        // Each check of this upstream would open a descriptor at any moment.
        flags: {
          ...{ "state-dir": folder.at("state"), admin: `unix:${folder.at("admin")}` },
          ...more,
          ...relay,
          "check-interval": "30s",
        },
        env,
      })
    ),
  );
  const session = await it.proxy.connect();
  stack.defer(() => session.close());
  await session.say("who");
  assertEquals(await session.line(), "here");
  const owned = stack.move();
  return { it, session, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

if (Deno.build.os === "linux") {
  for (const relay of ENGINES) {
    for (
      const step of ["before hello", "after hello", "before ready", "after ready", "before took"]
    ) {
      testWithPrograms(
        `[${relay}] new processes that were killed ${step} leave no descriptor in the old one`,
        [],
        async () => {
          await using fixture = await start({ relay }, { TEST_DIES: `new ${step}` });
          const { it, session } = fixture;
          const dying = await it.executable(DYING);
          // The first one loads what upgrades need.
          assertEquals((await it.upgrade(dying)).status, 409);
          const before = kindsOf(it.pid);
          for (let i = 0; i < FAILURES; i++) assertEquals((await it.upgrade(dying)).status, 409);

          await asBefore(it.pid, before, it.proxy.lastLines);
          await session.say("who");
          assertEquals([await session.line(), await it.proxy.ask()], ["here", "here"]);
        },
      );
    }
    for (const step of ["after ready", "before took", "after took"]) {
      testWithPrograms(
        `[${relay}] a new process whose old one was killed ${step} has no descriptor left over`,
        [],
        async () => {
          await using usual = await start({ relay }, {});
          // The old process would go on with it, or end without it.
          usual.session.close();
          assertEquals((await usual.it.upgrade()).status, 200);
          await usual.it.proxy.event("upgrade.finished", { toPid: usual.it.pid });
          assertEquals(await usual.it.proxy.ask(), "here");
          await using fixture = await start({ relay }, { TEST_DIES: `old ${step}` });
          const { it, session } = fixture;
          session.close();
          const lost = it.upgrade(await it.executable(DYING)).catch(() => undefined);
          const { toPid } = await it.proxy.event("upgrade.tookOver");
          await lost;
          await it.proxy.event("upgrade.finished", { toPid });
          assertEquals(await it.proxy.ask(), "here");

          await asBefore(toPid, kindsOf(usual.it.pid), it.proxy.lastLines);
        },
      );
    }
  }
}
