/** The probe of PostgreSQL, with real servers. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ManualClock } from "../../src/base/clock.ts";
import { PromotionRefused } from "../../src/health/server_probe.ts";
import { writeCertificate } from "../../src/net/testing/certificate.ts";
import { AskedServer, type AskOptions } from "../harness/ask_server.ts";
import { Folder } from "../harness/folder.ts";
import { Postgres, POSTGRES_BIN } from "../harness/postgres.ts";
import { testWithPrograms } from "../harness/scenario.ts";

const NEEDS = ["psql", POSTGRES_BIN === undefined ? "postgresql" : `${POSTGRES_BIN}/postgres`];
const SUPERUSER: AskOptions = { user: "postgres" };

function postgresTest(name: string, run: (folder: Folder) => Promise<void>): void {
  testWithPrograms(name, NEEDS, async () => {
    await using folder = await Folder.make();
    await Deno.chmod(folder.path, 0o777);
    await run(folder);
  });
}

/** Lines of the log that are about what went wrong, or about connections. */
function noise({ log }: Postgres): string[] {
  return log.filter((line) =>
    /FATAL|ERROR|could not accept|could not receive|unexpected EOF/.test(line)
  );
}

/** A server that asks `app` for a password by SCRAM, `old` by MD5, and lets the superuser in. */
async function withPasswords(folder: Folder, settings: readonly string[] = []): Promise<Postgres> {
  const rules = await folder.write(
    "hba",
    [
      "host all app 127.0.0.1/32 scram-sha-256",
      "host all old 127.0.0.1/32 md5",
      "hostssl all secure 127.0.0.1/32 scram-sha-256",
      "host all,replication postgres 127.0.0.1/32 trust",
    ].join("\n"),
  );
  await Deno.chmod(rules, 0o644);
  const server = await Postgres.alone(folder.at("data"), [`hba_file=${rules}`, ...settings]);
  await server.sql(
    "create role app login password 'pä55'; create role secure login password 'pw'; " +
      "set password_encryption = 'md5'; create role old login password 'old'",
  );
  return server;
}

postgresTest(
  "a primary and its standby say what they are, and how far they are",
  async (folder) => {
    await using primary = await Postgres.alone(folder.at("one"));
    await using standby = await Postgres.standby(folder.at("two"), primary);
    await using first = new AskedServer("postgres", primary.name, SUPERUSER);
    await using second = new AskedServer("postgres", standby.name, SUPERUSER);
    assertEquals((await first.says("primary")).readOnly, false);
    await primary.sql("create table t as select generate_series(1, 1000)");
    const { position } = await first.says("primary");
    // What the primary writes by itself may be on its way just now.
    const report = await second.until((report) =>
      report.position! >= position! && report.lagBytes === 0
    );
    assertEquals([report.role, report.readOnly], ["standby", true]);
    assertEquals(report.source, primary.name);
    await second.until(({ lagSeconds }) => lagSeconds === 0);
  },
);

postgresTest("a standby that pauses its replay says how old it is", async (folder) => {
  await using primary = await Postgres.alone(folder.at("one"));
  await using standby = await Postgres.standby(folder.at("two"), primary);
  await using asked = new AskedServer("postgres", standby.name, SUPERUSER);
  await asked.until(({ lagSeconds }) => lagSeconds === 0);
  await standby.sql("select pg_wal_replay_pause()");
  await primary.sql("create table t as select generate_series(1, 1000)");
  const paused = await asked.until(({ lagSeconds }) => lagSeconds !== 0);
  assert(paused.lagSeconds === undefined || paused.lagSeconds > 0);
  await standby.sql("select pg_wal_replay_resume()");
  await asked.until(({ lagSeconds }) => lagSeconds === 0);
});

postgresTest("a primary that must not write says so", async (folder) => {
  await using server = await Postgres.alone(folder.at("one"));
  await using asked = new AskedServer("postgres", server.name, SUPERUSER);
  assertEquals((await asked.says("primary")).readOnly, false);
  await server.sql("alter system set default_transaction_read_only = on");
  await server.sql("select pg_reload_conf()");
  await asked.until(({ readOnly }) => readOnly === true);
});

