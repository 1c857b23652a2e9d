/** Failback: never, at once, by order, after a time, and damped if the primary flaps. */
import { assert, assertEquals } from "@std/assert";
import { type Proxy, startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream, type UpstreamProcess } from "../harness/upstream.ts";

interface Pair extends AsyncDisposable {
  readonly primary: UpstreamProcess;
  readonly backup: UpstreamProcess;
  readonly proxy: Proxy;
}

/** A primary, a backup, and a proxy in front. */
async function startPair(flags: Readonly<Record<string, string>>): Promise<Pair> {
  await using parts = new AsyncDisposableStack();
  const primary = parts.use(await startUpstream({ says: "primary" }));
  const backup = parts.use(await startUpstream({ says: "backup" }));
  const proxy = parts.use(await startProxy({ upstreams: [primary, backup], flags }));
  const owned = parts.move();
  return { primary, backup, proxy, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Kills the primary, waits for the backup, starts the primary again and waits until it is up. */
async function primaryGoesAndReturns({ primary, backup, proxy }: Pair): Promise<{ index: number }> {
  const before = proxy.events("promotion.finished").at(-1);
  await primary.kill();
  const failover = await proxy.event("promotion.finished", { to: backup.name }, before);
  await primary.restart();
  return await proxy.event("upstream.up", { upstream: primary.name }, failover);
}

scenario(
  "with --failback never, the default, a primary that is up again gets no clients",
  async (relay) => {
    await using pair = await startPair(relay);

    await primaryGoesAndReturns(pair);

    assertEquals(await pair.proxy.ask(), "backup");
    assertEquals(pair.proxy.events("failback.scheduled"), []);
  },
);

scenario(
  "with --failback auto clients get the primary again, as soon as it is up",
  async (relay) => {
    await using pair = await startPair({ ...relay, failback: "auto" });

    const up = await primaryGoesAndReturns(pair);

    const back = await pair.proxy.event("promotion.finished", { move: "failback" }, up);
    assertEquals([back.from, back.to, back.epoch], [pair.backup.name, pair.primary.name, 3]);
    assertEquals(await pair.proxy.ask(), "primary");
  },
);

scenario("with --failback 1s the primary must have been up for one second", async (relay) => {
  await using pair = await startPair({ ...relay, failback: "1s" });

  const up = await primaryGoesAndReturns(pair);

  const plan = await pair.proxy.event("failback.scheduled", { to: pair.primary.name });
  assert(plan.inMs > 0 && plan.inMs <= 1_000, `${plan.inMs} ms`);
  await pair.proxy.event("promotion.finished", { move: "failback" }, up);
  assertEquals(await pair.proxy.ask(), "primary");
});

scenario("with --failback manual the primary waits for SIGUSR2", async (relay) => {
  await using pair = await startPair({ ...relay, failback: "manual" });

  const up = await primaryGoesAndReturns(pair);
  assertEquals(await pair.proxy.ask(), "backup");
  pair.proxy.signal("SIGUSR2");

  await pair.proxy.event("promotion.finished", { to: pair.primary.name }, up);
  assertEquals(await pair.proxy.ask(), "primary");
});

scenario("an order to fail back is refused while the primary is down", async (relay) => {
  await using pair = await startPair({ ...relay, failback: "manual" });
  await pair.primary.kill();
  await pair.proxy.event("promotion.finished", { to: pair.backup.name });

  pair.proxy.signal("SIGUSR2");

  await pair.proxy.event("order.refused");
  assertEquals(await pair.proxy.ask(), "backup");
});

scenario("a running session continues through a failback", async (relay) => {
  await using pair = await startPair({ ...relay, failback: "manual" });
  const up = await primaryGoesAndReturns(pair);
  const conn = await pair.proxy.connect();
  await conn.say("who");
  assertEquals(await conn.line(), "backup");

  pair.proxy.signal("SIGUSR2");
  await pair.proxy.event("promotion.finished", { to: pair.primary.name }, up);

  await conn.say("who");
  assertEquals(await conn.line(), "backup");
  conn.close();
});

scenario(
  "the third failback within ten minutes waits 10 s more, and that is logged",
  async (relay) => {
    await using pair = await startPair({ ...relay, failback: "auto" });
    for (const _ of ["first", "second"]) {
      const up = await primaryGoesAndReturns(pair);
      await pair.proxy.event("promotion.finished", { move: "failback" }, up);
    }

    const up = await primaryGoesAndReturns(pair);

    const plan = await pair.proxy.event("failback.scheduled", { dampingMs: 10_000 });
    assert(plan.index > up.index - 2 && plan.inMs > 9_000, JSON.stringify(plan));
    assertEquals(await pair.proxy.ask(), "backup");
  },
);

scenario("with --failback-damping off a third failback is as quick as the first", async (relay) => {
  await using pair = await startPair({ ...relay, failback: "auto", "failback-damping": "off" });

  for (const _ of ["first", "second", "third"]) {
    const up = await primaryGoesAndReturns(pair);
    await pair.proxy.event("promotion.finished", { move: "failback" }, up);
  }

  assertEquals(pair.proxy.events("failback.scheduled").filter((plan) => plan.dampingMs > 0), []);
});
