/** The probe of Redis and Valkey, with real servers of Redis. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ManualClock } from "../../src/base/clock.ts";
import { PromotionRefused } from "../../src/health/server_probe.ts";
import { writeCertificate } from "../../src/net/testing/certificate.ts";
import { AskedServer, type AskOptions } from "../harness/ask_server.ts";
import { Folder } from "../harness/folder.ts";
import { Redis, REDIS_NEEDS } from "../harness/redis.ts";
import { ownAddress } from "../harness/own_address.ts";
import { testWithPrograms } from "../harness/scenario.ts";
import { untilTrue } from "../harness/test_deadline.ts";

function redisTest(
  name: string,
  run: (folder: Folder) => Promise<void>,
  needs: readonly string[] = [],
): void {
  testWithPrograms(name, [...REDIS_NEEDS, ...needs], async () => {
    await using folder = await Folder.make();
    await run(folder);
  });
}

redisTest("a master and its replica say what they are, and how far they are", async ({ path }) => {
  await using master = await Redis.make(path);
  await using replica = await Redis.replica(path, master);
  await using first = new AskedServer("redis", master.name);
  await using second = new AskedServer("redis", replica.name);
  assertEquals((await first.says("primary")).readOnly, false);
  await master.command("set", "a", "b");
  const { position } = await first.says("primary");
  const report = await second.until((report) => report.position! >= position!);
  assertEquals([report.role, report.readOnly], ["standby", true]);
  assertEquals(report.source, master.name);
  assert(report.lagSeconds! >= 0);

  // A frozen replica does not follow.
  await replica.freeze();
  await master.command("set", "a", "c");
  assert((await first.says("primary")).position! > report.position!);
  replica.thaw();
  const later = (await first.says("primary")).position!;
  await second.until((report) => report.position! >= later);

  await master.kill();
  const alone = await second.until(({ reason }) => reason !== undefined);
  assertEquals([alone.role, alone.reason], ["standby", "it has lost its master"]);
});

redisTest("the kept connection is one, and is named failover", async ({ path }) => {
  await using server = await Redis.make(path);
  await using asked = new AskedServer("redis", server.name);
  for (let n = 0; n < 5; n++) await asked.says("primary");
  const ours = async () =>
    (await server.command("client", "list")).split("\n").filter((line) =>
      line.includes("name=failover")
    );
  const [line, ...more] = await ours();
  assertEquals(more, []);
  // A doubt is answered on a new connection, which takes the place of the kept one.
  await asked.ask(true);
  let now: string[] = [];
  await untilTrue("another connection in the place of the kept one", async () => {
    now = await ours();
    return now.length === 1 && now[0]!.split(" ")[0] !== line!.split(" ")[0];
  }, () => now.join("\n"));
  assertEquals(asked.ends, []);
});

redisTest(
  "passwords: for all, for a user, wrong, none, and one that nobody needs",
  async ({ path }) => {
    await using server = await Redis.make(path, [
      ...["--requirepass", "secret"],
      ...["--user", ..."watcher on >pw ~* +ping +role +info +client|setname".split(" ")],
      ...["--user", ..."humble on >pw +ping".split(" ")],
    ]);
    await using open = await Redis.make(path);
    const ask = async (options: AskOptions, { name } = server) => {
      await using asked = new AskedServer("redis", name, options);
      const { role, phase, reason } = await asked.ask();
      assertEquals(phase, "running");
      return reason ?? role;
    };
    assertEquals(await ask({ password: "secret" }), "primary");
    assertEquals(await ask({ env: { REDISCLI_AUTH: "secret" } }), "primary");
    assertEquals(await ask({ user: "watcher", password: "pw" }), "primary");
    assertEquals(await ask({ password: "secret" }, open), "primary");
    assertMatch(await ask({ password: "wrong" }), /^WRONGPASS /);
    assertMatch(await ask({ user: "watcher", password: "secret" }), /^WRONGPASS /);
    assertMatch(await ask({}), /^NOAUTH /);
    assertMatch(await ask({ user: "humble", password: "pw" }), /^NOPERM .*role/);
  },
);

redisTest(
  "a wrong password is tried again after growing pauses, on one connection",
  async ({ path }) => {
    await using server = await Redis.make(path, ["--requirepass", "secret"]);
    const clock = new ManualClock();
    await using asked = new AskedServer("redis", server.name, { password: "wrong", clock });
    for (let second = 0; second < 100; second++) {
      await asked.says("unknown", /^WRONGPASS /);
      await clock.advance(1_000);
    }
    // After 0, 1, 3, 7, 15, 31 and 63 seconds.
    const stats = await server.command("--pass", "secret", "info", "everything");
    assertMatch(stats, /errorstat_WRONGPASS:count=7\b/);
    assertMatch(stats, /total_connections_received:2\b/);
  },
);

redisTest("a server in protected mode is alive, and says what is missing", async ({ path }) => {
  const own = ownAddress()!;
  await using server = await Redis.make(path, [
    "--bind",
    "127.0.0.1",
    own,
    "--protected-mode",
    "yes",
  ]);
  await using asked = new AskedServer("redis", `${own}:${server.port}`);
  await asked.says("unknown", /^DENIED Redis is running in protected mode/);
  await asked.says("unknown", /^DENIED Redis is running in protected mode/);
  assertEquals(asked.ends, []);
}, ownAddress() === undefined ? ["an address besides the loopback"] : []);

redisTest("a server that loads its data is starting", async ({ path }) => {
  await using server = await Redis.make(path, ["--enable-debug-command", "yes"]);
  // Slow to load: it waits so many microseconds before each key, which takes 50 seconds together. Every 50 keys it
  // looks who asks.
  await server.command("debug", "populate", "10000");
  await server.command("save");
  await server.kill();
  await using slow = await Redis.unready(path, [
    "--key-load-delay",
    "5000",
    "--loading-process-events-interval-bytes",
    "1024",
  ]);
  await using asked = new AskedServer("redis", slow.name);
  const report = await asked.until(({ phase }) => phase === "starting");
  assertMatch(report.reason!, /^LOADING /);
});

redisTest("a replica that lacks a first copy is not offered", async ({ path }) => {
  await using master = await Redis.make(path, ["--repl-diskless-sync-delay", "60"]);
  await using replica = await Redis.make(path, ["--replicaof", "127.0.0.1", String(master.port)]);
  await using asked = new AskedServer("redis", replica.name);
  const report = await asked.ask();
  assertEquals([report.role, report.phase], ["standby", "starting"]);
  assertEquals(report.reason, "it has no copy yet of what its master has");
});

redisTest(
  "a replica of a master to which nobody has written may take over from it",
  async ({ path }) => {
    await using master = await Redis.make(path);
    await using replica = await Redis.replica(path, master);
    await using asked = new AskedServer("redis", replica.name);
    await asked.says("standby");
    await master.kill();
    const { phase } = await asked.until(({ reason }) => reason !== undefined);
    assertEquals(phase, "running");
  },
);

redisTest("TLS, verified or not", async (folder) => {
  const { certPath, keyPath } = await writeCertificate(folder.path);
  await using server = await Redis.make(folder.path, [
    ...["--tls-cert-file", certPath, "--tls-key-file", keyPath, "--tls-ca-cert-file", certPath],
    ...["--tls-auth-clients", "no", "--tls-port", "0"],
  ]);
  const port = server.port + 1;
  await server.command("config", "set", "tls-port", String(port));
  const ask = async (options: AskOptions, name = `127.0.0.1:${port}`) => {
    await using asked = new AskedServer("redis", name, options);
    const { role, reason } = await asked.ask();
    return reason ?? role;
  };
  assertEquals(await ask({ tlsMode: "require" }), "primary");
  assertEquals(await ask({ tlsCa: certPath }), "primary");
  assertEquals(await ask({ tlsCa: certPath }, `localhost:${port}`), "primary");
  assertMatch(await ask({ tlsMode: "verify-full" }), /TLS handshake failed/);
});

redisTest(
  "the end of a server is noticed without a question: kill -9, and a connection that it ends",
  async ({ path }) => {
    await using server = await Redis.make(path);
    await using asked = new AskedServer("redis", server.name);
    await asked.says("primary");
    await server.kill();
    await asked.ended();
    assertEquals(await asked.fails(), "connectRefused");
    await server.start();
    await using other = new AskedServer("redis", server.name);
    await other.says("primary");
    await server.command("client", "kill", "type", "normal");
    await other.ended();
    await other.says("primary");
  },
);

redisTest("a question to a server that does not answer ends with its signal", async ({ path }) => {
  await using server = await Redis.make(path);
  await using asked = new AskedServer("redis", server.name);
  await asked.says("primary");
  await server.freeze();
  assertEquals(await asked.fails(AbortSignal.timeout(200)), "connectFailed");
  server.thaw();
  await asked.says("primary");
});

redisTest("a replica is promoted, and says so; one that forbids it refuses", async ({ path }) => {
  await using master = await Redis.make(path);
  await using replica = await Redis.replica(path, master, [
    ...["--user", ..."watcher on >pw +ping +role +info +client|setname".split(" ")],
  ]);
  const { signal } = new AbortController();
  await using humble = new AskedServer("redis", replica.name, { user: "watcher", password: "pw" });
  const refused = await assertRejects(() => humble.probe.promote!(signal), PromotionRefused);
  assertMatch(refused.message, /NOPERM/);
  await master.kill();
  await using asked = new AskedServer("redis", replica.name);
  await asked.probe.promote!(signal);
  await asked.says("primary");
  await asked.probe.promote!(signal);
  assertMatch(await replica.command("info", "replication"), /role:master/);
});
