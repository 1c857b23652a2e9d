/** No process may be started any more (fork(2): EAGAIN): that says nothing about upstreams and triggers. */
import { assertEquals, assertMatch } from "@std/assert";
import { Folder } from "../harness/folder.ts";
import { argsOf, Proxy } from "../harness/proxy.ts";
import { ENGINES, testWithPrograms } from "../harness/scenario.ts";
import { startUpstream, type UpstreamProcess } from "../harness/upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const SHORT = new URL("../harness/short_of_processes_main.ts", import.meta.url).href;

/** A proxy that serves, and whose system can be made to run out of processes. */
async function shortOfProcesses(
  upstreams: readonly UpstreamProcess[],
  flags: Readonly<Record<string, string>>,
) {
  const bind = `127.0.0.1:${unusedPort()}`;
  const args = [
    ...["-b", bind, "-H", upstreams.map(({ name }) => name).join(","), "--json-logs"],
    ...argsOf({ "log-level": "debug", "check-interval": "200ms", "max-backoff": "1s", ...flags }),
  ];
  const proxy = new Proxy(args, {}, bind, SHORT);
  await proxy.event("promotion.finished", { to: upstreams[0]!.name });
  return {
    proxy,
    async forbidProcesses(): Promise<void> {
      proxy.signal("SIGUSR1");
      await proxy.line(/^no process is left$/);
    },
    allowProcesses(): void {
      proxy.signal("SIGUSR2");
    },
    [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose](),
  };
}

for (const relay of ENGINES) {
  testWithPrograms(
    `[${relay}] a trigger for which there is no process is tried again, and clients wait`,
    [],
    async () => {
      await using folder = await Folder.make();
      await using primary = await startUpstream({ says: "primary" });
      await using backup = await startUpstream({ says: "backup" });
      const trigger = await folder.script("trigger.sh", 'echo "$1" >> ran');
      const flags = { relay, "on-failover": trigger, hold: "1m" };
      await using it = await shortOfProcesses([primary, backup], flags);
      const { proxy } = it;
      assertEquals(await proxy.ask(), "primary");

      await it.forbidProcesses();
      await primary.kill();
      const answer = proxy.ask();
      const first = await proxy.event("promotion.delayed", { to: backup.name, attempt: 1 });
      assertMatch(first.reason, /temporarily unavailable/i);
      await proxy.event("promotion.delayed", { attempt: 2 }, first);
      assertEquals(proxy.events("trigger.failed"), []);
      it.allowProcesses();

      assertEquals(await answer, "backup");
      assertEquals(await folder.read("ran"), `${primary.name}\n${backup.name}\n`);
      const done = await proxy.event("promotion.finished", { to: backup.name });
      assertEquals(done.triggersFailed, undefined);
    },
  );

  testWithPrograms(
    `[${relay}] a check for which there is no process gives no verdict`,
    [],
    async () => {
      await using folder = await Folder.make();
      await using primary = await startUpstream({ says: "primary" });
      await using backup = await startUpstream({ says: "backup" });
      const check = await folder.script("check.sh", "exit 0");
      const flags = { relay, "check-host": check, "fail-threshold": "1" };
      await using it = await shortOfProcesses([primary, backup], flags);
      const { proxy } = it;

      await it.forbidProcesses();
      const reason = /^check could not be started: .*temporarily unavailable/i;
      await proxy.event("noVerdict.began", { upstream: primary.name, reason });
      await proxy.event("noVerdict.began", { upstream: backup.name, reason });
      assertEquals(await proxy.ask(), "primary");
      it.allowProcesses();

      await proxy.event("noVerdict.ended", { upstream: primary.name });
      assertEquals(await proxy.ask(), "primary");
      assertEquals(proxy.events("upstream.down"), []);
    },
  );
}
