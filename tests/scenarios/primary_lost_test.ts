/** The active upstream fails, in each of the ways in which an upstream can fail. */
import { assertEquals, assertRejects } from "@std/assert";
import { Folder } from "../harness/folder.ts";
import { startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { checkThatTalks, NEEDS_FOR_TALKING } from "../harness/talking_check.ts";
import {
  blackHoleUpstream,
  refusingUpstream,
  resettingUpstream,
  startUpstream,
} from "../harness/upstream.ts";

/** Checks wait in vain for a black hole, but long enough for an upstream that is well, also on a busy machine. */
const BLACK_HOLES = { "check-timeout": "2s", "hold": "1m", "hold-while": "down" };

/** The same for a check program. */
const STANDSTILLS = { "check-script-timeout": "3s", "fail-threshold": "2", "hold-while": "down" };

scenario("clients get the backup when the primary is killed", async (relay) => {
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  await using proxy = await startProxy({ upstreams: [primary, backup], flags: relay });
  assertEquals(await proxy.ask(), "primary");

  await primary.kill();

  assertEquals(await proxy.ask(), "backup");
  const down = await proxy.event("upstream.down", { upstream: primary.name });
  assertEquals(down.reason, "connection refused");
  await proxy.event("promotion.finished", { move: "failover", from: primary.name, epoch: 2 });
});

scenario(
  "a refused client makes the primary down without waiting for the schedule",
  async (relay) => {
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: { ...relay, "check-interval": "1h" },
    });

    await primary.kill();

    assertEquals(await proxy.ask(), "backup");
  },
);

scenario("a killed primary is noticed even when no client comes", async (relay) => {
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  await using proxy = await startProxy({ upstreams: [primary, backup], flags: relay });

  await primary.kill();

  await proxy.event("promotion.finished", { to: backup.name });
});

scenario(
  "clients get the backup when the primary freezes and the check script sees it",
  async (relay) => {
    await using folder = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    const check = await checkThatTalks(folder);
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: { ...relay, "check-host": check, "hold": "1m", ...STANDSTILLS },
    });
    assertEquals(await proxy.ask(), "primary");

    await primary.freeze();

    await proxy.event("promotion.finished", { from: primary.name, to: backup.name });
    assertEquals(await proxy.ask(), "backup");
  },
  NEEDS_FOR_TALKING,
);

scenario("clients get the backup when the primary becomes a black hole", async (relay) => {
  await using primary = await startUpstream({ says: "primary", backlog: 8 });
  await using backup = await startUpstream({ says: "backup" });
  await using proxy = await startProxy({
    upstreams: [primary, backup],
    flags: { ...relay, ...BLACK_HOLES, "connect-timeout": "1s" },
  });
  assertEquals(await proxy.ask(), "primary");

  await primary.blackHole();

  assertEquals(await proxy.ask(), "backup");
  await proxy.event("upstream.down", { upstream: primary.name });
});

scenario(
  "the first upstream that accepts is chosen, after one that refuses and a black hole",
  async (relay) => {
    const refusing = refusingUpstream();
    await using blackHole = await blackHoleUpstream();
    await using third = await startUpstream({ says: "third" });
    await using proxy = await startProxy({
      upstreams: [refusing, blackHole, third],
      flags: { ...relay, ...BLACK_HOLES },
    });

    await proxy.event("promotion.finished", { move: "start", to: third.name, epoch: 1 });
    assertEquals(await proxy.ask(), "third");
  },
);

scenario("a reset during a session ends that session and no other", async (relay) => {
  await using resetting = await resettingUpstream("primary");
  await using proxy = await startProxy({ upstreams: [resetting], flags: relay });

  const conn = await proxy.connect();
  await conn.say("hello");
  assertEquals(await conn.line(), "primary");
  // The portable engine cannot send a reset, only an end.
  if (relay.relay === "stream") assertEquals(await conn.line(), undefined);
  else await assertRejects(() => conn.line(), Deno.errors.ConnectionReset);
  conn.close();

  assertEquals(await proxy.ask("hello"), "primary");
  assertEquals(proxy.events("upstream.down"), []);
});

scenario(
  "the order of --hosts decides, and an upstream that comes back is used again",
  async (relay) => {
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    await using proxy = await startProxy({ upstreams: [primary, backup], flags: relay });

    await primary.kill();
    await proxy.event("promotion.finished", { to: backup.name });
    await primary.restart();
    await proxy.event("upstream.up", { upstream: primary.name });
    assertEquals(await proxy.ask(), "backup");
    await backup.kill();
    await proxy.event("promotion.finished", { from: backup.name, to: primary.name, epoch: 3 });

    assertEquals(await proxy.ask(), "primary");
  },
);

scenario("a session of the lost primary ends instead of hanging", async (relay) => {
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  await using proxy = await startProxy({ upstreams: [primary, backup], flags: relay });
  const conn = await proxy.connect();
  await conn.say("who");
  assertEquals(await conn.line(), "primary");

  await primary.kill();

  assertEquals(await conn.line().catch(() => undefined), undefined);
  conn.close();
});
