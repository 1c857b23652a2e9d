/**
 * The sums of `failover explain`, with real processes: for each kind of fault, the time from the fault until a
 * client is served again is never above the worst sum. The simulation shows the same in virtual time, for
 * random options and moments; here the faults, the checks and the clients are real.
 *
 * The sums do not include the delays of a busy machine, so the bound is extended by them (`Lateness`).
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { runCommand } from "../harness/command.ts";
import { Folder } from "../harness/folder.ts";
import { ResettingUpstream, SilencedUpstream } from "../harness/failing_upstreams.ts";
import { Lateness } from "../harness/lateness.ts";
import { mayServeNames, NameServer } from "../harness/name_server.ts";
import { argsOf, type Proxy, startProxy } from "../harness/proxy.ts";
import { ENGINES, scenario, testWithPrograms } from "../harness/scenario.ts";
import { checkThatTalks, NEEDS_FOR_TALKING } from "../harness/talking_check.ts";
import { startUpstream, type UpstreamProcess } from "../harness/upstream.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

/** Short, so that the tests are; the same for the proxy and for `explain`. */
const SETTINGS = {
  "check-interval": "200ms",
  "check-timeout": "1s",
  "check-script-timeout": "1s",
  "fail-threshold": "3",
  "trigger-timeout": "2s",
  "hold": "1m",
};

interface Explained {
  readonly faults: readonly { readonly name: string; readonly worstMs: number | null }[];
}

/** The worst sum of a fault, as the command prints it; null if there is no failover. */
async function worstOf(fault: string, args: readonly string[]): Promise<number | null> {
  const { code, out, err } = await runCommand(["explain", "--json", ...args]);
  assertEquals(code, 0, err);
  const [{ faults }] = JSON.parse(out) as [Explained];
  const found = faults.find(({ name }) => name === fault);
  assert(found !== undefined, `${fault} is not among ${faults.map(({ name }) => name).join(", ")}`);
  return found.worstMs;
}

/** Breaks the primary, and sends requests until the backup answers, no later than the worst sum. */
async function within(
  worstMs: number | null,
  proxy: Proxy,
  { breaks, ask, to }: {
    readonly breaks: () => Promise<void> | void;
    readonly ask: () => Promise<string>;
    readonly to: string;
  },
): Promise<void> {
  assert(worstMs !== null, "there should be a failover");
  using lateness = new Lateness();
  const since = performance.now();
  await breaks();
  // Without clients meanwhile, as the sum assumes that only the checks notice the fault.
  await proxy.event("promotion.finished", { move: "failover", to });
  assertEquals(await ask(), "backup");
  const tookMs = performance.now() - since;
  const mostMs = worstMs + lateness.allowanceMs;
  assert(
    tookMs <= mostMs,
    `it took ${tookMs} ms, at worst ${worstMs} (${mostMs} here)\n${proxy.lastLines()}`,
  );
}

/** Passes unless the file `no` beside it contains the name of the host. */
const CHECK = `[ ! -e "$(dirname "$0")/no" ] || [ "$1" != "$(cat "$(dirname "$0")/no")" ]`;
type Break = (primary: UpstreamProcess, folder: Folder) => Promise<void> | void;

const TCP_FAULTS: readonly (readonly [fault: string, how: string, Break])[] = [
  ["refused", "is killed", (primary) => primary.kill()],
  ["silent", "answers nothing", (primary) => primary.blackHole()],
  ["check program", "is rejected", async (primary, folder) => {
    await folder.write("no", primary.name);
  }],
];

