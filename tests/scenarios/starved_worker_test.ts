/** A worker, or the whole process, that gets no CPU time for longer than the limit for a worker that hangs. */
import { assert, assertEquals } from "@std/assert";
import { realClock, sleep } from "../../src/base/clock.ts";
import { FrozenThread, threadNamed } from "../harness/frozen_thread.ts";
import { startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startUpstream } from "../harness/upstream.ts";

/** More than the ten seconds after which a worker is reported. */
const STOPPED_MS = 11_000;

Deno.test({
  name:
    "[splice] a worker that gets no CPU time for ten seconds is reported, and its sessions continue",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using primary = await startUpstream({ says: "primary" });
    await using proxy = await startProxy({ upstreams: [primary], flags: { relay: "splice" } });
    const kept = await proxy.connect();
    await kept.say("who");
    assertEquals(await kept.line(), "primary");
    {
      using _frozen = new FrozenThread(threadNamed(proxy.pid, "worker-1"));
      await kept.say("who");
      const { worker, forMs } = await proxy.event("worker.starved");
      assertEquals(worker, 1);
      assert(forMs >= 10_000, `${forMs} ms`);
    }
    assertEquals(await withTestDeadline("the late answer", kept.line()), "primary");
    assertEquals(await proxy.ask(), "primary");
    assertEquals(proxy.events("worker.died"), []);
    assertEquals(proxy.events("upstream.down"), []);
    kept.close();
  },
});

scenario("a process that was stopped for eleven seconds keeps its sessions", async (relay) => {
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  await using proxy = await startProxy({ upstreams: [primary, backup], flags: relay });
  const kept = await proxy.connect();
  await kept.say("who");
  assertEquals(await kept.line(), "primary");
  proxy.signal("SIGSTOP");
  await kept.say("who");
  await sleep(realClock, STOPPED_MS);
  proxy.signal("SIGCONT");
  assertEquals(await withTestDeadline("the late answer", kept.line()), "primary");
  assertEquals(await proxy.ask(), "primary");
  assertEquals(proxy.events("worker.died"), []);
  assertEquals(proxy.events("upstream.down"), []);
  kept.close();
});
