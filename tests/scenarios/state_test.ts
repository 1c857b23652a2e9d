/** What the state folder keeps after the end of the real process. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Control } from "../harness/control.ts";
import { Folder, waitForFile } from "../harness/folder.ts";
import { type Proxy, runProxy, spawnProxy, startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { assertTroubleToldOnce } from "../harness/told_once.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { startUpstream, type UpstreamProcess } from "../harness/upstream.ts";
import { CAN_MOUNT, mountSmallDisk } from "../../src/base/testing/small_disk.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

type Flags = Record<string, string | true>;

const STATE_FILE = "state/tcp.state.json";

/** A pair of upstreams, a trigger and a check that record their input, and a state folder. */
class Pair implements AsyncDisposable {
  private constructor(
    readonly folder: Folder,
    readonly first: UpstreamProcess,
    readonly second: UpstreamProcess,
    readonly flags: Flags,
  ) {}

  static async make(relay: Flags): Promise<Pair> {
    const folder = await Folder.make();
    const trigger = await folder.script(
      "promote.sh",
      `echo "$FAILOVER_EVENT $1 $FAILOVER_EPOCH" >>runs
if [ -e slow ]; then ${waitForFile("go")}; fi`,
    );
    const check = await folder.script("check.sh", 'echo "$1 $FAILOVER_ACTIVE" >>checks');
    return new Pair(
      folder,
      await startUpstream({ says: "first" }),
      await startUpstream({ says: "second" }),
      {
        ...relay,
        ...{ "state-dir": folder.at("state"), "on-failover": trigger, "check-host": check },
      },
    );
  }

  proxy(flags: Flags = {}): Promise<Proxy> {
    return startProxy({ upstreams: [this.first, this.second], flags: { ...this.flags, ...flags } });
  }

  /** Resolves when the folder records that an upstream serves. */
  knows(upstream: UpstreamProcess): Promise<void> {
    return this.folder.reads(STATE_FILE, (text) => {
      const { served, unfinished } = JSON.parse(text);
      return served === upstream.name && unfinished === null;
    });
  }

