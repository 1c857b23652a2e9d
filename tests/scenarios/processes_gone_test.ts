/** No process may be started any more (fork(2): EAGAIN): that is no failure of upstreams and triggers. */
import { assertEquals, assertMatch } from "@std/assert";
import { Folder } from "../harness/folder.ts";
import { argsOf, Proxy, startProxy } from "../harness/proxy.ts";
import { ENGINES, isInstalled, testWithPrograms } from "../harness/scenario.ts";
import { type Named, startUpstream } from "../harness/upstream.ts";
import { realClock, sleep } from "../../src/base/clock.ts";
import { webArgs, WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const SHORT = new URL("../harness/short_of_processes_main.ts", import.meta.url).href;

const QUICK = {
  "log-level": "debug",
  "check-interval": "200ms",
  "check-timeout": "5s",
  "max-backoff": "1s",
};

/** strace(1), which some containers forbid. */
const TRACER = canTrace() ? [] : ["strace and the right to use it"];

function canTrace(): boolean {
  if (Deno.build.os !== "linux" || !isInstalled("strace")) return false;
  const args = [
    "-D",
    "-qq",
    "-o",
    "/dev/null",
    "-e",
    "inject=clone:error=ENOMEM:when=2..3",
    "true",
  ];
  return new Deno.Command("strace", { args, stderr: "null" }).outputSync().success;
}

/** A proxy that serves, with a switch for a lack of processes. */
async function shortOfProcesses(
  upstreams: readonly Named[],
  flags: Readonly<Record<string, string>>,
) {
  const bind = `127.0.0.1:${unusedPort()}`;
  const args = [
    ...["-b", bind, "-H", upstreams.map(({ name }) => name).join(","), "--json-logs"],
    ...argsOf({ ...QUICK, ...flags }),
  ];
  const proxy = new Proxy(args, {}, bind, SHORT);
  await proxy.event("promotion.finished", { to: upstreams[0]!.name });
  return {
    proxy,
    [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose](),
  };
}

for (const relay of ENGINES) {
  testWithPrograms(
    `[${relay}] a trigger for which there is no process is tried again, and clients wait`,
    [],
    async () => {
      await using folder = await openFolder();
      await using primary = await startUpstream({ says: "primary" });
      await using backup = await startUpstream({ says: "backup" });
      const trigger = await folder.script("trigger.sh", 'echo "$1" >> ran');
      const flags = { relay, "on-failover": trigger, hold: "1m" };
      await using it = await shortOfProcesses([primary, backup], flags);
      const { proxy } = it;
      assertEquals(await proxy.ask(), "primary");

      await forbidProcesses(proxy);
      await primary.kill();
      const answer = proxy.ask();
      const first = await proxy.event("promotion.delayed", { to: backup.name, attempt: 1 });
      assertMatch(first.reason, /temporarily unavailable/i);
      await proxy.event("promotion.delayed", { attempt: 2 }, first);
      assertEquals(proxy.events("trigger.failed"), []);
      await allowProcesses(proxy);

      assertEquals(await answer, "backup");
      assertEquals(await folder.read("ran"), `${primary.name}\n${backup.name}\n`);
      const done = await proxy.event("promotion.finished", { to: backup.name });
      assertEquals(done.triggersFailed, undefined);
    },
  );

  testWithPrograms(
    `[${relay}] a trigger for which there is no memory is tried again, and clients wait`,
    TRACER,
    async () => {
      await using folder = await Folder.make();
      await using primary = await startUpstream({ says: "primary" });
      await using backup = await startUpstream({ says: "backup" });
      const trigger = await folder.script("trigger.sh", 'echo "$1" >> ran');
      // The tracer changes what fork(2) answers the second and third time.
      const under = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=clone"];
      await using proxy = await startProxy({
        upstreams: [primary, backup],
        flags: { relay, "on-failover": trigger, hold: "1m" },
        under: [...under, "-e", "inject=clone:error=ENOMEM:when=2..3"],
      });
      assertEquals(await proxy.ask(), "primary");

      await primary.kill();
      assertEquals(await proxy.ask(), "backup");
      assertEquals(await folder.read("ran"), `${primary.name}\n${backup.name}\n`);
      const delays = proxy.events("promotion.delayed", { to: backup.name });
      assertEquals(delays.map(({ attempt }) => attempt), [1, 2]);
      assertMatch(delays[0]!.reason, /cannot allocate memory/i);
    },
  );

  testWithPrograms(
    `[${relay}] a check for which there is no process gives no verdict`,
    [],
    async () => {
      await using folder = await openFolder();
      await using primary = await startUpstream({ says: "primary" });
      await using backup = await startUpstream({ says: "backup" });
      const check = await folder.script("check.sh", "exit 0");
      const flags = { relay, "check-host": check, "fail-threshold": "1" };
      await using it = await shortOfProcesses([primary, backup], flags);
      const { proxy } = it;

      await forbidProcesses(proxy);
      const reason = /^check could not be started: .*temporarily unavailable/i;
      await proxy.event("noVerdict.began", { upstream: primary.name, reason });
      await proxy.event("noVerdict.began", { upstream: backup.name, reason });
      assertEquals(await proxy.ask(), "primary");
      await allowProcesses(proxy);

      await proxy.event("noVerdict.ended", { upstream: primary.name });
      assertEquals(await proxy.ask(), "primary");
      assertEquals(proxy.events("upstream.down"), []);
    },
  );
}

/** A folder that the proxy can use when it is no longer root. */
async function openFolder(): Promise<Folder> {
  const folder = await Folder.make();
  await Deno.chmod(folder.path, 0o777);
  await Deno.chmod(await folder.write("ran", ""), 0o666);
  return folder;
}

/**
 * Waits until Deno has ended the idle threads of its pools: ten seconds, which cannot be observed from
 * outside, and which no manual clock moves.
 */
async function poolsAreIdle(): Promise<void> {
  await sleep(realClock, 11_000);
}

// The splice engine looks names up every five seconds, so that its pool is never idle.
testWithPrograms(
  "[stream] a name is looked up although no new thread can be started",
  [],
  async () => {
    await using primary = await startUpstream({ says: "primary" });
    const name = primary.name.replace("127.0.0.1", "localhost");
    // Rare checks, so that nothing else uses the pool meanwhile.
    const flags = { relay: "stream", "check-interval": "1m" };
    await using it = await shortOfProcesses([{ name }], flags);
    const { proxy } = it;
    assertEquals(await proxy.ask(), "primary");
    await poolsAreIdle();

    await forbidProcesses(proxy);
    assertEquals(await proxy.ask(), "primary");
  },
);

testWithPrograms(
  "[http] a trigger for which there is no process is tried again, and requests wait",
  [],
  async () => {
    await using folder = await openFolder();
    await using primary = await WebUpstream.start("primary");
    await using backup = await WebUpstream.start("backup");
    const trigger = await folder.script("trigger.sh", 'echo "$1" >> ran');
    const flags = { "on-failover": trigger, "trigger-mode": "before", hold: "1m" };
    await using proxy = await shortWebProxy(primary, backup, flags);

    await forbidProcesses(proxy);
    await primary.kill();
    const answer = proxy.get("/who");
    await proxy.event("promotion.delayed", { attempt: 2 });
    await allowProcesses(proxy);

    assertEquals((await answer).text, "backup");
    assertEquals(await folder.read("ran"), `${primary.url}\n${backup.url}\n`);
  },
);

testWithPrograms(
  "[http] files are served although no new thread can be started",
  [],
  async () => {
    await using folder = await openFolder();
    await using primary = await WebUpstream.start("primary");
    const page = await folder.write("page.html", "we are away");
    await using proxy = await shortWebProxy(primary, `page:${page}`, {});
    await poolsAreIdle();

    await forbidProcesses(proxy);
    await primary.kill();
    await proxy.event("promotion.finished", { move: "failover" });
    const { status, text } = await proxy.get("/");
    assertEquals([status, text], [503, "we are away"]);
  },
);

/** A proxy in HTTP mode that serves, with a switch for a lack of processes. */
async function shortWebProxy(
  primary: WebUpstream,
  backup: WebUpstream | string,
  flags: Readonly<Record<string, string>>,
): Promise<WebProxy> {
  const listen = `127.0.0.1:${unusedPort()}`;
  const args = webArgs(listen, { primary, backups: [backup], flags });
  const proxy = new WebProxy(args, {}, listen, SHORT);
  await proxy.event("promotion.finished");
  return proxy;
}

async function forbidProcesses(proxy: Proxy): Promise<void> {
  proxy.signal("SIGWINCH");
  await proxy.line(/^no process is left$/);
}

async function allowProcesses(proxy: Proxy): Promise<void> {
  proxy.signal("SIGWINCH");
  await proxy.line(/^processes can be started$/);
}
