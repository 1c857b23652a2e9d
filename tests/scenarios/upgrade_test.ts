/** A new process takes over from the running one, with real processes. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { untilGone } from "../harness/child.ts";
import { runCommand } from "../harness/command.ts";
import { waitForFile } from "../harness/folder.ts";
import { type Flags, startProxy } from "../harness/proxy.ts";
import { ENGINES, testWithPrograms } from "../harness/scenario.ts";
import { startUpstream, type UpstreamProcess } from "../harness/upstream.ts";
import { Upgradable } from "../harness/upgradable.ts";

/** Two upstreams, a trigger that records its runs, and a proxy with a state folder. */
class Pair implements AsyncDisposable {
  private constructor(
    readonly first: UpstreamProcess,
    readonly second: UpstreamProcess,
    readonly it: Upgradable,
  ) {}

  static async make(flags: Flags, env: Readonly<Record<string, string>> = {}): Promise<Pair> {
    const first = await startUpstream({ says: "first" });
    const second = await startUpstream({ says: "second" });
    const it = await Upgradable.start(async (more, folder) => {
      const trigger = await folder.script(
        "promote.sh",
        `echo "$FAILOVER_EVENT $1 $FAILOVER_EPOCH" >>runs
if [ -e slow ]; then ${waitForFile("go")}; fi`,
      );
      const own = { "state-dir": folder.at("state"), "on-failover": trigger };
      return await startProxy({
        upstreams: [first, second],
        flags: { ...own, ...more, ...flags },
        env,
      });
    });
    return new Pair(first, second, it);
  }

