/**
 * The recipe for PostgreSQL, followed literally: its commands are taken from the text and run unchanged, except for
 * the ports. And its scripts, for those who use them.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Child } from "../harness/child.ts";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { asPostgres, Postgres, POSTGRES_BIN } from "../harness/postgres.ts";
import { PostgresWriter, urlOf } from "../harness/postgres_writer.ts";
import { Proxy } from "../harness/proxy.ts";
import { commandsOf, copyScripts } from "../harness/readme.ts";
import { type Engine, scenario, testWithPrograms } from "../harness/scenario.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const NEEDS = [
  "bash",
  "psql",
  POSTGRES_BIN === undefined ? "postgresql" : `${POSTGRES_BIN}/postgres`,
];
/** Rows that must have been acknowledged before the test continues. */
const ROWS = 20;
/** Attempts to get a connection that others use for a moment only. */
const ATTEMPTS_MAX = 50;
const SCRIPTS = ["postgres_check.sh", "postgres_promote.sh"];

const HAS_IPV6 = Deno.networkInterfaces().some(({ address }) => address === "::1");

/** A reader of the recipe: an empty folder, a shell, and the commands in their order. */
class Reader implements AsyncDisposable {
  readonly #folder: Folder;
  readonly #where: string;
  readonly db1: string;
  readonly db2: string;
  readonly proxy: string;

