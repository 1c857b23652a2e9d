/**
 * Three real proxies with three real etcd in front of PostgreSQL with a synchronous standby, and the two scripts of
 * the recipe. Each commit that was acknowledged to a client of any proxy must survive.
 */
import { assert, assertEquals } from "@std/assert";
import { ETCD, EtcdCluster } from "../harness/etcd.ts";
import { Folder } from "../harness/folder.ts";
import { Postgres, POSTGRES_BIN } from "../harness/postgres.ts";
import { PostgresWriter } from "../harness/postgres_writer.ts";
import { type Proxy, startProxy } from "../harness/proxy.ts";
import { copyScripts } from "../harness/readme.ts";
import { testWithPrograms } from "../harness/scenario.ts";

const NEEDS = [
  "psql",
  POSTGRES_BIN === undefined ? "postgresql" : `${POSTGRES_BIN}/postgres`,
  ...ETCD === undefined ? ["etcd"] : [],
];
/** Rows that each writer must get acknowledged before the next step. */
const ROWS = 20;

/** A pair of servers, three proxies, and a writer for each of them. */
async function scene(flags: Readonly<Record<string, string>> = {}) {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await Folder.make());
  await Deno.chmod(folder.path, 0o777);
  await copyScripts(folder.path, "postgres_check.sh", "postgres_promote.sh");
  const etcd = stack.use(await EtcdCluster.start(3));
  const primary = stack.use(await Postgres.primary(folder.at("primary")));
  const standby = stack.use(await Postgres.standby(folder.at("standby"), primary));
  const members = etcd.members.map(({ address }) => address).join(",");
  const proxies: Proxy[] = [];
  for (let number = 0; number < 3; number++) {
    proxies.push(stack.use(
      await startProxy({
        upstreams: [primary, standby],
        flags: {
          ...{ "check-interval": "500ms", "hold": "30s", "hold-while": "down" },
          "check-host": folder.at("postgres_check.sh"),
          "on-failover": folder.at("postgres_promote.sh"),
          ...{ "coordinator": `etcd://${members}/test`, "coordinator-lease": "5s" },
          ...flags,
        },
        env: { PGUSER: "postgres" },
      }),
    ));
  }
  for (const proxy of proxies) await proxy.event("upstream.up", { upstream: standby.name });
  await primary.sql("create table written (id text primary key)");
  const writers = proxies.map(({ address }, number) =>
    stack.use(new PostgresWriter(`w${number}`, address))
  );
  const owned = stack.move();
  return {
    ...{ primary, standby, proxies, writers },
    /** Ends the writing, and checks that `server` has all rows that were acknowledged. */
    async assertNothingLost(server: Postgres): Promise<void> {
      await Promise.all(writers.map((each) => each[Symbol.asyncDispose]()));
      const kept = new Set(await server.sql("select id from written"));
      const acknowledged = writers.flatMap((each) => each.acknowledged);
      assert(acknowledged.length >= ROWS * writers.length);
      assertEquals(acknowledged.filter((row) => !kept.has(row)), []);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

testWithPrograms(
  "no commit is lost when the primary and the proxy that leads are killed together",
  NEEDS,
  async () => {
    await using it = await scene();
    const { primary, standby, proxies, writers } = it;
    await Promise.all(writers.map((each) => each.further(ROWS)));
    const leads = proxies.findIndex((proxy) => proxy.events("lead.taken").length > 0);
    await primary.kill();
    proxies[leads]!.signal("SIGKILL");
    await proxies[leads]!.ended;
    const others = proxies.filter((_, number) => number !== leads);
    const promoted = others.map((proxy) =>
      Promise.any([
        proxy.event("promotion.finished", { to: standby.name }),
        proxy.event("decision.followed", { to: standby.name }),
      ])
    );
    await Promise.all(promoted);
    const left = writers.filter((_, number) => number !== leads);
    await Promise.all(left.map((each) => each.further(ROWS)));
    await it.assertNothingLost(standby);
  },
);

testWithPrograms(
  "a primary that freezes and resumes gets no client back through any proxy, and no commit is lost",
  NEEDS,
  async () => {
    // Each check of it takes as long as the script waits, so the first one must be enough.
    await using it = await scene({ "fail-threshold": "1" });
    const { primary, standby, proxies, writers } = it;
    await Promise.all(writers.map((each) => each.further(ROWS)));
    await primary.freeze();
    for (const proxy of proxies) {
      await Promise.any([
        proxy.event("promotion.finished", { to: standby.name }),
        proxy.event("decision.followed", { to: standby.name }),
      ]);
    }
    primary.thaw();
    for (const proxy of proxies) {
      await proxy.event("program.said", { upstream: primary.name, line: /stale primary/ });
    }
    await Promise.all(writers.map((each) => each.further(ROWS)));
    await it.assertNothingLost(standby);
  },
);
