/**
 * `--check postgres --promote` together with a cluster: the proxy that leads promotes, once, and the others follow what
 * the servers and the decision say. Three real proxies, real etcd and a real pair of PostgreSQL.
 */
import { assert, assertEquals } from "@std/assert";
import { ETCD, EtcdCluster } from "../harness/etcd.ts";
import { Folder } from "../harness/folder.ts";
import { Postgres, POSTGRES_BIN } from "../harness/postgres.ts";
import { PostgresWriter } from "../harness/postgres_writer.ts";
import { type Proxy, startProxy } from "../harness/proxy.ts";
import { testWithPrograms } from "../harness/scenario.ts";

const NEEDS = [
  "psql",
  POSTGRES_BIN === undefined ? "postgresql" : `${POSTGRES_BIN}/postgres`,
  ...ETCD === undefined ? ["etcd"] : [],
];
/** Rows that each writer must get acknowledged before the next step. */
const ROWS = 20;

testWithPrograms(
  "with several proxies one of them promotes the standby, no commit is lost, and the old primary is refused by all",
  NEEDS,
  async () => {
    await using stack = new AsyncDisposableStack();
    const folder = stack.use(await Folder.make());
    await Deno.chmod(folder.path, 0o777);
    const etcd = stack.use(await EtcdCluster.start(1));
    const primary = stack.use(await Postgres.primary(folder.at("primary")));
    const standby = stack.use(await Postgres.standby(folder.at("standby"), primary));
    // Once it is promoted, its commits have no standby to wait for.
    await standby.sql("alter system set synchronous_standby_names = ''");
    await standby.sql("select pg_reload_conf()");
    await primary.sql("create table written (id text primary key)");
    const proxies: Proxy[] = [];
    for (let number = 0; number < 3; number++) {
      proxies.push(stack.use(
        await startProxy({
          upstreams: [primary, standby],
          flags: {
            ...{ "check": "postgres", "promote": "on", "hold": "30s", "hold-while": "down" },
            "coordinator": `etcd://${etcd.members[0]!.address}/test`,
            "coordinator-lease": "5s",
          },
          env: { PGUSER: "postgres" },
        }),
      ));
    }
    for (const proxy of proxies) await proxy.event("upstream.up", { upstream: standby.name });
    const writers = proxies.map(({ address }, number) =>
      stack.use(new PostgresWriter(`w${number}`, address))
    );
    await Promise.all(writers.map((each) => each.further(ROWS)));
    await primary.kill();
    await Promise.all(proxies.map((proxy) =>
      Promise.any([
        proxy.event("promotion.finished", { to: standby.name }),
        proxy.event("decision.followed", { to: standby.name }),
      ])
    ));
    await Promise.all(writers.map((each) => each.further(ROWS)));
    const promoted = proxies.flatMap((proxy) => proxy.events("server.promoted"));
    assertEquals(promoted.map(({ upstream }) => upstream), [standby.name]);
    await primary.start();
    for (const proxy of proxies) {
      await proxy.event("upstream.barred", { upstream: primary.name, kind: "stale" });
    }
    await Promise.all(writers.map((each) => each.further(ROWS)));
    await Promise.all(writers.map((each) => each[Symbol.asyncDispose]()));
    const kept = new Set(await standby.sql("select id from written"));
    const acknowledged = writers.flatMap((each) => each.acknowledged);
    assert(acknowledged.length >= 3 * ROWS * writers.length);
    assertEquals(acknowledged.filter((row) => !kept.has(row)), []);
  },
);