for (const [fault, how, breaks] of TCP_FAULTS) {
  for (const hasTrigger of fault === "refused" ? [false, true] : [false]) {
    const beside = hasTrigger ? ", with a trigger" : "";
    scenario(`explain: an upstream that ${how} is replaced in time${beside}`, async (relay) => {
      await using folder = await Folder.make();
      await using primary = await startUpstream({ says: "primary", backlog: 8 });
      await using backup = await startUpstream({ says: "backup" });
      const trigger = await folder.script("trigger.sh", "sleep 0.3");
      const flags = {
        ...SETTINGS,
        ...relay,
        ...fault === "check program"
          ? { "check-host": await folder.script("check.sh", CHECK) }
          : {},
        ...hasTrigger ? { "on-failover": trigger } : {},
      };
      const worst = await worstOf(fault, [
        "--bind=127.0.0.1:1",
        `--hosts=${primary.name},${backup.name}`,
        ...argsOf(flags),
      ]);
      await using proxy = await startProxy({ upstreams: [primary, backup], flags });
      await proxy.event("upstream.up", { upstream: backup.name });
      await within(worst, proxy, {
        breaks: () => breaks(primary, folder),
        ask: () => proxy.ask(),
        to: backup.name,
      });
    });
  }
}

for (const fault of ["frozen", "reset"] as const) {
  scenario(
    `explain: a check program notices an upstream that is ${fault} in time`,
    async (relay) => {
      await using folder = await Folder.make();
      await using resetting = await ResettingUpstream.start("primary\n");
      await using freezing = await startUpstream({ says: "primary" });
      await using backup = await startUpstream({ says: "backup" });
      const primary = fault === "reset" ? resetting : freezing;
      const check = await checkThatTalks(folder);
      const flags = {
        ...SETTINGS,
        ...relay,
        "check-script-timeout": "2s",
        "check-host": check,
        "fail-threshold": "2",
      };
      const worst = await worstOf(fault, [
        ...["--bind=127.0.0.1:1", `--hosts=${primary.name},${backup.name}`],
        ...argsOf(flags),
      ]);
      await using proxy = await startProxy({ upstreams: [primary, backup], flags });
      await proxy.event("upstream.up", { upstream: backup.name });
      await within(worst, proxy, {
        breaks: () => fault === "reset" ? resetting.resetAll() : freezing.freeze(),
        ask: () => proxy.ask(),
        to: backup.name,
      });
    },
    NEEDS_FOR_TALKING,
  );
}

scenario(
  "explain: without a check program a frozen upstream is not replaced, as it says",
  async (relay) => {
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    const flags = { ...SETTINGS, ...relay };
    const args = [`--hosts=${primary.name},${backup.name}`, "--bind=127.0.0.1:1", ...argsOf(flags)];
    assertEquals(await worstOf("frozen", args), null);
    assertEquals(await worstOf("name service gone", args), null);
  },
);

for (const relay of ENGINES) {
  Deno.test({
    name: `[${relay}] explain: without its name service the proxy serves on, as it says`,
    ignore: !mayServeNames(),
    async fn() {
      await using names = await NameServer.start();
      await using folder = await Folder.make();
      await using primary = await startUpstream({ says: "primary" });
      await using backup = await startUpstream({ says: "backup" });
      const under = (name: string, { name: address }: { readonly name: string }) => ({
        name: `${name}:${address.split(":")[1]}`,
      });
      const upstreams = [under("db1.test", primary), under("db2.test", backup)];
      const flags = { ...SETTINGS, relay };
      const hosts = `--hosts=${upstreams.map(({ name }) => name).join(",")}`;
      const args = [hosts, "--bind=127.0.0.1:1", ...argsOf(flags)];
      assertEquals(await worstOf("name service gone", args), null);
      await using proxy = await startProxy({
        upstreams,
        flags,
        under: await names.command(folder),
      });
      await proxy.event("upstream.up", { upstream: upstreams[1]!.name });
      names.isSilent = true;
      await names.unanswered("db1.test");
      await names.unanswered("db2.test");
      assertEquals(await proxy.ask(), "primary");
      assertEquals(proxy.events("upstream.down"), []);
    },
  });
}