  async runs(): Promise<readonly string[]> {
    return (await this.it.folder.read("runs")).trim().split("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.it[Symbol.asyncDispose]();
    await this.first[Symbol.asyncDispose]();
    await this.second[Symbol.asyncDispose]();
  }
}

/** A scenario of Linux, once for each engine. */
function upgradeScenario(name: string, run: (relay: Flags) => Promise<void>): void {
  if (Deno.build.os !== "linux") return;
  for (const relay of ENGINES) testWithPrograms(`[${relay}] ${name}`, [], () => run({ relay }));
}

upgradeScenario(
  "a new process serves at once with the same upstream, and everything that stood stands",
  async (relay) => {
    await using pair = await Pair.make(relay);
    const { it, first, second } = pair;
    await first.kill();
    const moved = await it.proxy.event("promotion.finished", { to: second.name });
    assertEquals(await it.proxy.ask(), "second");
    await it.control.order(`drain?upstream=${first.name}&reason=broken`);
    const [before] = it.pids;
    const { status, pid } = await it.upgrade();
    assertEquals([status, it.pids.length], [200, 2]);
    const took = await it.proxy.event("upgrade.tookOver");
    assertEquals([took.fromPid, took.toPid], [before, pid]);
    const resumed = await it.proxy.event("service.continued", { upstream: second.name });
    assertEquals(resumed.epoch, moved.epoch + 1);
    assertEquals(await it.proxy.ask(), "second");
    const handed = await it.proxy.event("upgrade.handedOver");
    assertEquals([handed.fromPid, handed.toPid], [before, pid]);
    await it.proxy.event("upgrade.finished", { fromPid: before!, toPid: pid });
    await untilGone([String(before)]);
    const { upstreams } = await (await it.control.get("state")).json();
    assertEquals(upstreams[0].drained?.reason, "broken");
    // No trigger has run again, also not that of the start.
    assertEquals((await pair.runs()).length, 2);
    assertEquals((await it.upgrade()).status, 200);
    assertEquals(await it.proxy.ask(), "second");
    assertEquals((await pair.runs()).length, 2);
    await it.folder.reads("state/lock", (text) => Number(text) === it.pid);
  },
);

upgradeScenario(
  "the new process decides: it fails over, and the epoch only grows",
  async (relay) => {
    await using pair = await Pair.make(relay);
    const { it, first, second } = pair;
    assertEquals((await it.upgrade()).status, 200);
    await first.kill();
    const moved = await it.proxy.event("promotion.finished", { to: second.name });
    assertEquals(await it.proxy.ask(), "second");
    const epochs = (await pair.runs()).map((line) => Number(line.split(" ")[2]));
    assertEquals(epochs, [1, moved.epoch]);
    assert(moved.epoch > 2, `epoch ${moved.epoch}`);
  },
);

upgradeScenario(
  "a promotion that is under way ends first, and its trigger runs once",
  async (relay) => {
    await using pair = await Pair.make(relay);
    const { it, first, second } = pair;
    await Deno.writeTextFile(it.folder.at("slow"), "");
    await first.kill();
    await it.folder.reads("runs", (text) => text.includes("failover"));
    const upgrading = it.upgrade();
    await it.proxy.event("upgrade.started");
    // A second one at the same time is refused.
    const again = await it.upgrade();
    assertEquals([again.status, again.lines], [409, ["an upgrade is under way already"]]);
    await Deno.writeTextFile(it.folder.at("go"), "");
    assertEquals((await upgrading).status, 200);
    await it.proxy.event("service.continued", { upstream: second.name });
    assertEquals(await it.proxy.ask(), "second");
    assertEquals((await pair.runs()).map((line) => line.split(" ")[0]), ["start", "failover"]);
  },
);

upgradeScenario("a process that is to end is not replaced", async (relay) => {
  await using pair = await Pair.make({ ...relay, "drain-delay": "30s" });
  const { it } = pair;
  it.proxy.signal("SIGTERM");
  let ready = 200;
  while (ready === 200) {
    const response = await it.control.get("ready");
    await response.body?.cancel();
    ready = response.status;
  }
  const { status, lines } = await it.upgrade();
  assertEquals([status, lines], [409, ["the proxy is to end"]]);
  assertEquals(it.proxy.events("upgrade.started"), []);
});

upgradeScenario("the command says what has happened, also to programs", async (relay) => {
  await using pair = await Pair.make(relay);
  const { it } = pair;
  const control = ["--control", it.control.path];
  const done = await runCommand(["upgrade", ...control]);
  assertMatch(done.out, /^upgrade: done, process \d+ \(\S+\) has taken over from \d+ \(\S+\)$/);
  it.pids.push(Number(/process (\d+)/.exec(done.out)![1]));
  const refused = await runCommand(["upgrade", "./nothing", ...control]);
  assertMatch(refused.err, /^failover: not upgraded: there is no \/.*\/nothing$/);
  const json = await runCommand(["upgrade", "/bin/false", "--json", ...control]);
  assertEquals([done.code, refused.code, json.code], [0, 2, 2]);
  assertMatch(
    JSON.parse(json.out).lines[0],
    /^\/bin\/false \(process \d+\) ended with exit code 1/,
  );
  assertEquals(await it.proxy.ask(), "first");
  await it.proxy.event("upgrade.failed", { reason: /^\/bin\/false/ });
});

/** At each step at which a new process dies, clients are served as before, and the next upgrade succeeds. */
for (const step of ["before hello", "after hello", "before ready", "after ready", "before took"]) {
  upgradeScenario(`nothing has happened after the new process is killed ${step}`, async (relay) => {
    await using pair = await Pair.make(relay, { TEST_DIES: `new ${step}` });
    const { it, first, second } = pair;
    const session = await it.proxy.connect();
    const main = new URL("../harness/dying_successor.ts", import.meta.url);
    const { status, lines } = await it.upgrade(await it.executable(main));
    assertEquals(status, 409);
    assertMatch(
      lines.join(),
      /^the new process \(\d+\) was ended by SIGKILL before it had taken over$/,
    );
    await it.proxy.event("upgrade.failed");
    await session.say("who");
    assertEquals([await it.proxy.ask(), await session.line()], ["first", "first"]);
    session.close();
    // It decides as before.
    await first.kill();
    await it.proxy.event("promotion.finished", { to: second.name });
    assertEquals(await it.proxy.ask(), "second");
    assertEquals((await pair.runs()).length, 2);
    assertEquals((await it.upgrade()).status, 200);
    assertEquals(await it.proxy.ask(), "second");
  });
}

for (const step of ["after ready", "before took", "after took"]) {
  upgradeScenario(
    `a new process that has everything serves if the old one is killed ${step}`,
    async (relay) => {
      await using pair = await Pair.make(relay, { TEST_DIES: `old ${step}` });
      const { it, first, second } = pair;
      const main = new URL("../harness/dying_successor.ts", import.meta.url);
      const lost = it.upgrade(await it.executable(main)).catch(() => undefined);
      const took = await it.proxy.event("upgrade.tookOver");
      it.pids.push(took.toPid);
      await lost;
      await it.proxy.event("service.continued", { upstream: first.name });
      assertEquals(await it.proxy.ask(), "first");
      await first.kill();
      await it.proxy.event("promotion.finished", { to: second.name });
      assertEquals(await it.proxy.ask(), "second");
      assertEquals((await pair.runs()).length, 2);
    },
  );
}

for (const step of ["before hello", "after hello"]) {
  upgradeScenario(
    `a new process ends by itself if the old one is killed ${step}`,
    async (relay) => {
      await using pair = await Pair.make(relay, { TEST_DIES: `old ${step}` });
      const { it } = pair;
      const main = new URL("../harness/dying_successor.ts", import.meta.url);
      await it.upgrade(await it.executable(main)).catch(() => undefined);
      // Nobody can write to the log any more.
      await it.proxy.ended;
      assertMatch(
        it.proxy.lastLines(),
        /failover: Cannot take over: the process to take over from/,
      );
    },
  );
}