  constructor(folder: Folder, where: string) {
    this.#folder = folder;
    [this.db1, this.db2, this.proxy] = ports();
    // The reader's own addresses, as the recipe says.
    const found = [...where.matchAll(/127\.0\.0\.1:\d+/g)].map(([address]) => address);
    assertEquals(found.length, 3, where);
    this.#where = [this.db1, this.db2, this.proxy].reduce(
      (text, address, index) => text.replace(found[index]!, address),
      where,
    );
  }

  /** Runs commands as somebody who isn't root; every one of them must succeed. Resolves with the output. */
  async type(commands: string): Promise<string[]> {
    const output: string[] = [];
    const take = (line: string) => output.push(line);
    const text = `set -euo pipefail\ncd '${this.#folder.path}'\n${this.#where}\n${commands}\n`;
    const [program, args] = asPostgres("/bin/bash", ["-c", text]);
    await using shell = new Child(program, {
      args,
      env: { HOME: this.#folder.path, PATH: `${POSTGRES_BIN}:${Deno.env.get("PATH")}` },
      onOut: take,
      onErr: take,
    });
    const { code } = await withTestDeadline(commands, shell.ended, () => output.join("\n"));
    assertEquals(code, 0, `${commands}\n${output.join("\n")}`);
    return output;
  }

  /** Starts the proxy by the command that the README has for it. */
  async startProxy(command: string, relay: Engine): Promise<Proxy> {
    const say = `failover() { printf '%s\\n' "$@"; }\n${command}\necho "$PGUSER"`;
    const said = await this.type(say);
    const user = said.pop();
    const args = said.map((arg) => arg.replace(/^\.\//, `${this.#folder.path}/`));
    assertEquals(args[args.indexOf("-b") + 1], this.proxy);
    return new Proxy(args, {
      PGUSER: user!,
      FAILOVER_RELAY: relay,
      FAILOVER_JSON_LOGS: "on",
      FAILOVER_LOG_LEVEL: "debug",
      FAILOVER_CHECK_INTERVAL: "200ms",
      FAILOVER_CHECK_TIMEOUT: "5s",
      FAILOVER_MAX_BACKOFF: "1s",
      FAILOVER_HOLD: "30s",
    }, this.proxy);
  }

  /** The rows of a server's table, through the proxy or directly. */
  async notes(address: string): Promise<string[]> {
    return await this.sql(address, "select note from notes order by 1");
  }

  async sql(address: string, statement: string): Promise<string[]> {
    return await this.type(`psql -qAt ${urlOf(address)} -c '${statement}'`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const stop = (data: string) =>
      `if [ -e ${data}/postmaster.pid ]; then pg_ctl -D ${data} stop -m immediate || true; fi`;
    await this.type([stop("db1"), stop("db2")].join("\n"));
  }
}

function ports(): [string, string, string] {
  return [unusedPort(), unusedPort(), unusedPort()].map((port) => `127.0.0.1:${port}`) as [
    string,
    string,
    string,
  ];
}

scenario(
  "the README's recipe works as it is written, from two empty folders to the second failover",
  async ({ relay }) => {
    await using folder = await Folder.make();
    await Deno.chmod(folder.path, 0o777);
    const [where, first, second, start, table, dies, rejoin, back, ...more] = commandsOf(
      "PostgreSQL: primary and standby",
    );
    assertEquals(more, []);
    await using reader = new Reader(folder, where!);
    const { db1, db2 } = reader;

    await reader.type(first!);
    await reader.type(second!);
    await using writer = new AsyncDisposableStack();
    let written: PostgresWriter;
    {
      await using proxy = await reader.startProxy(start!, relay);
      await proxy.event("promotion.finished", { to: db1 });
      await reader.type(table!);
      await reader.sql(reader.proxy, "create table written (id text primary key)");
      written = writer.use(new PostgresWriter("w", reader.proxy));
      await written.further(ROWS);

      // Written on a server that has no standby to wait for.
      await reader.type(dies!);
      await proxy.event("promotion.finished", { from: db1, to: db2 });
      await written.further(ROWS);
      assertEquals(await reader.notes(reader.proxy), ["after the first failover"]);
    }
    await staleAfterRestart(reader, { start: start!, first: first!, relay });

    {
      await using proxy = await reader.startProxy(start!, relay);
      await proxy.event("service.continued", { upstream: db2 });
      await reader.type(rejoin!);
      await proxy.event("upstream.up", { upstream: db1 });
      assertEquals(await reader.sql(db2, "show synchronous_standby_names"), ["*"]);
      await written.further(ROWS);
    }
    // The first in the list is a standby now, and must not take over from the one that serves.
    await using proxy = await reader.startProxy(start!, relay);
    await proxy.event("service.continued", { upstream: db2 });
    await proxy.event("upstream.up", { upstream: db1 });
    assertEquals(proxy.events("promotion.started"), []);
    await written.further(ROWS);

    await reader.type(back!);
    await proxy.event("promotion.finished", { from: db2, to: db1 });
    const all = [
      ...["after the first failover", "after the second failover"],
      ...["both servers have this", "both servers have this as well"],
    ];
    assertEquals(await reader.notes(reader.proxy), all);
    // The second server is a standby again, and has been sent everything.
    assertEquals(await reader.notes(db2), all);
    await written.further(ROWS);
    await writer.disposeAsync();
    const kept = new Set(await reader.sql(reader.proxy, "select id from written"));
    assert(written.acknowledged.length >= 5 * ROWS);
    assertEquals(written.acknowledged.filter((row) => !kept.has(row)), []);
    assertEquals(proxy.events("server.promotionFailed"), []);
  },
  NEEDS,
);

/** The old primary returns, and the proxy is started again: no client is sent there. */
async function staleAfterRestart(
  reader: Reader,
  { start, first, relay }: { start: string; first: string; relay: Engine },
): Promise<void> {
  const { db1, db2 } = reader;
  const startFirst = /^pg_ctl -D db1 .* start$/m.exec(first)![0];
  await reader.type(startFirst);
  {
    await using proxy = await reader.startProxy(start, relay);
    await proxy.event("upstream.barred", { upstream: db1, kind: "stale" });
    await proxy.event("service.continued", { upstream: db2 });
    assertEquals(proxy.events("promotion.started"), []);
    assertEquals(await reader.notes(reader.proxy), ["after the first failover"]);
  }
  await reader.type("pg_ctl -D db1 stop -m fast");
}

/** Runs a script of the README for one upstream, as the proxy does. */
async function runScript(
  folder: Folder,
  script: string,
  upstream: string,
  env: Readonly<Record<string, string>>,
): Promise<{ code: number; text: string }> {
  const output: string[] = [];
  await using child = new Child(folder.at(script), {
    args: [upstream],
    env: {
      FAILOVER_SERVICE: "tcp",
      FAILOVER_ACTIVE: "",
      FAILOVER_PHASE: "serving",
      PGUSER: "postgres",
      ...env,
    },
    onErr: (line) => output.push(line),
  });
  const { code } = await withTestDeadline(script, child.ended);
  return { code, text: output.join("\n") };
}

testWithPrograms(
  "the recipe's scripts accept a server by name, by an IPv6 address and by its socket",
  NEEDS,
  async () => {
    await using folder = await Folder.make();
    await Deno.chmod(folder.path, 0o777);
    await copyScripts(folder.path, ...SCRIPTS);
    const places = ["listen_addresses=127.0.0.1,::1", `unix_socket_directories=${folder.path}`];
    await using server = await Postgres.alone(folder.at("data"), places);
    const { port } = server;
    const names = [
      `localhost:${port}`,
      `127.0.0.1:${port}`,
      ...HAS_IPV6 ? [`[::1]:${port}`] : [],
      `unix:${folder.at(`.s.PGSQL.${port}`)}`,
    ];
    for (const name of names) {
      const chosen = { FAILOVER_ACTIVE: name };
      const checked = await runScript(folder, "postgres_check.sh", name, chosen);
      assertEquals(checked, { code: 0, text: "" });
      const promoted = await runScript(folder, "postgres_promote.sh", name, {});
      assertEquals(promoted, { code: 0, text: "" });
      const rehearsed = await runScript(folder, "postgres_promote.sh", name, {
        FAILOVER_EVENT: "drill",
      });
      assertEquals(rehearsed, { code: 0, text: "" });
      const stale = await runScript(folder, "postgres_check.sh", name, { FAILOVER_ACTIVE: "b:1" });
      assertEquals(stale.code, 1);
      assertMatch(stale.text, /stale primary/);
    }
    // At the first start the server that accepts writes is the right one.
    assertEquals((await runScript(folder, "postgres_check.sh", names[0]!, {})).code, 0);
  },
);

scenario(
  "a primary without free connections stays active, and a standby without free connections is not chosen",
  async ({ relay }) => {
    await using folder = await Folder.make();
    await Deno.chmod(folder.path, 0o777);
    await copyScripts(folder.path, ...SCRIPTS);
    await folder.script(
      "check.sh",
      `echo "$1" >> checks; exec ./postgres_check.sh "$1"`,
    );
    const few = ["max_connections=5", "superuser_reserved_connections=1", "max_wal_senders=1"];
    await using full = await Postgres.alone(folder.at("full"), few);
    await using other = await Postgres.alone(folder.at("other"), few);
    const env = { PGUSER: "postgres", FAILOVER_RELAY: relay };
    const bind = `127.0.0.1:${unusedPort()}`;
    await using proxy = new Proxy(
      [
        ...["-b", bind, "-H", `${full.name},${other.name}`, "-c", folder.at("check.sh")],
        ...["-f", folder.at("postgres_promote.sh"), "--json-logs", "--log-level=debug"],
        ...["--check-interval=100ms", "--check-timeout=5s"],
      ],
      env,
      bind,
    );
    await proxy.event("promotion.finished", { to: full.name });

    await using clients = new AsyncDisposableStack();
    for (let i = 0; i < 5; i++) clients.use(await takeConnection(full.name));
    // Only checks that began after it was full count.
    await Deno.writeTextFile(folder.at("checks"), "");
    const isFull = (line: string) => line === full.name;
    await folder.reads("checks", (text) => text.split("\n").filter(isFull).length >= 10);

    assertEquals(proxy.events("upstream.down", { upstream: full.name }), []);
    assertEquals(proxy.events("promotion.finished").length, 1);
    const asOther = { FAILOVER_ACTIVE: other.name };
    const checked = await runScript(folder, "postgres_check.sh", full.name, asOther);
    assertEquals(checked.code, 1);
    assertMatch(checked.text, /too many clients/);
  },
  NEEDS,
);

/**
 * A client that stays connected and uses one of the server's few connections. A running check may
 * have the last one, so it tries again.
 */
async function takeConnection(address: string): Promise<Child> {
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const ready = Promise.withResolvers<void>();
    const psql = new Child("psql", {
      args: [
        "-qAtX",
        urlOf(address),
        "-c",
        "do $$ begin raise info 'in'; perform pg_sleep(60); end $$",
      ],
      onErr: (line) => line.endsWith("in") && ready.resolve(),
    });
    await withTestDeadline("a connection", Promise.race([ready.promise, psql.ended]));
    if (!psql.hasEnded) return psql;
  }
  throw new Error("no connection was left");
}
