/** A reload during an upgrade, and an upgrade during a reload: one waits or is refused, and both end whole. */
import { assertEquals, assertMatch } from "@std/assert";
import { FrozenThread, threadNamed } from "../harness/frozen_thread.ts";
import { runCommand } from "../harness/command.ts";
import { Folder } from "../harness/folder.ts";
import { type Flags, startProxy } from "../harness/proxy.ts";
import { ENGINES, testWithPrograms } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startUpstream } from "../harness/upstream.ts";
import { Upgradable } from "../harness/upgradable.ts";

const DYING = new URL("../harness/dying_successor.ts", import.meta.url);

/** Reloads that may be under way or wait; a further one is refused. */
const RELOADS_MAX = 4;

/** One upstream, and a proxy whose file a test may change. */
async function start(flags: Flags, env: Readonly<Record<string, string>> = {}) {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream({ says: "here" }));
  const it = stack.use(
    await Upgradable.start(async (more, folder) => {
      await Deno.writeTextFile(folder.at("failover.yaml"), "hold: 1s\n");
      const own = { config: folder.at("failover.yaml") };
      return await startProxy({ upstreams: [upstream], flags: { ...own, ...more, ...flags }, env });
    }),
  );
  const owned = stack.move();
  const reload = async (hold: string) => {
    await Deno.writeTextFile(it.folder.at("failover.yaml"), `hold: ${hold}\n`);
    return await runCommand(["reload", "--control", it.control.path]);
  };
  return { it, reload, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

if (Deno.build.os === "linux") {
  for (const relay of ENGINES) {
    for (const step of ["after hello", "after ready"]) {
      testWithPrograms(
        `[${relay}] a reload while a new process is about to take over (${step}) is refused, and done later`,
        [],
        async () => {
          await using folder = await Folder.make();
          const env = { TEST_DIES: `new ${step}`, TEST_WAITS: folder.at("go") };
          await using fixture = await start({ relay }, env);
          const { it, reload } = fixture;
          const upgrading = it.upgrade(await it.executable(DYING));
          await folder.has("go.there");

          const refused = await reload("2s");

          assertEquals(
            [refused.code, refused.err],
            [2, "failover: Cannot reload now: another process is taking over"],
          );
          it.proxy.signal("SIGHUP");
          await it.proxy.event("config.refused", { by: "SIGHUP" });
          assertEquals(it.proxy.events("config.reloaded"), []);
          await folder.write("go", "");
          assertEquals((await upgrading).status, 409);
          const { code, out } = await reload("3s");
          assertEquals(code, 0);
          assertMatch(out, /hold 1s → 3s/);
          assertEquals(await it.proxy.ask(), "here");
          assertEquals((await it.upgrade()).status, 200);
          // The new process has read the file itself.
          const { out: same } = await reload("3s");
          assertMatch(same, /nothing has changed/);
          assertEquals(await it.proxy.ask(), "here");
        },
      );
    }
  }

  testWithPrograms(
    "[splice] an upgrade while a reload is under way begins when that is done",
    [],
    async () => {
      await using fixture = await start({ relay: "splice" });
      const { it } = fixture;
      let reloading: ReturnType<typeof it.control.order>[];
      let upgrading: ReturnType<typeof it.upgrade>;
      {
        // A reload has been done when each thread has it.
        using _frozen = new FrozenThread(threadNamed(it.pid, "worker-1"));
        await Deno.writeTextFile(it.folder.at("failover.yaml"), "hold: 2s\n");
        reloading = Array.from({ length: RELOADS_MAX + 1 }, () => it.control.order("reload"));
        // One too many is refused at once: the others are under way then.
        const first = withTestDeadline("a refusal", Promise.race(reloading), it.proxy.lastLines);
        assertEquals((await first)[0], 409);
        upgrading = it.upgrade();
        await it.proxy.event("upgrade.started");
      }
      const statuses = (await Promise.all(reloading)).map(([status]) => status);
      assertEquals(statuses.filter((status) => status === 200).length, 1, statuses.join());
      const { status, lines } = await upgrading;
      assertEquals([status, lines], [200, []]);
      const reloaded = await it.proxy.event("config.reloaded");
      await it.proxy.event("upgrade.tookOver", {}, reloaded);
      assertEquals(await it.proxy.ask(), "here");
    },
  );
}
