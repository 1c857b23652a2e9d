/** A check that cannot be made for a shortage of the proxy's machine gives no verdict. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { realClock, sleep } from "../../src/base/clock.ts";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** A proxy with two upstreams whose check program can be removed, as during a deployment. */
async function withCheck(flags: Readonly<Record<string, string>>) {
  await using parts = new AsyncDisposableStack();
  const folder = parts.use(await Folder.make());
  const primary = parts.use(await startUpstream({ says: "primary" }));
  const backup = parts.use(await startUpstream({ says: "backup" }));
  const check = await folder.script("check.sh", "exit 0");
  const admin = `127.0.0.1:${unusedPort()}`;
  const proxy = parts.use(
    await startProxy({
      upstreams: [primary, backup],
      flags: { ...flags, "check-host": check, admin, hold: "1m" },
    }),
  );
  const owned = parts.move();
  return {
    ...{ primary, backup, proxy },
    async removeCheck(): Promise<void> {
      // A shell that was just started may fail to open its script, which counts as a failed check. A single
      // one brings down no upstream whose first check has passed.
      await proxy.event("upstream.up", { upstream: primary.name });
      await proxy.event("upstream.up", { upstream: backup.name });
      await Deno.rename(check, `${check}~`);
      await proxy.event("noVerdict.began", { upstream: primary.name });
      await proxy.event("noVerdict.began", { upstream: backup.name });
    },
    restoreCheck: () => Deno.rename(`${check}~`, check),
    async askAdmin(path: string): Promise<string> {
      return await (await fetch(`http://${admin}/__failover/${path}`)).text();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

scenario(
  "a check program that is missing for a moment changes nothing, and is reported",
  async (relay) => {
    await using it = await withCheck(relay);
    const { proxy, primary } = it;
    const session = await proxy.connect();
    await session.say("who");
    assertEquals(await session.line(), "primary");

    await it.removeCheck();
    const noVerdicts = (metrics: string) =>
      [...metrics.matchAll(/checks_total\{.*result="no_verdict"\} (\d+)/g)].map(([, n]) =>
        Number(n)
      );
    // More of them than the failures that bring an upstream down.
    let metrics = "";
    const untilCounted = async () => {
      do {
        await sleep(realClock, 50);
        metrics = await it.askAdmin("metrics");
      } while (!noVerdicts(metrics).every((n) => n > 4));
    };
    await withTestDeadline("more checks without a verdict", untilCounted(), proxy.lastLines);
    assertEquals(noVerdicts(metrics).length, 2);
    const state = JSON.parse(await it.askAdmin("state"));
    const [first] = (state.services ?? [state])[0].upstreams;
    assertEquals(first.verdict, "up");
    assertStringIncludes(first.no_verdict.reason, "check");
    await it.restoreCheck();

    await proxy.event("noVerdict.ended", { upstream: primary.name });
    await session.say("who");
    assertEquals(await session.line(), "primary");
    assertEquals(await proxy.ask(), "primary");
    session.close();
    assertEquals(proxy.events("upstream.down"), []);
    assertEquals(proxy.events("noVerdict.began", { upstream: primary.name }).length, 1);
  },
);

scenario(
  "no upstream is chosen before a better rank that could not be checked: clients wait until it can be",
  async (relay) => {
    await using it = await withCheck(relay);
    const { proxy, primary, backup } = it;
    await it.removeCheck();

    await primary.kill();
    const answer = proxy.ask();
    await proxy.event("clients.held");
    await proxy.event("selection.failed", {}, await proxy.event("selection.failed"));
    assertEquals(proxy.events("promotion.started", { to: backup.name }), []);
    await it.restoreCheck();

    assertEquals(await answer, "backup");
    assert(proxy.events("clients.refused").length === 0);
  },
);
