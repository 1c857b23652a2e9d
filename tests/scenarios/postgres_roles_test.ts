/**
 * PostgreSQL with a primary and a synchronous standby, and `failover` in front with `--check postgres --promote` and no
 * script: it finds the primary, notices its death at once, promotes the standby, and refuses the old primary.
 */
import { assert, assertEquals } from "@std/assert";
import { Child } from "../harness/child.ts";
import { Folder } from "../harness/folder.ts";
import { Postgres, POSTGRES_BIN } from "../harness/postgres.ts";
import { query } from "../harness/postgres_writer.ts";
import { type Proxy, startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";

const SERVER = POSTGRES_BIN === undefined ? "postgresql" : `${POSTGRES_BIN}/postgres`;
const NEEDS = ["psql", "pgbench", SERVER];
const CLIENTS = 4;
/** Committed by each client before the primary is killed. */
const COMMITS = 20;
/** Each client of pgbench inserts rows that it counts for itself. */
const INSERT = "\\set n :n + 1\ninsert into written values (:client_id, :n);\n";

/** A primary, the standby that has all of its commits, and the proxy; rank 0 is the standby, to show that roles decide. */
async function pair(flags: Readonly<Record<string, string>>) {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await Folder.make());
  await Deno.chmod(folder.path, 0o777);
  const primary = stack.use(await Postgres.primary(folder.at("primary")));
  const standby = stack.use(await Postgres.standby(folder.at("standby"), primary));
  // Once it is promoted, its commits have no standby to wait for.
  await standby.sql("alter system set synchronous_standby_names = ''");
  await standby.sql("select pg_reload_conf()");
  const proxy = stack.use(
    await startProxy({
      upstreams: [standby, primary],
      flags: { check: "postgres", promote: "on", ...flags },
      env: { PGUSER: "postgres" },
    }),
  );
  const owned = stack.move();
  return {
    ...{ folder, primary, standby, proxy },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** pgbench through the proxy, until it is killed or its connections end; it logs each transaction that it got acknowledged. */
function bench(folder: Folder, proxy: Proxy, script: string, round: number): Child {
  const [host, port] = proxy.address.split(":");
  return new Child("pgbench", {
    args: [
      ...["-n", "-c", String(CLIENTS), "-T", "60", "-D", `n=${round * 1_000_000}`, "-f", script],
      ...["-l", "--log-prefix", folder.at(`round${round}`)],
      ...["-h", host!, "-p", port!, "-U", "postgres", "postgres"],
    ],
  });
}

/** How many transactions each client got acknowledged, by its number. */
async function acknowledged(folder: Folder, round: number): Promise<Map<number, number>> {
  const counts = new Map<number, number>();
  for await (const { name } of Deno.readDir(folder.path)) {
    if (!name.startsWith(`round${round}.`)) continue;
    for (const line of (await folder.read(name)).split("\n")) {
      const client = line.split(" ")[0]!;
      if (client !== "") counts.set(Number(client), (counts.get(Number(client)) ?? 0) + 1);
    }
  }
  return counts;
}

async function rowsAt(address: string): Promise<number> {
  return Number((await query(address, "select count(*) from written"))[0]);
}

scenario(
  "a killed primary under load: no acknowledged commit is lost, the standby is promoted, the old one is refused",
  async (relay) => {
    await using scene = await pair(relay);
    const { folder, primary, standby, proxy } = scene;
    await proxy.event("promotion.finished", { move: "start", to: primary.name });
    await query(proxy.address, "create table written (client int, n int, primary key (client, n))");
    const script = await folder.write("insert.sql", INSERT);
    await using load = bench(folder, proxy, script, 0);
    while (await rowsAt(primary.name) < CLIENTS * COMMITS) assertEquals(load.hasEnded, false);

    await primary.kill();
    await proxy.event("server.promoted", { upstream: standby.name });
    await proxy.event("promotion.finished", { move: "failover", to: standby.name });
    await withTestDeadline("pgbench to end without its connections", load.ended);
    const counts = await acknowledged(folder, 0);
    assert([...counts.values()].every((count) => count > 0));
    for (const [client, count] of counts) {
      const kept = await query(
        proxy.address,
        `select count(*) from written where client = ${client} and n <= ${count}`,
      );
      assertEquals(Number(kept[0]), count, `client ${client} lost what was acknowledged`);
    }

    await using further = bench(folder, proxy, script, 1);
    const before = await rowsAt(standby.name);
    while (await rowsAt(standby.name) < before + COMMITS) assertEquals(further.hasEnded, false);
    await primary.start();
    await proxy.event("upstream.barred", { upstream: primary.name, kind: "stale" });
    // It is not taken either when nothing else is left.
    await standby.kill();
    await proxy.event("selection.failed", { message: /stale primary/ });
    assertEquals(proxy.events("promotion.finished").map(({ to }) => to), [
      primary.name,
      standby.name,
    ]);
    await further.kill();
  },
  NEEDS,
);

scenario(
  "traffic follows a server that somebody else has promoted, when the active one is gone",
  async (relay) => {
    await using scene = await pair({ ...relay, promote: "off", hold: "30s" });
    const { primary, standby, proxy } = scene;
    await proxy.event("promotion.finished", { to: primary.name });
    await proxy.event("upstream.up", { upstream: standby.name });
    await primary.kill();
    await proxy.event("selection.failed", { message: /nothing here promotes it/ });
    const waiting = query(proxy.address, "select pg_is_in_recovery()");
    await standby.sql("select pg_promote(true, 60)");
    await proxy.event("promotion.finished", { move: "failover", to: standby.name });
    assertEquals(await waiting, ["f"]);
  },
  NEEDS,
);

scenario(
  "without a user a killed server is noticed when it dies, long before its next check",
  async (relay) => {
    await using folder = await Folder.make();
    await Deno.chmod(folder.path, 0o777);
    await using first = await Postgres.alone(folder.at("first"));
    await using second = await Postgres.alone(folder.at("second"));
    await using proxy = await startProxy({
      upstreams: [first, second],
      flags: { check: "postgres", "check-interval": "1h", ...relay },
    });
    await proxy.event("promotion.finished", { move: "start", to: first.name });
    await first.kill();
    await proxy.event("promotion.finished", { move: "failover", to: second.name });
  },
  NEEDS,
);
