/** What an upgrade takes over beside the sessions, and what refuses it, with real processes. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { runCommand } from "../harness/command.ts";
import { Folder } from "../harness/folder.ts";
import { type Flags, startProxy } from "../harness/proxy.ts";
import { ENGINES, testWithPrograms } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { Upgradable } from "../harness/upgradable.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { CAN_MOUNT, mountSmallDisk } from "../../src/base/testing/small_disk.ts";

const isLinux = Deno.build.os === "linux";
const DYING = new URL("../harness/dying_successor.ts", import.meta.url);
const NEW_PROCESS = new URL("../../src/upgrade/testing/new_process.ts", import.meta.url);

/** A scenario of Linux, once for each engine. */
function upgradeScenario(name: string, run: (relay: Flags) => Promise<void>): void {
  if (!isLinux) return;
  for (const relay of ENGINES) testWithPrograms(`[${relay}] ${name}`, [], () => run({ relay }));
}

/** One upstream and a proxy, with a configuration file that the test may change. */
async function single(flags: Flags, env: Readonly<Record<string, string>> = {}) {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream({ says: "here" }));
  const it = stack.use(
    await Upgradable.start(async (more, folder) => {
      await Deno.writeTextFile(folder.at("failover.yaml"), "max_backoff: 1s\n");
      const own = { config: folder.at("failover.yaml") };
      return await startProxy({ upstreams: [upstream], flags: { ...own, ...more, ...flags }, env });
    }),
  );
  const owned = stack.move();
  return { it, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Upgrades; a failure shows why not. */
async function done(it: Upgradable, path?: string): Promise<void> {
  const { status, lines } = await it.upgrade(path);
  assertEquals([status, lines], [200, []]);
}

upgradeScenario(
  "a changed configuration file is taken over with, and a wrong one changes nothing",
  async (relay) => {
    await using fixture = await single(relay);
    const { it } = fixture;
    const path = it.folder.at("failover.yaml");
    await Deno.writeTextFile(path, "grace: never\nholdd: 3s\n");
    const { status, lines } = await it.upgrade();
    assertEquals([status, lines.length], [409, 2], lines.join("\n"));
    assertMatch(lines.join("\n"), /grace.*never|never.*grace/);
    assertMatch(lines.join("\n"), /holdd/);
    // They stand in the log as well.
    await it.proxy.line(/^failover: .*holdd/);
    assertEquals(await it.proxy.ask(), "here");
    // A listening socket that is no longer wanted is closed, and a new one opened.
    const [before, after] = [unusedPort(), unusedPort()];
    await Deno.writeTextFile(path, `admin: 127.0.0.1:${before}\n`);
    await done(it);
    const health = async (port: number) =>
      await (await fetch(`http://127.0.0.1:${port}/__failover/health`)).text();
    assertEquals(await health(before), "OK");
    await Deno.writeTextFile(path, `admin: 127.0.0.1:${after}\n`);
    await done(it);
    assertEquals(await health(after), "OK");
    await it.proxy.event(
      "proxy.stopped",
      {},
      await it.proxy.event("upgrade.handedOver", { toPid: it.pid }),
    );
    await assertRejects(() => health(before));
    assertEquals(await it.proxy.ask(), "here");
  },
);

upgradeScenario(
  "an executable that is none, or of another protocol, changes nothing",
  async (relay) => {
    await using fixture = await single(relay);
    const { it } = fixture;
    const run = `exec '${Deno.execPath()}' run -A -q '${NEW_PROCESS.pathname}'`;
    const other = await it.folder.script(
      "other",
      `${run} "other protocol" '${it.folder.at("report")}'`,
    );
    const { status, lines } = await it.upgrade(other);
    assertEquals(status, 409);
    assertMatch(
      lines.join(),
      /^version 9\.9\.9 cannot take over from version \S+: it speaks protocol 99 of upgrades, and this one \d+$/,
    );
    const { message } = JSON.parse(await it.folder.read("report"));
    assertEquals(message, { type: "refused", reason: lines[0] });
    const plain = it.folder.at("plain");
    await Deno.writeTextFile(plain, "text", { mode: 0o600 });
    assertEquals((await it.upgrade(plain)).lines, [`${plain} is not executable`]);
    // It does not keep the number of its process, so that it could be neither killed nor known.
    const wrapped = await it.folder.script(
      "wrapped",
      `${run.slice("exec ".length)} all '${it.folder.at("report")}'\nexit 3`,
    );
    assertMatch(
      (await it.upgrade(wrapped)).lines.join(),
      /ended with exit code 3 before it said hello/,
    );
    assertEquals(await it.proxy.ask(), "here");
    await done(it);
  },
);

/** While a new process has everything and may not begin, and when it dies then, the old one alone serves. */
upgradeScenario("a new process serves no TCP client before it may", async (relay) => {
  await using folder = await Folder.make();
  const env = { TEST_DIES: "new before took", TEST_WAITS: folder.at("go") };
  await using fixture = await single(relay, env);
  const { it } = fixture;
  const upgrading = it.upgrade(await it.executable(DYING));
  await folder.has("go.there");
  for (let asked = 0; asked < 40; asked++) assertEquals(await it.proxy.ask(), "here");
  await folder.write("go", "");
  assertEquals((await upgrading).status, 409);
  assertEquals(await it.proxy.ask(), "here");
});

upgradeScenario("a new process serves no HTTP client before it may", async (relay) => {
  await using folder = await Folder.make();
  await using upstream = await WebUpstream.start("here");
  const env = { TEST_DIES: "new before took", TEST_WAITS: folder.at("go") };
  await using it = await Upgradable.start((flags) =>
    startWebProxy({ primary: upstream, flags: { ...flags, ...relay }, env })
  );
  const upgrading = it.upgrade(await it.executable(DYING));
  await folder.has("go.there");
  const statuses = await Promise.all(Array.from({ length: 40 }, () => it.proxy.get("/")));
  assertEquals(statuses.map(({ status }) => status), Array(40).fill(200));
  await folder.write("go", "");
  assertEquals((await upgrading).status, 409);
  assertEquals((await it.proxy.get("/")).status, 200);
});

upgradeScenario("an executable that was replaced by renaming is the new one", async (relay) => {
  await using fixture = await single(relay);
  const { it } = fixture;
  const main = new URL("../../src/main.ts", import.meta.url);
  const path = await it.executable(main);
  const next = await it.folder.script(
    "next",
    (await Deno.readTextFile(path)).split("\n").slice(2).join("\n"),
  );
  await Deno.rename(next, path);
  await done(it, path);
  assertEquals(await it.proxy.ask(), "here");
});

upgradeScenario("operators reach the new process where they reached the old one", async (relay) => {
  const admin = `127.0.0.1:${unusedPort()}`;
  await using fixture = await single({ ...relay, admin });
  const { it } = fixture;
  await it.proxy.event("port.opened", { service: "", address: admin });
  // A kept connection may still be one of the old process, which cuts it at its end.
  using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  const metrics = `http://${admin}/__failover/metrics`;
  const seriesOf = async () => await (await fetch(metrics, { client })).text();
  assertMatch(await seriesOf(), /failover_sessions_accepted_total|failover_/);
  const watching = await it.control.get("events?x=1");
  await watching.body?.cancel();
  for (let upgrades = 0; upgrades < 2; upgrades++) {
    await done(it);
    assertMatch(await seriesOf(), /failover_/);
    const { epoch } = await (await it.control.get("state")).json();
    assertEquals(epoch, upgrades + 2);
  }
  const { events } = await (await it.control.get("events")).json();
  const took = events.filter(({ event }: { event: string }) => event === "upgrade.tookOver");
  assertEquals(took.map(({ toPid }: { toPid: number }) => toPid), [it.pid]);
});

upgradeScenario(
  "without its control socket a proxy goes on, and is upgraded when that is back",
  async (relay) => {
    await using fixture = await single(relay);
    const { it } = fixture;
    const opened = await it.proxy.event("control.opened");
    await Deno.remove(it.control.path);
    const { code, err } = await runCommand(["upgrade", "--control", it.control.path]);
    assertEquals(code, 3, err);
    assertEquals(await it.proxy.ask(), "here");
    // The proxy makes it again.
    await it.proxy.event("control.opened", {}, opened);
    await done(it);
    assertEquals(await it.proxy.ask(), "here");
  },
);

Deno.test({
  name: "a full disk under the state folder refuses an upgrade, and the proxy goes on",
  ignore: !CAN_MOUNT,
  async fn() {
    await using folder = await Folder.make();
    await using _disk = await mountSmallDisk(folder.path, 64 * 1_024);
    await using fixture = await single({ "state-dir": folder.path });
    const { it } = fixture;
    // What is written later would take the place of what it replaces.
    await folder.reads("tcp.state.json", (text) => {
      const { served, unfinished } = JSON.parse(text);
      return served !== null && unfinished === null;
    });
    const ballast = await Deno.open(folder.at("ballast"), { write: true, create: true });
    const page = new Uint8Array(4_096);
    let isFull = false;
    while (!isFull) isFull = await ballast.write(page).then(() => false, () => true);
    ballast.close();
    const { status, lines } = await it.upgrade();
    assertEquals(status, 409);
    assertMatch(lines.join(), /^Cannot use the state folder .*no space is left/);
    assertEquals(await it.proxy.ask(), "here");
    await Deno.remove(folder.at("ballast"));
    await done(it);
    assertEquals(await it.proxy.ask(), "here");
    const state = JSON.parse(await folder.read("tcp.state.json"));
    assert(state.epoch > 1 && state.standing === undefined, JSON.stringify(state));
  },
});
