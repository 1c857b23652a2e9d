/**
 * PostgreSQL as operators run it: a primary, a synchronous standby, and `failover` in front with the
 * two scripts of the README's recipe. Whatever a client was told is committed must outlive `kill -9`.
 */
import { assert, assertEquals } from "@std/assert";
import { Folder } from "../harness/folder.ts";
import { Child } from "../harness/child.ts";
import { patiently } from "../harness/patience.ts";
import { Postgres, POSTGRES_BIN } from "../harness/postgres.ts";
import { type Proxy, startProxy } from "../harness/proxy.ts";
import { copyScripts } from "../harness/readme.ts";
import { scenario } from "../harness/scenario.ts";

/** Rows that one writer must have been acknowledged before each next act of the story. */
const ROWS_PER_ACT = 20;
const WRITERS = 4;
const ROWS_MAX = 1_000_000;

/** Inserts row after row through the proxy, with a new psql whenever the last one lost its server. */
class Writer {
  readonly acknowledged: string[] = [];
  readonly finished: Promise<void>;
  #stop = false;
  #psql: Child | undefined;
  #wanted = 0;
  #enough = Promise.withResolvers<void>();

  constructor(readonly name: string, address: string) {
    this.finished = this.#write(address);
  }

  async #write(address: string): Promise<void> {
    for (let session = 0; !this.#stop; session++) {
      // Each row is a transaction of its own, and its key is printed when that is committed.
      const rows = `do $$ begin for i in 1..${ROWS_MAX} loop ` +
        `insert into written values ('${this.name}-${session}-' || i); commit; ` +
        `raise info '${this.name}-${session}-%', i; perform pg_sleep(0.01); end loop; end $$`;
      this.#psql = new Child("psql", {
        args: ["--no-psqlrc", "-q", "-d", `${urlOf(address)}?connect_timeout=30`, "-c", rows],
        onErr: (line) => this.#heard(line),
      });
      await this.#psql.ended;
    }
  }

  #heard(line: string): void {
    const row = /^INFO:\s+(\S+)$/.exec(line)?.[1];
    if (row === undefined) return;
    this.acknowledged.push(row);
    if (this.acknowledged.length >= this.#wanted) this.#enough.resolve();
  }

  /** Resolves when so many further rows were acknowledged. */
  async further(rows: number): Promise<void> {
    this.#wanted = this.acknowledged.length + rows;
    this.#enough = Promise.withResolvers();
    await patiently(`${rows} rows of ${this.name}`, this.#enough.promise);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop = true;
    await this.#psql?.kill();
    await this.finished;
  }
}

scenario(
  "no commit that PostgreSQL acknowledged is lost when its primary is killed, and writing goes on",
  async (relay) => {
    await using folder = await Folder.make();
    await Deno.chmod(folder.path, 0o777);
    await copyScripts(folder.path, "postgres_check.sh", "postgres_promote.sh");
    await using primary = await Postgres.primary(folder.at("primary"));
    await using standby = await Postgres.standby(folder.at("standby"), primary);
    await using proxy = await startProxy({
      upstreams: [primary, standby],
      flags: {
        ...relay,
        "check-interval": "500ms",
        "check-host": folder.at("postgres_check.sh"),
        "on-failover": folder.at("postgres_promote.sh"),
        "hold": "30s",
        "hold-while": "down",
      },
      env: { PGUSER: "postgres", STATE_DIRECTORY: folder.path },
    });
    await proxy.event("promotion.finished", { to: primary.name });
    await query(proxy.address, "create table written (id text primary key)");

    await using writers = new AsyncDisposableStack();
    const all = Array.from(
      { length: WRITERS },
      (_, index) => writers.use(new Writer(`w${index}`, proxy.address)),
    );
    await Promise.all(all.map((writer) => writer.further(ROWS_PER_ACT)));

    await primary.kill();
    await proxy.event("promotion.finished", { to: standby.name });
    await Promise.all(all.map((writer) => writer.further(ROWS_PER_ACT)));

    await oldPrimaryIsNotTaken(proxy, primary, standby);
    await Promise.all(all.map((writer) => writer.further(ROWS_PER_ACT)));

    await writers.disposeAsync();
    const kept = new Set(await query(proxy.address, "select id from written"));
    const acknowledged = all.flatMap((writer) => writer.acknowledged);
    assert(acknowledged.length >= WRITERS * 3 * ROWS_PER_ACT);
    assertEquals(acknowledged.filter((row) => !kept.has(row)), []);
  },
  ["psql", POSTGRES_BIN === undefined ? "postgresql" : `${POSTGRES_BIN}/postgres`],
);

/** The old primary comes back without knowing that it was replaced; not even as the last one is it used. */
async function oldPrimaryIsNotTaken(proxy: Proxy, old: Postgres, current: Postgres): Promise<void> {
  await old.start();
  await current.kill();
  const round = await proxy.event("selection.failed", { message: /stale primary/ });
  assertEquals(round.reasons.map((each) => each.upstream), [old.name, current.name]);
  await current.start();
  await proxy.event("promotion.finished", { to: current.name }, round);
}

function urlOf(address: string): string {
  return `postgresql://postgres@${address}/postgres`;
}

async function query(address: string, sql: string): Promise<string[]> {
  const rows: string[] = [];
  const complaints: string[] = [];
  await using psql = new Child("psql", {
    args: ["--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", urlOf(address), "-c", sql],
    onOut: (line) => rows.push(line),
    onErr: (line) => complaints.push(line),
  });
  const { code } = await patiently(sql, psql.ended);
  assertEquals(code, 0, complaints.join("\n"));
  return rows;
}
