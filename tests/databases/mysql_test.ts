/** The probe of MySQL and MariaDB, with real servers of MariaDB. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Clock, realClock } from "../../src/base/clock.ts";
import { writeCertificate } from "../../src/net/testing/certificate.ts";
import { AskedServer, type AskOptions } from "../harness/ask_server.ts";
import { Folder } from "../harness/folder.ts";
import { MariaDb, MARIADB_NEEDS } from "../harness/mariadb.ts";
import { ownAddress } from "../harness/own_address.ts";
import { testWithPrograms } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";

/** No deadline passes: on a busy machine the answer about replication may come later than a probe waits for it. */
const PATIENT: Clock = { ...realClock, after: () => () => {} };

/** The account of the documentation. */
const ACCOUNT: AskOptions = { user: "failover", password: "pw", clock: PATIENT };
const CREATE_ACCOUNT = "create user failover@'%' identified by 'pw'; " +
  "grant replica monitor on *.* to failover@'%'";

function mysqlTest(
  name: string,
  run: (folder: Folder) => Promise<void>,
  needs: string[] = [],
): void {
  testWithPrograms(name, [...MARIADB_NEEDS, ...needs], async () => {
    await using folder = await Folder.make();
    await Deno.chmod(folder.path, 0o777);
    await run(folder);
  });
}

async function withReplica(folder: Folder): Promise<{ source: MariaDb; replica: MariaDb }> {
  const source = await MariaDb.make(folder.at("one"));
  await source.sql(
    "create user repl@'%' identified by 'r'; grant replication slave on *.* to repl@'%'; " +
      CREATE_ACCOUNT,
  );
  const replica = await MariaDb.make(folder.at("two"), { settings: ["read_only=1"] });
  await replica.sql(
    `change master to master_host='127.0.0.1', master_port=${source.port}, master_user='repl', ` +
      "master_password='r', master_use_gtid=slave_pos; start slave",
  );
  // A log-in before it has the whole account would keep what that could do then.
  const [position] = await source.sql("select @@gtid_binlog_pos");
  assertEquals(await replica.sql(`select master_gtid_wait('${position}', 30)`), ["0"]);
  return { source, replica };
}

mysqlTest(
  "a primary and its replica say what they are, and how far the replica is behind",
  async (folder) => {
    const { source, replica } = await withReplica(folder);
    await using _source = source;
    await using _replica = replica;
    await using first = new AskedServer("mysql", source.name, ACCOUNT);
    await using second = new AskedServer("mysql", replica.name, ACCOUNT);
    assertEquals((await first.says("primary")).readOnly, false);
    const caughtUp = await second.until(({ lagSeconds, lagBytes }) =>
      lagSeconds === 0 && lagBytes === 0
    );
    assertEquals([caughtUp.role, caughtUp.readOnly], ["standby", true]);
    assertEquals(caughtUp.source, source.name);

    await replica.sql("stop slave sql_thread");
    await source.sql(
      "create database d; create table d.t (id int)",
    );
    const behind = await second.until(({ lagBytes }) => lagBytes !== undefined && lagBytes > 0);
    assertEquals(behind.lagSeconds, undefined);
    assertEquals(behind.reason, "replication does not run (I/O thread Yes, SQL thread No)");
    await replica.sql("start slave");
    await second.until(({ lagBytes, reason }) => lagBytes === 0 && reason === undefined);

    await replica.sql("set global read_only = 0");
    assertMatch(
      (await second.says("primary")).reason!,
      /^takes writes, and replicates from 127.0.0.1:/,
    );
  },
);

mysqlTest("an account that may not see replication still tells the role", async (folder) => {
  await using server = await MariaDb.make(folder.at("one"), { settings: ["read_only=1"] });
  await server.sql("create user humble@'%'");
  await using asked = new AskedServer("mysql", server.name, { user: "humble" });
  assertEquals(await asked.says("standby"), { role: "standby", phase: "running", readOnly: true });
});