scenario("explain: a check program that hangs is noticed in time", async (relay) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  const hang = `[ ! -e "$(dirname "$0")/hang" ] || [ "$1" != "${primary.name}" ] || sleep 60`;
  const check = await folder.script("check.sh", hang);
  const flags = { ...SETTINGS, ...relay, "check-host": check };
  const args = [`--hosts=${primary.name},${backup.name}`, "--bind=127.0.0.1:1", ...argsOf(flags)];
  const worst = await worstOf("check program", args);
  await using proxy = await startProxy({ upstreams: [primary, backup], flags });
  await proxy.event("upstream.up", { upstream: backup.name });
  await within(worst, proxy, {
    breaks: async () => void await folder.write("hang", ""),
    ask: () => proxy.ask(),
    to: backup.name,
  });
});

const { "trigger-timeout": _, "check-script-timeout": __, ...HTTP_SETTINGS } = SETTINGS;

function httpArgs(
  primary: { readonly url: string },
  backup: { readonly url: string },
  flags: Readonly<Record<string, string>>,
): string[] {
  return [
    ...["--listen=127.0.0.1:1", `--primary=${primary.url}`, `--backup=${backup.url}`],
    ...argsOf(flags),
  ];
}

const RESPONSE = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nprimary";

const HTTP_FAULTS: readonly (readonly [
  fault: string,
  how: string,
  (primary: WebUpstream) => Promise<void> | void,
])[] = [
  ["refused", "is killed", (primary) => primary.kill()],
  ["frozen", "stands still", (primary) => primary.freeze()],
  ["error status", "answers 503", (primary) => primary.behave("failing")],
];

for (const [fault, how, breaks] of HTTP_FAULTS) {
  scenario(`explain: in HTTP mode an upstream that ${how} is replaced in time`, async (relay) => {
    await using primary = await WebUpstream.start("primary");
    await using backup = await WebUpstream.start("backup");
    const flags = { ...HTTP_SETTINGS, ...relay };
    const worst = await worstOf(fault, httpArgs(primary, backup, flags));
    await using proxy = await startWebProxy({ primary, backups: [backup], flags });
    await proxy.event("upstream.up", { upstream: backup.url });
    await within(worst, proxy, {
      breaks: () => breaks(primary),
      ask: async () => (await proxy.get("/")).text,
      to: backup.url,
    });
  });
}

scenario(
  "explain: in HTTP mode an upstream that resets connections is replaced in time",
  async (relay) => {
    await using primary = await ResettingUpstream.start(RESPONSE);
    await using backup = await WebUpstream.start("backup");
    const flags = { ...HTTP_SETTINGS, ...relay };
    const worst = await worstOf("reset", httpArgs(primary, backup, flags));
    await using proxy = await startWebProxy({ primary, backups: [backup], flags });
    await proxy.event("upstream.up", { upstream: backup.url });
    await within(worst, proxy, {
      breaks: () => primary.resetAll(),
      ask: async () => (await proxy.get("/")).text,
      to: backup.url,
    });
  },
);

scenario(
  "explain: in HTTP mode an upstream that answers nothing is replaced in time",
  async (relay) => {
    await using primary = new SilencedUpstream(RESPONSE);
    await using backup = await WebUpstream.start("backup");
    const flags = { ...HTTP_SETTINGS, ...relay };
    const worst = await worstOf("silent", httpArgs(primary, backup, flags));
    await using proxy = await startWebProxy({ primary, backups: [backup], flags });
    await proxy.event("upstream.up", { upstream: backup.url });
    await within(worst, proxy, {
      breaks: () => primary.silence(),
      ask: async () => (await proxy.get("/")).text,
      to: backup.url,
    });
    await proxy.event("upstream.down", { upstream: primary.url, reason: /no answer/ });
  },
);

testWithPrograms("explain: more clients than descriptors are a trap", ["prlimit"], async () => {
  const args = ["--hosts=a:1,b:1", "--bind=127.0.0.1:1", "--max-connections=5000"];
  const run = await runCommand(["explain", ...args], {}, ["prlimit", "--nofile=1024"]);
  assertEquals([run.code, run.err], [0, ""]);
  assertStringIncludes(run.out, "trap: max-connections 5000 is more than the 1024 descriptors");
  const well = await runCommand(["explain", ...args], {}, ["prlimit", "--nofile=20000"]);
  assert(!well.out.includes("descriptors"), well.out);
});
