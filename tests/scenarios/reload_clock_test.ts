/** The wall clock jumps by an hour while the config is read again, and while another process takes over. */
import { assert, assertEquals } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { startProxy } from "../harness/proxy.ts";
import { startReloaded } from "../harness/reloaded.ts";
import { scenario } from "../harness/scenario.ts";
import { Upgradable } from "../harness/upgradable.ts";
import { startUpstream } from "../harness/upstream.ts";
import { untilTrue } from "../harness/test_deadline.ts";

/** At SIGWINCH its clock jumps an hour ahead, at the next one back. */
const JUMPING = new URL("../faults/jumping_main.ts", import.meta.url);
const HOUR_S = 3_600;

scenario("the clock jumps between reloads, there and back: nothing moves", async (relay) => {
  await using one = await startUpstream({ says: "one" });
  await using two = await startUpstream({ says: "two" });
  const bind = `127.0.0.1:${unusedPort()}`;
  const of = (hold: string) => ({
    services: { a: { hosts: [one.name, two.name], bind, hold, ...relay } },
  });
  await using proxy = await startReloaded(of("1s"), { main: JUMPING.pathname });
  await proxy.event("promotion.finished");
  using session = await proxy.session(bind);
  assertEquals(await session.ask(), "one");
  const readAt = async () =>
    Number(
      /^failover_config_last_reload_timestamp_seconds (\S+)$/m.exec(await proxy.metrics())![1],
    );
  const before = await readAt();
  const isAhead = async () => {
    assertEquals((await proxy.reload(of("2s"))).code, 0);
    return await readAt() - before > HOUR_S / 2;
  };
  proxy.signal("SIGWINCH");
  // The signal and the order come by different ways.
  await untilTrue("the clock to be ahead", isAhead, proxy.lastLines);
  assertEquals((await proxy.reload(of("3s"))).code, 0);
  proxy.signal("SIGWINCH");
  await untilTrue("the clock to be right", async () => !await isAhead(), proxy.lastLines);
  assertEquals((await proxy.reload(of("4s"))).code, 0);

  assertEquals([await session.ask(), await proxy.askAt(bind)], ["one", "one"]);
  assertEquals(proxy.events("upstream.down"), []);
  assertEquals(proxy.events("promotion.finished").length, 1);
  assertEquals((await proxy.states()).services[0]!.epoch, 1);
});

if (Deno.build.os === "linux") {
  scenario("the clock jumps while another process takes over: it goes on", async (relay) => {
    await using one = await startUpstream({ says: "one" });
    await using two = await startUpstream({ says: "two" });
    await using it = await Upgradable.start((more, folder) =>
      startProxy({
        upstreams: [one, two],
        flags: { ...more, ...relay, "state-dir": folder.at("state") },
        main: JUMPING.pathname,
      })
    );
    const session = await it.proxy.connect();
    await session.say("who");
    assertEquals(await session.line(), "one");
    await it.control.order("pause?reason=test");
    const stateOf = async () => (await it.control.get("state")).json();
    const nowS = () => Math.floor(Date.now() / 1_000);
    // The clock of each process that takes over is an hour behind that of the one before, and then right.
    for (let turn = 0; turn < 2; turn++) {
      Deno.kill(it.pid, "SIGWINCH");
      const isAhead = async () => (await stateOf()).paused.since_unix >= nowS() + HOUR_S / 2;
      await untilTrue("the clock to be ahead", isAhead, it.proxy.lastLines);

      const { status, lines } = await it.upgrade(await it.executable(JUMPING));

      assertEquals(status, 200, lines.join());
      const { paused, active, since_unix } = await stateOf();
      assertEquals([active, paused.reason], [one.name, "test"]);
      for (const since of [paused.since_unix, since_unix]) {
        assert(Math.abs(since - nowS()) < HOUR_S / 2, `since ${since - nowS()} s from now`);
      }
      assertEquals(await it.proxy.ask(), "one");
    }
    await session.say("who");
    assertEquals(await session.line(), "one");
    session.close();
    assertEquals(it.proxy.events("upstream.down"), []);
    assertEquals(it.proxy.events("promotion.finished").length, 1);
  });
}