postgresTest("the kept connection is one, and is named failover", async (folder) => {
  await using server = await Postgres.alone(folder.at("one"));
  await using asked = new AskedServer("postgres", server.name, SUPERUSER);
  for (let n = 0; n < 5; n++) await asked.says("primary");
  const list =
    "select pid, application_name from pg_stat_activity where application_name <> 'psql' " +
    "and backend_type = 'client backend'";
  const [line, ...more] = await server.sql(list);
  assertEquals([line?.split("|")[1], more], ["failover", []]);
  // A doubt is answered on a new connection, which takes the place of the kept one.
  await asked.ask(true);
  const [pid] = line!.split("|");
  const others = await server.sql(`${list} and pid <> ${pid}`);
  assertEquals(others.length, 1);
  assertEquals(asked.ends, []);
});

postgresTest("passwords: SCRAM, MD5, a password file, none, and a wrong one", async (folder) => {
  await using server = await withPasswords(folder);
  const ask = async (options: AskOptions) => {
    await using asked = new AskedServer("postgres", server.name, options);
    const { role, phase, reason } = await asked.ask();
    assertEquals(phase, "running");
    return reason ?? role;
  };
  assertEquals(await ask({ user: "app", password: "pä55" }), "primary");
  assertEquals(await ask({ env: { PGUSER: "app", PGPASSWORD: "pä55" } }), "primary");
  assertEquals(await ask({ env: { PGUSER: "old", PGPASSWORD: "old" } }), "primary");
  const [host, port] = server.name.split(":");
  const file = await folder.write("pgpass", `other:*:*:app:no\n${host}:${port}:*:app:pä55\n`);
  await Deno.chmod(file, 0o600);
  const env = { PGUSER: "app", PGPASSFILE: file };
  assertEquals(await ask({ env }), "primary");
  assertEquals(
    await ask({ user: "app", password: "wrong", env }),
    'password authentication failed for user "app"',
  );
  await Deno.chmod(file, 0o644);
  assertMatch(await ask({ env }), /ignored, because others than its owner may use it/);
  assertMatch(await ask({ user: "app" }), /wants a password for user app, and there is none/);
  assertMatch(await ask({ user: "nobody" }), /no pg_hba.conf entry/);
  assertMatch(
    await ask({ user: "postgres", env: { PGDATABASE: "gone" } }),
    /"gone" does not exist/,
  );
});

postgresTest(
  "a wrong password is tried again after growing pauses, and the log has a line for each try only",
  async (folder) => {
    await using server = await withPasswords(folder);
    const clock = new ManualClock();
    await using asked = new AskedServer("postgres", server.name, {
      ...{ user: "app", password: "wrong", clock },
    });
    for (let second = 0; second < 100; second++) {
      await asked.says("unknown", /password authentication failed/);
      await clock.advance(1_000);
    }
    // After 0, 1, 3, 7, 15, 31 and 63 seconds.
    await server.flushed();
    assertEquals(noise(server).filter((line) => line.includes("FATAL")).length, 7);
  },
);

postgresTest("without a user the end of the server is noticed when it ends", async (folder) => {
  await using server = await Postgres.alone(folder.at("one"));
  const before = server.log.length;
  await using asked = new AskedServer("postgres", server.name);
  await asked.says("unknown", /no user/);
  await asked.says("unknown", /no user/);
  assertEquals(server.log.slice(before), []);
  await server.kill();
  await asked.ended();
  assertEquals(await asked.fails(), "connectRefused");
});

postgresTest(
  "without a user a server that ends silent connections is not asked for that",
  async (folder) => {
    // Longer than a question takes on a busy machine.
    await using server = await Postgres.alone(folder.at("one"), ["authentication_timeout=5s"]);
    await using asked = new AskedServer("postgres", server.name);
    await asked.says("unknown", /no user/);
    await asked.ended();
    for (let n = 0; n < 3; n++) await asked.says("unknown", /no user/);
    assertEquals(asked.ends.length, 1);
    assertEquals(server.log.filter((line) => /FATAL|ERROR/.test(line)), []);
  },
);

