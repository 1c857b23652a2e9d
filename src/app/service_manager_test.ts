import { assertEquals } from "@std/assert";
import { TestService } from "../admin/testing/service.ts";
import { EventStream } from "../events/stream.ts";
import { ManualClock } from "../base/clock.ts";
import { PASSED } from "../failover/testing/results.ts";
import { configOf } from "../config/testing/config.ts";
import { ServiceManager, statusLine } from "./service_manager.ts";

const CONFIG = configOf(["--bind", "127.0.0.1:1", "--hosts", "127.0.0.1:2,127.0.0.1:3"]);

Deno.test("the state of all services is one line, and there is one before any of them runs", async () => {
  assertEquals(statusLine([]), "Starting");
  await using db = new TestService({ name: "db" });
  await db.start(PASSED, PASSED);
  await using web = new TestService({ name: "web" });
  await web.start(PASSED, PASSED);
  const one = "a, the primary, serves";
  assertEquals(statusLine([web.view]), one);
  assertEquals(statusLine([db.view, web.view]), `db: ${one}; web: ${one}`);
});

Deno.test("without a service manager nothing is received, told or warned of", async () => {
  using manager = await ServiceManager.from({}, CONFIG, undefined);
  const events = new EventStream(new ManualClock(), { keep: 9 });
  manager.follow(events, () => []);
  manager.ready();
  assertEquals(await manager.reload(() => Promise.resolve("done")), "done");
  manager.stopping();
  manager.handOver(7);
  assertEquals([manager.received, events.recent], [undefined, []]);
});

Deno.test({
  name: "what cannot be used is a warning, whenever it is found out",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const env = { LISTEN_FDS: "1", LISTEN_PID: "1", NOTIFY_SOCKET: "/nowhere/notify" };
    using manager = await ServiceManager.from(env, CONFIG, undefined);
    const events = new EventStream(new ManualClock(), { keep: 9 });
    manager.follow(events, () => []);
    manager.ready();
    const warnings = events.recent.map(({ event }) =>
      event.type === "config.warned" ? event.warning : event.type
    );
    assertEquals(manager.received, undefined);
    assertEquals(warnings, [
      `LISTEN_FDS is for process 1 and this is ${Deno.pid}: its sockets are not used`,
      "the service manager cannot be notified: no such file or directory",
    ]);
  },
});