  /** The runs of the trigger: event, upstream and epoch. */
  async runs(): Promise<(readonly [string, string, number])[]> {
    const lines = (await this.folder.read("runs")).trim().split("\n");
    return lines.map((line) => {
      const [event, upstream, epoch] = line.split(" ") as [string, string, string];
      return [event, upstream, Number(epoch)] as const;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.first[Symbol.asyncDispose]();
    await this.second[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}

scenario(
  "the upstream that served before kill -9 serves again, without a trigger",
  async (relay) => {
    await using pair = await Pair.make(relay);
    const { first, second } = pair;
    const before = await pair.proxy();
    await first.kill();
    assertEquals(await before.ask(), "second");
    await pair.knows(second);
    await before.kill();
    await first.restart();
    const startedRuns = await pair.runs();
    assertEquals(startedRuns.map(([event, to]) => [event, to]), [
      ["start", first.name],
      ["failover", second.name],
    ]);
    await pair.folder.write("checks", "");

    await using after = await pair.proxy();
    const continued = await after.event("service.continued", { upstream: second.name });
    assertEquals(await after.ask(), "second");
    assert(continued.epoch > startedRuns.at(-1)![2], `epoch ${continued.epoch} was used before`);
    assertEquals(await pair.runs(), startedRuns);
    // Check programs got the name of the trusted upstream from the start.
    const told = (await pair.folder.read("checks")).trim().split("\n");
    assertEquals([...new Set(told.map((line) => line.split(" ")[1]))], [second.name]);

    await second.kill();
    await after.event("promotion.finished", { move: "failover", from: second.name });
    assertEquals(await after.ask(), "first");
    const runs = await pair.runs();
    assertEquals(runs.at(-1)!.slice(0, 2), ["failover", first.name]);
    assert(runs.at(-1)![2] > continued.epoch);
  },
);

scenario("a promotion that kill -9 interrupted is repeated with a new epoch", async (relay) => {
  await using pair = await Pair.make(relay);
  const before = await pair.proxy();
  await pair.folder.write("slow", "");
  await pair.first.kill();
  await pair.folder.reads("runs", (text) => text.includes("failover"));
  await before.kill();
  await pair.folder.write("go", "");
  await pair.first.restart();

  await using after = await pair.proxy();
  await after.event("promotion.finished", { move: "failover", from: pair.first.name });
  assertEquals(await after.ask(), "second");
  const [, interrupted, repeated] = await pair.runs();
  assertEquals(repeated!.slice(0, 2), ["failover", pair.second.name]);
  assert(repeated![2] > interrupted![2]);
});

scenario("another upstream is chosen when the remembered one is down", async (relay) => {
  await using pair = await Pair.make(relay);
  const before = await pair.proxy();
  await pair.first.kill();
  assertEquals(await before.ask(), "second");
  await before.stop();
  await pair.second.kill();
  await pair.first.restart();
  await using after = await pair.proxy();
  const done = await after.event("promotion.finished", { from: pair.second.name });
  assertMatch(done.reason, /which served before the restart, is down/);
  assertEquals(await after.ask(), "first");
  // After a regular end no epoch is skipped.
  assertEquals((await pair.runs()).map(([, , epoch]) => epoch), [1, 2, 3]);
});

scenario("orders of the operator are kept after the end of the process", async (relay) => {
  await using pair = await Pair.make(relay);
  await using control = await Control.make();
  const flags = { control: control.path };
  const before = await pair.proxy(flags);
  const upstream = encodeURIComponent(pair.second.name);
  await control.order(`drain?upstream=${upstream}&reason=disk`);
  await control.order("pause");
  await pair.folder.reads(STATE_FILE, (text) => JSON.parse(text).paused !== null);
  await before.kill();
  await using after = await pair.proxy(flags);
  await after.event("service.continued", { upstream: pair.first.name });
  const service = await (await control.get("state")).json();
  assert(service.paused !== undefined && service.paused !== null, JSON.stringify(service));
  const drained = service.upstreams.find(({ name }: { name: string }) => name === pair.second.name);
  assertEquals(drained.drained.reason, "disk");
});

scenario(
  "with a state folder that cannot be used the proxy does not start",
  async (relay) => {
    await using pair = await Pair.make(relay);
    const proxy = await pair.proxy();
    const args = [
      ...["--bind", `127.0.0.1:${unusedPort()}`, "--hosts", pair.first.name, "--control", "off"],
      ...["--state-dir", pair.folder.at("state")],
    ];
    const second = await runProxy(args);
    assertEquals(second.code, 2);
    assertMatch(
      second.stderr.join("\n"),
      new RegExp(`state: another process uses it \\(pid ${proxy.pid}\\)`),
    );
    await proxy.kill();
    await pair.folder.write(STATE_FILE, '{"version": 1');
    const damaged = await runProxy(args);
    assertEquals(damaged.code, 2);
    assertEquals(damaged.stderr.length, 1, damaged.stderr.join("\n"));
    assertMatch(
      damaged.stderr[0]!,
      /tcp\.state\.json: it is damaged .*option state_dir, from flag --state-dir/,
    );
  },
);

scenario(
  "a state file that cannot be written is reported in one line, and has no other effect",
  async (relay) => {
    await using pair = await Pair.make(relay);
    await using proxy = await pair.proxy();
    await pair.knows(pair.first);
    const obstacle = pair.folder.at(`${STATE_FILE}.new`);
    await Deno.mkdir(obstacle);
    await pair.first.kill();
    assertEquals(await proxy.ask(), "second");
    await proxy.event("state.failed", { path: /tcp\.state\.json/ });
    await Deno.remove(obstacle);
    await proxy.event("state.restored", { path: /tcp\.state\.json/ });
    await pair.knows(pair.second);
    assertTroubleToldOnce(proxy);
  },
);

scenario("without a state folder the order of the list decides", async (relay) => {
  await using pair = await Pair.make(relay);
  const { "state-dir": _, ...flags } = pair.flags;
  const start = () => spawnProxy({ upstreams: [pair.first, pair.second], flags });
  const before = start();
  await before.event("port.opened");
  await pair.first.kill();
  assertEquals(await before.ask(), "second");
  await before.kill();
  await pair.first.restart();
  await using after = start();
  await after.event("promotion.finished", { move: "start", to: pair.first.name });
});

Deno.test("in HTTP mode, too, the upstream that was active before kill -9 is active again", async () => {
  await using folder = await Folder.make();
  await using primary = await WebUpstream.start("primary");
  await using backup = await WebUpstream.start("backup");
  const options = {
    ...{ primary, backups: [backup] },
    flags: { "state-dir": folder.at("state"), failback: "manual" },
  };
  const before = await startWebProxy(options);
  await primary.kill();
  await before.event("promotion.finished", { move: "failover" });
  await folder.reads("state/http.state.json", (text) => {
    const { served, unfinished } = JSON.parse(text);
    return served === backup.url && unfinished === null;
  });
  before.signal("SIGKILL");
  await before.ended;
  await primary.restart();
  await using after = await startWebProxy(options, "service.continued");
  assertEquals((await after.get("/")).text, "backup");
  assertEquals(after.events("promotion.started"), []);
});

Deno.test({
  name: "a state folder on a full disk keeps the proxy from starting",
  ignore: !CAN_MOUNT,
  fn: async () => {
    await using folder = await Folder.make();
    await using _disk = await mountSmallDisk(folder.path, 8_192);
    await Deno.writeFile(folder.at("ballast"), new Uint8Array(8_192));
    const { code, stderr } = await runProxy([
      ...["--bind", `127.0.0.1:${unusedPort()}`, "--hosts", "127.0.0.1:1", "--control", "off"],
      ...["--state-dir", folder.path],
    ]);
    assertEquals(code, 2);
    assertMatch(
      stderr.join("\n"),
      /no space is left on the device \(option state_dir, from flag --state-dir\)/,
    );
  },
});