postgresTest("without a user the server is alive, and its log says nothing", async (folder) => {
  await using server = await Postgres.alone(folder.at("one"));
  await server.flushed();
  const before = noise(server);
  await using asked = new AskedServer("postgres", server.name);
  for (let n = 0; n < 20; n++) await asked.says("unknown", /no user to log in with/);
  await server.flushed();
  assertEquals(noise(server), before);
  await server.freeze();
  assertEquals(await asked.fails(AbortSignal.timeout(500)), "connectFailed");
});

postgresTest(
  "TLS: all modes, and a server whose log says nothing of checks without a user",
  async (folder) => {
    const { certPath, keyPath } = await writeCertificate(folder.path);
    // An autovacuum worker that a stop ends says so in the log.
    await using server = await withPasswords(folder, ["autovacuum=off"]);
    await Deno.copyFile(certPath, folder.at("data/server.crt"));
    await Deno.copyFile(keyPath, folder.at("data/server.key"));
    await server.own("server.crt", "server.key");
    const ask = async (
      mode: string | undefined,
      more: Record<string, string> = {},
      name = server.name,
    ) => {
      const env = {
        PGUSER: "app",
        PGPASSWORD: "pä55",
        ...mode === undefined ? {} : { PGSSLMODE: mode },
      };
      await using asked = new AskedServer("postgres", name, { env: { ...env, ...more } });
      const { role, reason } = await asked.ask();
      return reason ?? role;
    };
    assertMatch(await ask("require"), /the server has no TLS, which PGSSLMODE=require asks for/);
    assertEquals(await ask("prefer"), "primary");
    await server.sql("alter system set ssl = on");
    await server.sql("select pg_reload_conf()");
    const secured = new AskedServer("postgres", server.name, {
      env: { PGUSER: "secure", PGPASSWORD: "pw" },
    });
    await using _secured = secured;
    await secured.until(({ role }) => role === "primary");
    const ca = { PGSSLROOTCERT: certPath };
    const byName = `localhost:${server.port}`;
    assertEquals(await ask("disable"), "primary");
    assertEquals(await ask("require"), "primary");
    assertEquals(await ask("verify-ca", ca), "primary");
    assertEquals(await ask("verify-full", ca), "primary");
    assertEquals(await ask("verify-full", ca, byName), "primary");
    assertMatch(await ask("verify-full"), /TLS handshake failed/);
    assertMatch(
      await ask("verify-ca", { PGSSLROOTCERT: "/nowhere" }),
      /certificates \/nowhere do not exist/,
    );
    // With `allow`, TLS is used only if the rules ask for it.
    assertEquals(await ask("allow", { PGUSER: "secure", PGPASSWORD: "pw" }), "primary");
    assertMatch(
      await ask("disable", { PGUSER: "secure", PGPASSWORD: "pw" }),
      /no pg_hba.conf entry/,
    );

    await secured.probe.close();
    // Each session logs its end when it gets its turn: after a restart the log has all that they say.
    await server.stop();
    const before = noise(server);
    await server.start();
    await using asked = new AskedServer("postgres", server.name);
    for (let n = 0; n < 20; n++) await asked.says("unknown", /no user to log in with/);
    await asked.probe.close();
    await server.stop();
    assertEquals(noise(server), before);
  },
);

postgresTest("a server that shuts down is alive, and says so", async (folder) => {
  await using server = await Postgres.alone(folder.at("one"));
  await using asked = new AskedServer("postgres", server.name, SUPERUSER);
  await using other = new AskedServer("postgres", server.name, SUPERUSER);
  await asked.says("primary");
  // A smart shutdown waits for that session, and takes no other.
  server.signal("SIGTERM");
  assertEquals((await other.until(({ phase }) => phase !== "running")).phase, "shutting down");
  assertEquals((await asked.ask()).role, "primary");
  assertEquals((await asked.ask(true)).phase, "shutting down");
});