mysqlTest("the kept connection is one, and its queries name failover", async (folder) => {
  await using server = await MariaDb.make(folder.at("one"));
  await server.sql(CREATE_ACCOUNT);
  await using asked = new AskedServer("mysql", server.name, ACCOUNT);
  for (let n = 0; n < 5; n++) await asked.says("primary");
  const list = "select id from information_schema.processlist where user = 'failover'";
  const [id, ...more] = await server.sql(list);
  assertEquals(more, []);
  const attribute = "select attr_value from performance_schema.session_connect_attrs where " +
    `attr_name = 'program_name' and processlist_id = ${id}`;
  assertEquals(await server.sql(attribute), ["failover"]);
  // A doubt is answered on a new connection, which takes the place of the kept one.
  await asked.ask(true);
  await asked.says("primary");
  const now = await server.sql(`${list} and id <> ${id}`);
  assertEquals(now.length, 1);
  assertEquals(asked.ends, []);
});

mysqlTest(
  "passwords: right, wrong, none, and a kind of log-in that is not supported",
  async (folder) => {
    await using server = await MariaDb.make(folder.at("one"));
    await server.sql(
      `${CREATE_ACCOUNT}; create user nothing@'%'; install soname 'auth_ed25519'; ` +
        "create user strange@'%' identified via ed25519 using password('x')",
    );
    const ask = async (options: AskOptions) => {
      await using asked = new AskedServer("mysql", server.name, options);
      const { role, phase, reason } = await asked.ask();
      assertEquals(phase, "running");
      return reason ?? role;
    };
    assertEquals(await ask(ACCOUNT), "primary");
    assertEquals(await ask({ user: "nothing" }), "primary");
    assertMatch(
      await ask({ user: "failover", password: "no" }),
      /^Access denied for user 'failover'/,
    );
    assertMatch(await ask({}), /^Access denied for user 'failover'/);
    assertMatch(
      await ask({ user: "strange", password: "x" }),
      /the log-in by client_ed25519 is not supported/,
    );
    await using bySocket = new AskedServer("mysql", `unix:${server.socket}`, { user: "root" });
    await bySocket.says("primary");
    // None of these refusals counts against this host.
    const errors =
      "select coalesce(sum(count_handshake_errors), 0) from performance_schema.host_cache";
    assertEquals(await server.sql(errors), ["0"]);
  },
);

mysqlTest("TLS: all modes", async (folder) => {
  const { certPath, keyPath } = await writeCertificate(folder.path);
  for (const path of [certPath, keyPath]) await Deno.chmod(path, 0o644);
  await using bare = await MariaDb.make(folder.at("bare"), { settings: ["skip-ssl"] });
  await using server = await MariaDb.make(folder.at("one"), {
    settings: [`ssl-cert=${certPath}`, `ssl-key=${keyPath}`],
  });
  await server.sql(`${CREATE_ACCOUNT}; create user secure@'%' identified by 'pw' require ssl`);
  await bare.sql(CREATE_ACCOUNT);
  const ask = async (options: AskOptions, name = server.name) => {
    await using asked = new AskedServer("mysql", name, { ...ACCOUNT, ...options });
    const { role, reason } = await asked.ask();
    return reason ?? role;
  };
  assertEquals(await ask({ user: "secure" }), "primary");
  assertMatch(await ask({ user: "secure", tlsMode: "disable" }), /Access denied/);
  assertEquals(await ask({ user: "secure", tlsMode: "require" }), "primary");
  assertEquals(await ask({ tlsMode: "verify-ca", tlsCa: certPath }), "primary");
  assertEquals(await ask({ tlsCa: certPath }), "primary");
  assertEquals(await ask({ tlsCa: certPath }, `localhost:${server.port}`), "primary");
  assertMatch(await ask({ tlsMode: "verify-full" }), /TLS handshake failed/);
  assertEquals(await ask({}, bare.name), "primary");
  assertEquals(
    await ask({ tlsMode: "require" }, bare.name),
    "the server has no TLS, which is required",
  );
});

/** The name that this machine has for the server. To the server the loopback is `localhost`, which it never blocks. */
const CHECKER = "checker.test";

/** What the test needs, or words for what is missing. */
const MAY_BE_BLOCKED = Deno.uid() === 0 && ownAddress() !== undefined
  ? ["unshare"]
  : ["root, and an address besides the loopback"];

