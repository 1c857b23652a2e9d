/** Clients of PostgreSQL: one that writes until it is ended and records which commits were acknowledged, and a query. */
import { assertEquals } from "@std/assert";
import { Child } from "./child.ts";
import { withTestDeadline } from "./test_deadline.ts";

const ROWS_MAX = 1_000_000;

/** Where psql connects, as the superuser. */
export function urlOf(address: string): string {
  return `postgresql://postgres@${address}/postgres`;
}

/** The rows of a query on a connection of its own, which must succeed. */
export async function query(address: string, sql: string): Promise<string[]> {
  const [rows, complaints]: [string[], string[]] = [[], []];
  await using psql = new Child("psql", {
    args: ["--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", urlOf(address), "-c", sql],
    onOut: (line) => rows.push(line),
    onErr: (line) => complaints.push(line),
  });
  const { code } = await withTestDeadline(sql, psql.ended);
  assertEquals(code, 0, complaints.join("\n"));
  return rows;
}

/** Inserts row after row through the proxy, with a new psql whenever the last one lost its server. */
export class PostgresWriter implements AsyncDisposable {
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
      // Each row is a separate transaction, and its key is printed when that is committed.
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

  /** Resolves when this many further rows were acknowledged. */
  async further(rows: number): Promise<void> {
    this.#wanted = this.acknowledged.length + rows;
    this.#enough = Promise.withResolvers();
    await withTestDeadline(`${rows} rows of ${this.name}`, this.#enough.promise);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop = true;
    await this.#psql?.kill();
    await this.finished;
  }
}
