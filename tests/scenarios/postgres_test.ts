/**
 * PostgreSQL with a primary, a synchronous standby, and `failover` in front with the two scripts of the
 * recipe. Each commit that was acknowledged to a client must survive `kill -9`.
 */
import { assert, assertEquals } from "@std/assert";
import { Control } from "../harness/control.ts";
import { Folder } from "../harness/folder.ts";
import { Child } from "../harness/child.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { Postgres, POSTGRES_BIN } from "../harness/postgres.ts";
import { type Proxy, startProxy } from "../harness/proxy.ts";
import { copyScripts } from "../harness/readme.ts";
import { PostgresWriter, query } from "../harness/postgres_writer.ts";
import { scenario } from "../harness/scenario.ts";

/** The number of rows that each writer must get acknowledged before the next step of the test. */
const ROWS_PER_ACT = 20;
const WRITERS = 4;

const NEEDS = ["psql", POSTGRES_BIN === undefined ? "postgresql" : `${POSTGRES_BIN}/postgres`];

/** A primary, its standby, the proxy in front of them, and clients that write without a pause. */
async function writing(flags: Readonly<Record<string, string>>) {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await Folder.make());
  await Deno.chmod(folder.path, 0o777);
  await copyScripts(folder.path, "postgres_check.sh", "postgres_promote.sh");
  const primary = stack.use(await Postgres.primary(folder.at("primary")));
  const standby = stack.use(await Postgres.standby(folder.at("standby"), primary));
  const proxy = stack.use(
    await startProxy({
      upstreams: [primary, standby],
      flags: {
        "check-interval": "500ms",
        "check-host": folder.at("postgres_check.sh"),
        "on-failover": folder.at("postgres_promote.sh"),
        "hold": "30s",
        "hold-while": "down",
        ...flags,
      },
      env: { PGUSER: "postgres" },
    }),
  );
  await proxy.event("promotion.finished", { to: primary.name });
  await proxy.event("upstream.up", { upstream: standby.name });
  await query(proxy.address, "create table written (id text primary key)");
  const writers = stack.use(new AsyncDisposableStack());
  const all = Array.from(
    { length: WRITERS },
    (_, index) => writers.use(new PostgresWriter(`w${index}`, proxy.address)),
  );
  let acts = 0;
  const owned = stack.move();
  return {
    folder,
    primary,
    standby,
    proxy,
    /** Ends the writing. */
    rest: () => writers.disposeAsync(),
    /** Resolves when some further commits were acknowledged to each of them. */
    async act(): Promise<void> {
      acts++;
      await Promise.all(all.map((writer) => writer.further(ROWS_PER_ACT)));
    },
    /** Ends the writing, and checks that the active server has all rows that were acknowledged to any of them. */
    async assertNothingLost(): Promise<void> {
      await writers.disposeAsync();
      const kept = new Set(await query(proxy.address, "select id from written"));
      const acknowledged = all.flatMap((writer) => writer.acknowledged);
      assert(acknowledged.length >= WRITERS * acts * ROWS_PER_ACT);
      assertEquals(acknowledged.filter((row) => !kept.has(row)), []);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

scenario(
  "no commit that PostgreSQL acknowledged is lost when its primary is killed, and writing continues",
  async (relay) => {
    await using scene = await writing(relay);
    const { primary, standby, proxy } = scene;
    await scene.act();
    await primary.kill();
    await proxy.event("promotion.finished", { to: standby.name });
    await scene.act();
    await oldPrimaryIsNotTaken(proxy, primary, standby);
    await scene.act();
    await scene.assertNothingLost();
  },
  NEEDS,
);

scenario(
  "a primary that freezes and resumes gets no client back, and no acknowledged commit is lost",
  async (relay) => {
    // Each check of it takes as long as the script waits, so the first one must be enough.
    await using scene = await writing({ ...relay, "fail-threshold": "1" });
    const { primary, standby, proxy } = scene;
    await scene.act();
    await primary.freeze();
    const promoted = await proxy.event("promotion.finished", { to: standby.name });
    await scene.act();
    // By then its check fails with the same exit code as after the thaw (1), for another reason.
    const frozen = { upstream: primary.name, line: /timeout expired/ };
    await proxy.event("program.said", frozen, promoted);
    primary.thaw();
    await proxy.event("program.said", { upstream: primary.name, line: /stale primary/ });
    await scene.act();
    await scene.assertNothingLost();
    const moves = proxy.events("promotion.finished").map(({ to }) => to);
    assertEquals(moves, [primary.name, standby.name]);
  },
  NEEDS,
);

scenario(
  "a switchover by order loses no commit that was acknowledged, and writing continues",
  async (relay) => {
    await using control = await Control.make();
    await using scene = await writing({ ...relay, control: control.path });
    const { standby, proxy } = scene;
    await scene.act();
    // The writers never pause for long, so the wait ends at its limit, and their sessions are cut.
    const order = `switchover?to=${standby.name}&max_wait=300ms&wait=true`;
    assertEquals((await control.order(order))[0], 200);
    await proxy.event("promotion.finished", { move: "switchover", to: standby.name });
    await scene.act();
    await scene.assertNothingLost();
  },
  NEEDS,
);

/** Transactions of each client of pgbench. */
const TRANSACTIONS = 150;

scenario(
  "clients that connect for each transaction see no error in a switchover",
  async (relay) => {
    await using control = await Control.make();
    await using scene = await writing({ ...relay, control: control.path });
    const { primary, standby, proxy, folder } = scene;
    await scene.rest();
    await query(proxy.address, "create table bench (id serial)");
    const script = await folder.write("bench.sql", "insert into bench default values;\n");
    const said: string[] = [];
    const [host, port] = proxy.address.split(":");
    await using pgbench = new Child("pgbench", {
      args: ["-C", "-n", "-c", "4", "-t", String(TRANSACTIONS), "-f", script].concat(
        ...["-h", host!, "-p", port!, "-U", "postgres", "postgres"],
      ),
      onOut: (line) => said.push(line),
      onErr: (line) => said.push(line),
    });
    const rows = async (address: string) =>
      Number((await query(address, "select count(*) from bench"))[0]);
    while (await rows(primary.name) < 20) assertEquals(pgbench.hasEnded, false, said.join("\n"));

    const order = `switchover?to=${standby.name}&max_wait=20s&wait=true`;
    assertEquals((await control.order(order))[0], 200);

    const { code } = await withTestDeadline("pgbench to end", pgbench.ended);
    assertEquals(code, 0, said.join("\n"));
    const before = await rows(primary.name);
    assert(before < 4 * TRANSACTIONS, "the move began after the last transaction");
    assertEquals(await rows(standby.name), 4 * TRANSACTIONS, said.join("\n"));
  },
  [...NEEDS, "pgbench"],
);

/** The old primary returns without knowing that it was replaced; it is not used even if it is the only one. */
async function oldPrimaryIsNotTaken(proxy: Proxy, old: Postgres, current: Postgres): Promise<void> {
  await old.start();
  await current.kill();
  const round = await proxy.event("selection.failed", { message: /stale primary/ });
  assertEquals(round.reasons.map((each) => each.upstream), [old.name, current.name]);
  await current.start();
  await proxy.event("promotion.finished", { to: current.name }, round);
}
