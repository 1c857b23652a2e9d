/** Orders of the operator: switchover, pause, hold and drain, on a running proxy. */
import { assertEquals, assertMatch } from "@std/assert";
import { Control } from "../harness/control.ts";
import { Folder } from "../harness/folder.ts";
import { startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { askSteadily, SteadyCount } from "../harness/steady_clients.ts";
import { startUpstream } from "../harness/upstream.ts";
import { untilTrue } from "../harness/test_deadline.ts";
import { startWebPair } from "../harness/web_pair.ts";
import { QUIET_MS } from "../../src/failover/ports.ts";

/** A primary, a backup, a proxy with a trigger that records its runs, and orders to the proxy. */
async function startTcp(flags: Readonly<Record<string, string>>) {
  await using parts = new AsyncDisposableStack();
  const folder = parts.use(await Folder.make());
  const trigger = await folder.script("trigger.sh", `echo "$FAILOVER_EVENT $1" >> done`);
  const primary = parts.use(await startUpstream({ says: "primary" }));
  const backup = parts.use(await startUpstream({ says: "backup" }));
  const control = parts.use(await Control.make());
  const proxy = parts.use(
    await startProxy({
      upstreams: [primary, backup],
      flags: { "on-failover": trigger, hold: "1m", control: control.path, ...flags },
    }),
  );
  // A switchover needs an upstream that has passed a check.
  await proxy.event("upstream.up", { upstream: backup.name });
  const owned = parts.move();
  const parted = { folder, primary, backup, proxy, control, order: control.order };
  return { ...parted, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

scenario("a switchover holds new clients, waits for quiet sessions, then moves", async (relay) => {
  await using scene = await startTcp({ ...relay, failback: "auto" });
  const { proxy, primary, backup, order } = scene;
  const old = await proxy.connect();
  await old.say("who");
  assertEquals(await old.line(), "primary");

  const moved = order(`switchover?to=${backup.name}&max_wait=50s&wait=true&reason=kernel%20update`);
  await proxy.event("clients.held");
  const [status, answer] = await moved;

  assertEquals([status, answer.outcome], [200, "finished"]);
  const begun = await proxy.event("promotion.started", { move: "switchover" });
  assertMatch(begun.reason, /kernel update/);
  // One engine ends it, the other resets it.
  assertEquals(await old.line().catch(() => undefined), undefined);
  assertEquals(await proxy.ask(), "backup");
  assertEquals(
    (await Deno.readTextFile(scene.folder.at("done"))).trim().split("\n").at(-1),
    `switchover ${backup.name}`,
  );
  // The primary is up and has the better rank, but gets the traffic back only by order.
  const passed = await proxy.event("promotion.finished", { move: "switchover" });
  assertEquals((await order(`switchover?to=${primary.name}&wait=true`))[0], 200);
  assertEquals(proxy.events("promotion.started", { move: "failback" }), []);
  await proxy.event("promotion.finished", { to: primary.name }, passed);
  old.close();
});

scenario("a switchover waits for a busy session no longer than its limit", async (relay) => {
  await using scene = await startTcp(relay);
  const { proxy, backup, order } = scene;
  const old = await proxy.connect();
  await old.say("echo x");
  assertEquals(await old.line(), "x");
  let talks = true;
  const talk = (async () => {
    while (talks) {
      await old.say("echo x");
      if (await old.line() === undefined) return;
    }
  })().catch(() => {});

  const [status] = await order(`switchover?to=${backup.name}&max_wait=700ms&wait=true`);

  await proxy.event("promotion.finished", { move: "switchover" });
  talks = false;
  await talk;
  old.close();
  assertEquals(status, 200);
  assertEquals(await proxy.ask(), "backup");
});

scenario("a switchover whose trigger fails leaves the old upstream in service", async (relay) => {
  await using scene = await startTcp(relay);
  const { proxy, folder, backup, order } = scene;
  await folder.script("trigger.sh", "exit 3");

  const [status, answer] = await order(`switchover?to=${backup.name}&wait=true`);

  assertEquals([status, answer.outcome], [409, "failed"]);
  await proxy.event("service.returned");
  assertEquals(await proxy.ask(), "primary");
});

scenario("a paused service does not move until it is resumed", async (relay) => {
  await using scene = await startTcp(relay);
  const { proxy, primary, backup, order } = scene;
  assertEquals((await order("pause?reason=maintenance"))[0], 200);

  await primary.kill();
  const withheld = await proxy.event("failover.withheld", { upstream: primary.name });
  assertEquals(proxy.events("promotion.started", { to: backup.name }), []);

  assertEquals((await order("resume"))[0], 200);
  await proxy.event("promotion.finished", { to: backup.name }, withheld);
  assertEquals(await proxy.ask(), "backup");
});

scenario("a hold makes new clients wait until it is released", async (relay) => {
  await using scene = await startTcp(relay);
  const { proxy, order } = scene;
  assertEquals((await order("hold?max=50s"))[0], 200);
  let released = false;
  const asked = proxy.ask().then((answer) => [answer, released]);
  const early = await proxy.connect();

  released = true;
  assertEquals((await order("release"))[0], 200);

  assertEquals(await asked, ["primary", true]);
  early.close();
});

scenario("a drained upstream is not chosen, even if no other is up", async (relay) => {
  await using scene = await startTcp(relay);
  const { proxy, primary, backup, order } = scene;
  assertEquals((await order(`drain?upstream=${primary.name}`))[0], 409);
  assertEquals((await order(`drain?upstream=${backup.name}`))[0], 200);

  await primary.kill();
  const failed = await proxy.event("selection.failed");
  assertMatch(failed.message, /drained by the operator/);

  assertEquals((await order(`undrain?upstream=${backup.name}`))[0], 200);
  await proxy.event("promotion.finished", { to: backup.name }, failed);
  assertEquals(await proxy.ask(), "backup");
});

scenario(
  "in HTTP mode a switchover waits for the exchanges, and loses no request",
  async (relay) => {
    await using pair = await startWebPair({ ...relay, hold: "1m", "sessions-on-move": "keep" });
    const { primary, backup, proxy, control } = pair;
    await proxy.event("upstream.up", { upstream: backup.url });
    const { order } = control;
    await proxy.event("upstream.up", { upstream: backup.url });
    const working = primary.isWaiting();
    const slow = proxy.request({ method: "POST", target: "/wait", body: "x" });
    await working;

    const moved = order(`switchover?to=${backup.url}&max_wait=50s&wait=true`);
    await proxy.event("clients.held");
    const held = proxy.get("/");
    assertEquals(proxy.events("promotion.finished", { move: "switchover" }), []);
    await primary.ask("/release");

    assertEquals((await slow).text, "primary");
    assertEquals((await moved)[0], 200);
    assertEquals((await held).text, "backup");
  },
);

scenario("under load a switchover costs no client that connects again", async (relay) => {
  await using scene = await startTcp(relay);
  const { proxy, primary, backup, order } = scene;
  const answers = new Map<string, number>();
  let quiet = 0;
  let isOver = false;
  const client = async () => {
    while (!isOver) {
      const asked = performance.now();
      const answer = await proxy.ask().catch((error) => {
        // An upstream that gets no core for so long looks quiet, so that its sessions are cut.
        if (performance.now() - asked < QUIET_MS) throw error;
        quiet++;
      });
      if (answer !== undefined) answers.set(answer, (answers.get(answer) ?? 0) + 1);
    }
  };
  const clients = Promise.all(Array.from({ length: 8 }, client));
  clients.catch(() => {});
  for (const to of [backup, primary, backup]) {
    assertEquals((await order(`switchover?to=${to.name}&max_wait=50s&wait=true`))[0], 200);
    const name = to === backup ? "backup" : "primary";
    const enough = (answers.get(name) ?? 0) + 8;
    while ((answers.get(name) ?? 0) < enough) assertEquals(await proxy.ask(), name);
  }
  isOver = true;
  // Any other client without an answer would have thrown.
  await clients;
  const areCut = () =>
    quiet <= proxy.events("sessions.cut").reduce((sum, { count }) => sum + count, 0);
  await untilTrue("each session without an answer to be one that was cut", areCut, proxy.lastLines);
  assertEquals([...answers.keys()].sort(), ["backup", "primary"]);
});

for (const fresh of [true, false]) {
  const who = fresh ? "that connect for each" : "on kept connections";
  scenario(
    `in HTTP mode a switchover under load loses no request of clients ${who}`,
    async (relay) => {
      await using pair = await startWebPair({ ...relay, hold: "1m" });
      const { primary, backup, proxy, control } = pair;
      await proxy.event("upstream.up", { upstream: backup.url });
      const count = new SteadyCount();
      const clients = askSteadily(proxy.address, 8, { fresh, pauseMs: 0, keptMs: Infinity }, count);
      for (
        const [to, wait] of [[backup, "&max_wait=20s"], [primary, ""], [
          backup,
          "&max_wait=20s",
        ]] as const
      ) {
        await count.reaches(count.answered + 50);
        const order = `switchover?to=${to.url}${wait}&wait=true`;
        assertEquals((await control.order(order))[0], 200);
      }
      await count.reaches(count.answered + 50);
      await proxy.stop();
      await clients;
      assertEquals(count.lost, []);
      assertEquals(proxy.events("promotion.finished", { move: "switchover" }).length, 3);
    },
  );
}