postgresTest("a server that starts is alive, and says so", async (folder) => {
  await using primary = await Postgres.alone(folder.at("one"));
  await using standby = await Postgres.standby(folder.at("two"), primary);
  await standby.kill();
  // Without hot_standby it takes part in the protocol, and takes no sessions.
  await using cold = await Postgres.onData(folder.at("two"), ["hot_standby=off"]);
  await using asked = new AskedServer("postgres", cold.name, SUPERUSER);
  const report = await asked.until(({ phase }) => phase === "starting");
  assertMatch(report.reason!, /the database system is/);
});

postgresTest("a kept connection that an administrator ended is no failure", async (folder) => {
  await using server = await Postgres.alone(folder.at("one"));
  await using asked = new AskedServer("postgres", server.name, SUPERUSER);
  await asked.says("primary");
  await server.sql(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'failover'",
  );
  assertEquals(await asked.ended(), "terminating connection due to administrator command");
  await asked.says("primary");
});

postgresTest(
  "the end of a server is noticed without a question: kill -9 and an orderly end",
  async (folder) => {
    await using server = await Postgres.alone(folder.at("one"));
    await using killed = new AskedServer("postgres", server.name, SUPERUSER);
    await killed.says("primary");
    await server.kill();
    await killed.ended();
    assertEquals(await killed.fails(), "connectRefused");
    await server.start();
    await using stopped = new AskedServer("postgres", server.name, SUPERUSER);
    await stopped.says("primary");
    await server.stop();
    assertEquals(await stopped.ended(), "terminating connection due to administrator command");
    assertEquals(await stopped.fails(), "connectRefused");
  },
);

postgresTest(
  "a question to a server that does not answer ends with its signal, and the next one is new",
  async (folder) => {
    await using server = await Postgres.alone(folder.at("one"));
    await using asked = new AskedServer("postgres", server.name, SUPERUSER);
    await asked.says("primary");
    await server.freeze();
    assertEquals(await asked.fails(AbortSignal.timeout(200)), "connectFailed");
    server.thaw();
    await asked.says("primary");
    assertEquals(asked.ends, []);
  },
);

postgresTest(
  "a server without a connection to spare still tells its role on the kept one",
  async (folder) => {
    const few = ["max_connections=4", "superuser_reserved_connections=1", "max_wal_senders=0"];
    await using server = await Postgres.alone(folder.at("one"), few);
    await server.sql("create role app login");
    const open = () => new AskedServer("postgres", server.name, { user: "app" });
    // The session that made the role may still end, and has one of the connections until then.
    const letIn = (asked: AskedServer) => asked.until(({ role }) => role === "primary");
    await using asked = open();
    await letIn(asked);
    await using second = open();
    await letIn(second);
    await using third = open();
    await letIn(third);
    await using late = open();
    await late.says("unknown", /remaining connection slots|too many/);
    assertEquals((await asked.ask(true)).role, "primary");
  },
);

postgresTest(
  "a standby is promoted, and says so; one without the right to do it refuses",
  async (folder) => {
    await using primary = await Postgres.alone(folder.at("one"));
    await primary.sql("create role app login");
    await using standby = await Postgres.standby(folder.at("two"), primary);
    const { signal } = new AbortController();
    await using humble = new AskedServer("postgres", standby.name, { user: "app" });
    const refused = await assertRejects(() => humble.probe.promote!(signal), PromotionRefused);
    assertMatch(refused.message, /permission denied for function pg_promote/);
    await humble.says("standby");

    await primary.kill();
    await using asked = new AskedServer("postgres", standby.name, SUPERUSER);
    await asked.says("standby");
    await Promise.all([asked.probe.promote!(signal), asked.ask(), asked.ask()]);
    await asked.says("primary");
    await asked.probe.promote!(signal);
    assertEquals((await standby.sql("select pg_is_in_recovery()"))[0], "f");

    await using gone = new AskedServer("postgres", primary.name, SUPERUSER);
    await assertRejects(() => gone.probe.promote!(signal), PromotionRefused, "connection refused");
  },
);
