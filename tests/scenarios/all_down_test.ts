/** No upstream is usable: at the start and later, and how long clients are held. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { startWithBlockingTrigger } from "../harness/blocking_trigger.ts";
import { spawnProxy, startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { refusingUpstream, startUpstream } from "../harness/upstream.ts";

scenario(
  "the port stays closed until a first upstream is up, and each round reports the reason",
  async (relay) => {
    await using primary = await startUpstream({ says: "primary" });
    await primary.kill();
    const other = refusingUpstream();
    await using proxy = spawnProxy({ upstreams: [primary, other], flags: relay });

    const round = await proxy.event("selection.failed", { round: 2 });
    assertEquals(round.reasons, [
      { upstream: primary.name, reason: "connection refused" },
      { upstream: other.name, reason: "connection refused" },
    ]);
    await assertRejects(() => proxy.connect(), Deno.errors.ConnectionRefused);
    await primary.restart();

    await proxy.event("port.opened");
    assertEquals(await proxy.ask(), "primary");
  },
);

scenario("rounds follow after 1, 2 and 4 seconds, up to --max-backoff", async (relay) => {
  await using proxy = spawnProxy({
    upstreams: [refusingUpstream()],
    flags: { ...relay, "max-backoff": "2s" },
  });

  for (const [index, retryInMs] of [1_000, 2_000, 2_000].entries()) {
    const round = await proxy.event("selection.failed", { round: index + 1 });
    assertEquals(round.retryInMs, retryInMs);
  }
});

scenario(
  "the port closes when no upstream is up, and opens with the first that is up again",
  async (relay) => {
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    await using proxy = await startProxy({ upstreams: [primary, backup], flags: relay });

    await primary.kill();
    await backup.kill();
    const closed = await proxy.event("port.closed");
    await assertRejects(() => proxy.connect(), Deno.errors.ConnectionRefused);
    await backup.restart();

    await proxy.event("port.opened", {}, closed);
    assertEquals(await proxy.ask(), "backup");
  },
);

scenario("with --hold-while down a client waits until an upstream is up again", async (relay) => {
  await using primary = await startUpstream({ says: "primary" });
  await using proxy = await startProxy({
    upstreams: [primary],
    flags: { ...relay, "hold-while": "down", "hold": "1m" },
  });

  await primary.kill();
  await proxy.event("selection.failed");
  const answer = proxy.ask();
  await primary.restart();

  assertEquals(await answer, "primary");
  assertEquals(proxy.events("port.closed"), []);
});

scenario("with --hold 0 the port closes at once", async (relay) => {
  await using service = await startWithBlockingTrigger({ ...relay, "hold": "0" });
  const { proxy, primary } = service;

  await primary.kill();
  const closed = await proxy.event("port.closed");
  await proxy.event("trigger.started", { epoch: 2 });
  await assertRejects(() => proxy.connect(), Deno.errors.ConnectionRefused);
  await service.endTrigger();

  await proxy.event("port.opened", {}, closed);
  assertEquals(await proxy.ask(), "backup");
});

scenario(
  "a client that was held for --hold is turned away, and the next one is served",
  async (relay) => {
    await using service = await startWithBlockingTrigger({ ...relay, "hold": "300ms" });
    const { proxy, primary, backup } = service;

    await primary.kill();
    await proxy.event("trigger.started", { epoch: 2 });
    const outcome = await proxy.ask().then(() => "answered", () => "turned away");
    await service.endTrigger();

    assertEquals(outcome, "turned away");
    await proxy.event("promotion.finished", { to: backup.name });
    assertEquals(await proxy.ask(), "backup");
    assert(proxy.events("promotion.finished").length === 2);
  },
);

scenario(
  "with --hold-clients 0 no client waits: clients are turned away, then served",
  async (relay) => {
    await using service = await startWithBlockingTrigger({
      ...relay,
      "hold": "1m",
      "hold-clients": "0",
    });
    const { proxy, primary, backup } = service;
    assertEquals(await proxy.ask(), "primary");

    await primary.kill();
    await proxy.event("trigger.started", { epoch: 2 });
    for (let i = 0; i < 3; i++) {
      assertEquals(await proxy.ask().then(() => "answered", () => "turned away"), "turned away");
    }
    await service.endTrigger();

    await proxy.event("promotion.finished", { to: backup.name });
    assertEquals(await proxy.ask(), "backup");
  },
);
