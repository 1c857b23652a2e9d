/** `failover reload` and SIGHUP: what changes, what stays, and what is refused. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { startReloaded } from "../harness/reloaded.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";

scenario(
  "a reload with another list moves the traffic, and leaves sessions, counters and the port alone",
  async (relay) => {
    await using one = await startUpstream({ says: "one" });
    await using two = await startUpstream({ says: "two" });
    await using three = await startUpstream({ says: "three" });
    const bind = `127.0.0.1:${unusedPort()}`;
    const listOf = (...hosts: { name: string }[]) => ({
      services: {
        db: { hosts: hosts.map(({ name }) => name), bind, "sessions_on_move": "keep", ...relay },
      },
    });
    await using proxy = await startReloaded(listOf(one, two));
    await proxy.event("promotion.finished", { to: one.name });
    using session = await proxy.session(bind);
    assertEquals(await session.ask(), "one");

    for (let times = 0; times < 10; times++) {
      const third = times % 2 === 0 ? [three] : [];
      const { code, out } = await proxy.reload(listOf(one, two, ...third));
      assertEquals([code, out.split("\n")[0]], [0, "reload: done"]);
      assertEquals(await session.ask(`echo ${times}`), `${times}`);
    }
    const { code, out } = await proxy.reload(listOf(two, three));

    assertEquals(code, 0);
    assertStringIncludes(out, `service db: hosts ${one.name},${two.name}`);
    const moved = await proxy.event("promotion.finished", { to: two.name });
    assertEquals([moved.move, moved.reason], ["failover", `${one.name} was removed from the list`]);
    assertEquals(await proxy.askAt(bind), "two");
    assertEquals(await session.ask("echo still"), "still");
    assertEquals(proxy.events("port.closed"), []);
    assertEquals(proxy.events("port.opened", { service: "db" }).length, 1);
    const state = await proxy.state();
    assertEquals(state.counters.accepted, 2);
    assertEquals(state.epoch, 2);
  },
);

scenario(
  "the sessions of an upstream that was removed end as at a move",
  async (relay) => {
    await using one = await startUpstream({ says: "one" });
    await using two = await startUpstream({ says: "two" });
    const bind = `127.0.0.1:${unusedPort()}`;
    const listOf = (...hosts: { name: string }[]) => ({
      services: {
        db: { hosts: hosts.map(({ name }) => name), bind, "sessions_on_move": "cut", ...relay },
      },
    });
    await using proxy = await startReloaded(listOf(one, two));
    await proxy.event("promotion.finished", { to: one.name });
    using session = await proxy.session(bind);
    assertEquals(await session.ask(), "one");

    assertEquals((await proxy.reload(listOf(two))).code, 0);

    await session.ends();
    await proxy.event("sessions.cut", { upstream: one.name });
    assertEquals(await proxy.askAt(bind), "two");
  },
);

scenario(
  "services come and go: the port of a new one opens, and that of one that goes is closed",
  async (relay) => {
    await using one = await startUpstream({ says: "one" });
    const [first, second] = [`127.0.0.1:${unusedPort()}`, `127.0.0.1:${unusedPort()}`];
    const a = { hosts: [one.name], bind: first, ...relay };
    const b = { hosts: [one.name], bind: second, ...relay };
    await using proxy = await startReloaded({ drain_timeout: "1s", services: { a } });
    await proxy.event("promotion.finished", { service: "a" });
    using session = await proxy.session(first);
    assertEquals(await session.ask(), "one");

    const { out } = await proxy.reload({ drain_timeout: "1s", services: { b } });

    assertStringIncludes(out, "service a goes");
    assertStringIncludes(out, `service b comes: it listens on ${second}, TCP mode`);
    await proxy.event("port.opened", { service: "b" });
    assertEquals(await proxy.askAt(second), "one");
    await proxy.event("port.closed", { service: "a" });
    // Its session has the time of --drain-timeout.
    await session.ends();
    const { services } = await proxy.states();
    assertEquals(services.map(({ service }) => service), ["b"]);
  },
);

scenario(
  "a wrong config is refused with all lines of a wrong start, and nothing changes",
  async (relay) => {
    await using one = await startUpstream({ says: "one" });
    const bind = `127.0.0.1:${unusedPort()}`;
    const good = { services: { db: { hosts: [one.name], bind, ...relay } } };
    await using proxy = await startReloaded(good);
    await proxy.event("promotion.finished");
    const wrong = {
      ...good,
      log_level: "loud",
      services: { db: { ...good.services.db, fail_threshold: 0, on_failover: "/none" } },
    };

    const { code, out, err } = await proxy.reload(wrong);

    assertEquals([code, out], [2, ""]);
    const lines = err.split("\n");
    assertEquals(lines.length, 3);
    assertMatch(lines[0]!, /^failover: Cannot use "loud" as log_level/);
    assertMatch(err, /Cannot use "0" as fail_threshold/);
    assertMatch(err, /Cannot use "\/none" as on_failover/);
    assertEquals(await proxy.startLines(), lines);
    const refused = await proxy.event("config.refused");
    assertEquals(refused.errors.map((line) => `failover: ${line}`), lines);
    assertMatch(await proxy.metrics(), /^failover_config_reload_success 0$/m);
    assertEquals(await proxy.askAt(bind), "one");
    assertEquals((await proxy.reload(good)).out, "reload: nothing has changed");
    assertMatch(await proxy.metrics(), /^failover_config_reload_success 1$/m);
  },
);

scenario(
  "a file that is gone, half a file and a port that is taken refuse the whole reload",
  async (relay) => {
    await using one = await startUpstream({ says: "one" });
    await using two = await startUpstream({ says: "two" });
    const bind = `127.0.0.1:${unusedPort()}`;
    const db = { hosts: [one.name], bind, ...relay };
    await using proxy = await startReloaded({ services: { db } });
    await proxy.event("promotion.finished");
    await proxy.remove();
    assertMatch((await proxy.reload()).err, /Cannot read .*: there is no such file/);
    await proxy.write('services:\n  db:\n    hosts: ["127.0.0.1:1"');
    const half = await proxy.reload();
    assertEquals(half.code, 2);
    using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const other = { hosts: [two.name], bind: `127.0.0.1:${taken.addr.port}`, ...relay };

    const { code, err } = await proxy.reload({
      services: { db: { ...db, hosts: [two.name] }, other },
    });

    assertEquals(code, 2);
    assertMatch(
      err,
      /^failover: Cannot listen on 127\.0\.0\.1:\d+: address in use \(option bind of service other/,
    );
    assertEquals([await proxy.askAt(bind), proxy.events("promotion.started").length], ["one", 1]);
  },
);

Deno.test("a dry run says what would change and touches nothing; SIGHUP does it", async () => {
  await using one = await startUpstream({ says: "one" });
  const bind = `127.0.0.1:${unusedPort()}`;
  const before = { services: { db: { hosts: [one.name], bind } } };
  const after = { log_level: "info", services: { db: { hosts: [one.name], bind, hold: "3s" } } };
  await using proxy = await startReloaded(before);
  await proxy.event("promotion.finished");
  const dry = await proxy.reload(after, ["--dry-run"]);
  assertEquals(
    dry.out,
    "reload: this would change\n  log_level debug → info\n  service db: hold 10s → 3s",
  );
  assertEquals([dry.code, proxy.events("config.reloaded")], [0, []]);

  proxy.signal("SIGHUP");

  const { changes, by } = await proxy.event("config.reloaded");
  assertEquals([by, changes], ["SIGHUP", ["log_level debug → info", "service db: hold 10s → 3s"]]);
  assertEquals(
    (await proxy.reload(after, ["--dry-run", "--json"])).out.includes('"unchanged"'),
    true,
  );
});

Deno.test("what needs a restart is named before anything is touched, all of it", async () => {
  await using one = await startUpstream({ says: "one" });
  const bind = `127.0.0.1:${unusedPort()}`;
  const before = { services: { db: { hosts: [one.name], bind } } };
  await using proxy = await startReloaded(before);
  await proxy.event("promotion.finished");
  const other = `127.0.0.1:${unusedPort()}`;

  const { code, err } = await proxy.reload({
    log_level: "warn",
    workers: 2,
    services: { db: { hosts: [one.name], bind: other, relay: "stream" } },
  });

  assertEquals(code, 2);
  assertEquals(err.split("\n").map((line) => /Cannot change (\w+)/.exec(line)?.[1]), [
    ...["workers", "bind", "relay"],
  ]);
  assertEquals([await proxy.askAt(bind), proxy.events("config.reloaded")], ["one", []]);
  // The log is as chatty as before.
  await one.kill();
  await proxy.event("upstream.down");
});

Deno.test("without a proxy a reload has exit code 3", async () => {
  const { runCommand } = await import("../harness/command.ts");
  const { code, err } = await runCommand(["reload", "--control", "/none/failover.sock"]);
  assertEquals(code, 3);
  assert(err.startsWith("failover: no proxy can be reached"));
});
