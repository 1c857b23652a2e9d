/** Clients that come and go, and databases at work, while new processes take over from the running one. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Arrivals, PATIENT } from "../harness/arrivals.ts";
import { Child } from "../harness/child.ts";
import { Folder } from "../harness/folder.ts";
import { Postgres, POSTGRES_BIN } from "../harness/postgres.ts";
import { type Flags, startProxy } from "../harness/proxy.ts";
import { ENGINES, testWithPrograms } from "../harness/scenario.ts";
import { askSteadily, SteadyCount } from "../harness/steady_clients.ts";
import { untilTrue, withTestDeadline } from "../harness/test_deadline.ts";
import { startUpstream } from "../harness/upstream.ts";
import { Upgradable } from "../harness/upgradable.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

/** Enough to see a client that is lost in the accept queue, and few enough for a busy machine. */
const PER_SECOND = 150;
const UPGRADES = 3;
const BETWEEN = 60;

/** A scenario of Linux, once for each engine. */
function loadScenario(
  name: string,
  run: (relay: Flags) => Promise<void>,
  needs: readonly string[] = [],
): void {
  if (Deno.build.os !== "linux") return;
  for (const relay of ENGINES) testWithPrograms(`[${relay}] ${name}`, needs, () => run({ relay }));
}

/** Upgrades; a failure shows why not. */
async function done(it: Upgradable): Promise<void> {
  const { status, lines } = await it.upgrade();
  assertEquals([status, lines], [200, []]);
}

loadScenario("no new client is refused, reset or lost while processes take over", async (relay) => {
  await using upstream = await startUpstream({ says: "here" });
  await using it = await Upgradable.start((flags) =>
    startProxy({ upstreams: [upstream], flags: { ...PATIENT, ...flags, ...relay } })
  );
  await using clients = new Arrivals(it.proxy.address, PER_SECOND, "here");
  for (let upgrades = 0; upgrades < UPGRADES; upgrades++) {
    await withTestDeadline("clients to be served", clients.further(BETWEEN), it.proxy.lastLines);
    await done(it);
  }
  await withTestDeadline("clients to be served", clients.further(BETWEEN), it.proxy.lastLines);
  assertEquals(clients.failed, []);
  assertEquals(new Set(it.pids).size, UPGRADES + 1);
});

for (const fresh of [true, false]) {
  const kind = fresh ? "a connection each" : "kept connections";
  loadScenario(`no request with ${kind} is lost while processes take over`, async (relay) => {
    await using upstream = await WebUpstream.start("here");
    await using it = await Upgradable.start((flags) =>
      startWebProxy({ primary: upstream, flags: { ...PATIENT, ...flags, ...relay } })
    );
    const count = new SteadyCount();
    const asking = askSteadily(it.proxy.address, 8, { fresh, pauseMs: 20 }, count);
    for (let upgrades = 0; upgrades < UPGRADES; upgrades++) {
      const more = count.reaches(count.answered + BETWEEN);
      await withTestDeadline("answers", more, it.proxy.lastLines);
      await done(it);
    }
    const last = count.reaches(count.answered + BETWEEN);
    await withTestDeadline("answers", last, it.proxy.lastLines);
    assertEquals(count.lost, []);
    // They end when the last process refuses them; what is lost then is another test.
    Deno.kill(it.pid, "SIGTERM");
    await withTestDeadline("the clients to end", asking, it.proxy.lastLines);
  });
}

const PGBENCH = POSTGRES_BIN === undefined ? "pgbench" : `${POSTGRES_BIN}/pgbench`;
const NEEDS = [POSTGRES_BIN === undefined ? "postgresql" : `${POSTGRES_BIN}/postgres`, PGBENCH];

/** Runs pgbench to its end; resolves with its report. */
async function pgbench(address: string, args: readonly string[]): Promise<string> {
  const [host, port] = address.split(":") as [string, string];
  const lines: string[] = [];
  const take = (line: string) => void lines.push(line);
  await using child = new Child(PGBENCH, {
    args: ["-h", host, "-p", port, "-U", "postgres", "-n", ...args, "postgres"],
    onOut: take,
    onErr: take,
  });
  const { code } = await child.ended;
  assertEquals(code, 0, lines.join("\n"));
  return lines.join("\n");
}

/** PostgreSQL with the tables of pgbench behind a proxy. */
async function database(relay: Flags) {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await Folder.make());
  await Deno.chmod(folder.path, 0o777);
  const server = stack.use(await Postgres.alone(folder.at("data")));
  const it = stack.use(
    await Upgradable.start((flags) =>
      startProxy({ upstreams: [server], flags: { ...PATIENT, ...flags, ...relay } })
    ),
  );
  await pgbench(it.proxy.address, ["-i", "-q"]);
  const owned = stack.move();
  return { it, server, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Runs upgrades one after another until pgbench has ended; there must be some. */
async function upgradeDuring(it: Upgradable, bench: Promise<string>): Promise<string> {
  let isOver = false;
  void bench.finally(() => isOver = true).catch(() => {});
  let upgrades = 0;
  while (!isOver && upgrades < UPGRADES) {
    await done(it);
    upgrades++;
  }
  const report = await withTestDeadline("pgbench to end", bench, it.proxy.lastLines);
  assert(upgrades > 0);
  return report;
}

testWithPrograms(
  "[splice] the sessions of pgbench go on in each new process, without an error",
  NEEDS,
  async () => {
    await using db = await database({ relay: "splice" });
    const { it, server } = db;
    const bench = pgbench(it.proxy.address, ["-c", "4", "-T", "12"]);
    const query = "select count(*) from pg_stat_activity where application_name = 'pgbench'";
    const isAtWork = async () => Number(await server.sql(query)) >= 4;
    await untilTrue("the sessions of pgbench", isAtWork, it.proxy.lastLines);
    const report = await upgradeDuring(it, bench);
    assertMatch(report, /number of failed transactions: 0 /);
    const passed = it.proxy.events("upgrade.finished").map(({ connections }) => connections);
    assert(passed.some((connections) => connections >= 4), `${passed}`);
  },
);

loadScenario(
  "no transaction of pgbench with a connection each fails",
  async (relay) => {
    await using db = await database(relay);
    const { it } = db;
    const bench = pgbench(it.proxy.address, ["-c", "4", "-T", "5", "-C", "-S"]);
    const report = await upgradeDuring(it, bench);
    assertMatch(report, /number of failed transactions: 0 /);
  },
  NEEDS,
);