/** Resolves when the server has seen so many connections of the name fail; each has a thread of its own. */
async function untilCounted(server: MariaDb, failed: number): Promise<void> {
  const count = "select sum_connect_errors + count_host_blocked_errors " +
    `from performance_schema.host_cache where host = '${CHECKER}'`;
  let counted = "";
  const counting = async () => {
    while (counted !== String(failed)) counted = (await server.sql(count))[0] ?? "";
  };
  await withTestDeadline("the server to count failed connections", counting(), () => counted);
}

mysqlTest(
  "2000 checks without an account, from a host with a name, do not block it",
  async (folder) => {
    const own = ownAddress()!;
    const hosts = await folder.write("hosts", `${own} ${CHECKER}\n`);
    await using server = await MariaDb.make(folder.at("one"), {
      hosts,
      settings: [`bind-address=${own}`, "max_connect_errors=10", "log_warnings=1"],
    });
    await server.sql("create user app@'%' identified by 'pw'");
    // As the checks of TCP mode do it, it takes ten connections.
    const failed = 40;
    for (let n = 0; n < failed; n++) {
      (await Deno.connect({ hostname: own, port: server.port })).close();
    }
    await untilCounted(server, failed);
    await using blocked = new AskedServer("mysql", `${own}:${server.port}`);
    assertEquals(await blocked.fails(), "denied");
    await server.sql("flush hosts");

    const before = server.log.length;
    await using asked = new AskedServer("mysql", `${own}:${server.port}`);
    for (let n = 0; n < 2_000; n++) {
      const { role, reason } = await asked.ask();
      assert(
        role === "unknown" && reason!.startsWith(`Access denied for user 'failover'@'${CHECKER}'`),
      );
    }
    const [row] = await server.sql(
      `select sum_connect_errors, count_host_blocked_errors from performance_schema.host_cache where host = '${CHECKER}'`,
    );
    assertEquals(row, "0\t0");
    await using app = new AskedServer("mysql", `${own}:${server.port}`, {
      user: "app",
      password: "pw",
    });
    await app.says("primary");
    assertEquals(server.log.slice(before), []);
  },
  MAY_BE_BLOCKED,
);

mysqlTest(
  "the end of a server is noticed without a question, and a restart is no failure",
  async (folder) => {
    await using server = await MariaDb.make(folder.at("one"));
    await server.sql(CREATE_ACCOUNT);
    await using asked = new AskedServer("mysql", server.name, ACCOUNT);
    await asked.says("primary");
    const [id] = await server.sql(
      "select id from information_schema.processlist where user = 'failover'",
    );
    await server.sql(`kill ${id}`);
    await asked.ended();
    await asked.says("primary");
    await server.kill();
    assertEquals(await asked.fails(), "connectRefused");
    await server.start();
    await asked.says("primary");
  },
);

mysqlTest("a question to a server that does not answer ends with its signal", async (folder) => {
  await using server = await MariaDb.make(folder.at("one"));
  await server.sql(CREATE_ACCOUNT);
  await using asked = new AskedServer("mysql", server.name, ACCOUNT);
  await asked.says("primary");
  await server.freeze();
  assertEquals(await asked.fails(AbortSignal.timeout(200)), "connectFailed");
  server.thaw();
  await asked.says("primary");
  assertEquals(asked.probe.promote, undefined);
});

mysqlTest(
  "a server without a connection to spare is alive, and tells its role on the kept one",
  async (folder) => {
    await using server = await MariaDb.make(folder.at("one"), { settings: ["max_connections=10"] });
    await server.sql(CREATE_ACCOUNT);
    const many = Array.from({ length: 10 }, () => new AskedServer("mysql", server.name, ACCOUNT));
    await using stack = new AsyncDisposableStack();
    // The session that made the account may still end, and has one of the connections until then.
    for (const each of many) await stack.use(each).until(({ role }) => role === "primary");
    await using late = new AskedServer("mysql", server.name, ACCOUNT);
    await late.says("unknown", /Too many connections/);
    assertEquals((await many[0]!.ask(true)).role, "primary");
  },
);
