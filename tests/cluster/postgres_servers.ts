/**
 * A pair of PostgreSQL servers with synchronous replication, and the agent beside them that an operator has: it starts
 * servers again, and makes an old primary a standby of the one that was chosen. No commit is acknowledged that only one
 * of the two has, unless the other one was replaced: a primary that was left by its standby waits for it for ever.
 */
import { Folder } from "../harness/folder.ts";
import { emptyData, Postgres, POSTGRES_BIN, runPostgresProgram } from "../harness/postgres.ts";
import { PostgresSession, type QueryResult } from "../harness/postgres_session.ts";
import type { Flags } from "../harness/proxy.ts";
import type { Decided, Servers, StoppableServer } from "./servers.ts";
import { Way } from "./way.ts";
import { type Link, WRITE_MS } from "./writer.ts";

/** The name of a standby for which commits wait; a copy that is being made has another. */
const STANDBY = "pair";
/** Pause between two rounds of the agent, in milliseconds. */
const ROUND_MS = 300;
/** How long the agent waits for an answer of a server, in milliseconds. */
const ASK_MS = 2_000;
/** A standby that does not stream for so long is made anew, in milliseconds. */
const LOST_MS = 6_000;

/** A data folder of a primary that was stopped, of which each pair gets copies. */
export async function postgresTemplate(): Promise<Folder> {
  const folder = await Folder.make();
  await Deno.chmod(folder.path, 0o777);
  const data = folder.at("data");
  await emptyData(data);
  const server = Postgres.prepared(data, SETTINGS);
  await server.start();
  await server.sql("create table written (id text primary key)");
  await server.stop();
  return folder;
}

/** Everything is small, and survives the end of all processes, though not that of the machine. */
const SETTINGS = [
  ...["fsync=off", "autovacuum=off", "jit=off", "wal_keep_size=64MB", "max_wal_size=128MB"],
  ...["wal_retrieve_retry_interval=100ms", "wal_receiver_timeout=5s", "max_wal_senders=6"],
];

/** One of the two. The agent starts it as soon as no fault keeps it down. */
class PostgresServer implements StoppableServer {
  readonly name: string;
  readonly server: Postgres;
  #faults = 0;
  #isFrozen = false;
  /** Signals to its processes, one after another. */
  #signals: Promise<unknown> = Promise.resolve();

  constructor(readonly data: string, host: string, peer: () => string) {
    this.server = Postgres.prepared(data, SETTINGS);
    this.name = `${host}:${this.server.port}`;
    this.#peer = peer;
  }

  readonly #peer: () => string;

  /** Where the agent and its copies find it, past all ways. */
  get address(): string {
    return this.server.name;
  }

  get isHeld(): boolean {
    return this.#faults > 0;
  }

  get isUsable(): boolean {
    return this.#faults === 0 && this.server.isRunning;
  }

  kill(): Promise<void> {
    this.#faults++;
    return this.#then(() => this.server.kill());
  }

  start(): Promise<void> {
    this.#faults--;
    return Promise.resolve();
  }

  freeze(): Promise<void> {
    this.#faults++;
    return this.#then(async () => {
      if (!this.server.isRunning) return;
      await this.server.freeze();
      this.#isFrozen = true;
    });
  }

  thaw(): Promise<void> {
    this.#faults--;
    return this.#then(() => {
      if (this.#isFrozen && this.server.isRunning) this.server.thaw();
      this.#isFrozen = false;
      return Promise.resolve();
    });
  }

  /** Starts it on its data, if no fault keeps it down. */
  async run(): Promise<void> {
    if (this.isHeld || this.server.isRunning) return;
    await this.server.start(/listening on IPv4/);
  }

  /** Ends it without a fault. */
  end(): Promise<void> {
    return this.#then(() => this.server.kill());
  }

  /** Makes its data those of a standby, which waits for nobody when it is promoted. */
  async becomeStandby(): Promise<void> {
    const [hostname, port] = this.#peer().split(":");
    const from = `host=${hostname} port=${port} user=postgres application_name=${STANDBY}`;
    const text = `primary_conninfo = '${from}'\n`;
    await Deno.writeTextFile(`${this.data}/postgresql.auto.conf`, text);
    await Deno.writeTextFile(`${this.data}/standby.signal`, "");
    await this.server.own("standby.signal", "postgresql.auto.conf");
  }

  /** Makes its data those of a primary whose commits wait for the standby. */
  async becomePrimary(): Promise<void> {
    const text = `synchronous_standby_names = '${STANDBY}'\n`;
    await Deno.writeTextFile(`${this.data}/postgresql.auto.conf`, text);
  }

  async ask(sql: string): Promise<readonly (string | null)[]> {
    using session = await PostgresSession.open(this.address, ASK_MS);
    return (await session.query(sql, ASK_MS)).rows[0] ?? [];
  }

  #then(work: () => Promise<void>): Promise<void> {
    const done = this.#signals.then(work);
    this.#signals = done.catch(() => {});
    return done;
  }
}

/** What a server says of itself. */
interface Role {
  readonly isStandby: boolean;
  /** Its commits wait for a standby. */
  readonly waits: boolean;
  /** Its standby receives what it writes. */
  readonly hasStandby: boolean;
}

const PORT = "select inet_server_port()";
const ROLE = `select pg_is_in_recovery(), current_setting('synchronous_standby_names'),
  (select count(*) from pg_stat_replication
   where application_name = '${STANDBY}' and state = 'streaming')`;

/** The pair, and its agent. */
export class PostgresServers implements Servers {
  readonly pace = { pauseMs: 50, perLink: 20 };
  readonly flags: Flags;
  readonly promote: string;
  /** What the agent did, and when, in milliseconds since 1970. */
  readonly notes: { readonly at: number; readonly text: string }[] = [];
  /** The ways by which each receives what the other writes. */
  readonly ways: readonly Way[];
  /** Set while the two cannot reach each other, so that no standby is lost for that alone. */
  isSplit = false;
  #isWhole = false;
  #isOver = false;
  #missingSince: number | undefined;
  #work: Promise<void> = Promise.resolve();

  private constructor(
    readonly first: PostgresServer,
    readonly second: PostgresServer,
    ways: () => readonly Way[],
    { promotes }: { readonly promotes: "proxy" | "trigger" },
  ) {
    this.ways = ways();
    this.flags = {
      ...{ "check": "postgres", "check-user": "postgres", "check-interval": "500ms" },
      "on-trigger-failure": "retry",
      ...promotes === "proxy" ? { promote: true } : {},
    };
    const sql = "select not pg_is_in_recovery() or pg_promote(true, 20)";
    this.promote = promotes === "proxy" ? ":" : `port=\${FAILOVER_TO##*:}
PGCONNECT_TIMEOUT=3 ${POSTGRES_BIN}/psql --no-psqlrc -h "\${FAILOVER_TO%:*}" -p "$port" -U postgres -d postgres \\
  -Atqc '${sql}' | grep -qx t`;
  }

  /**
   * Starts both on copies of `template`, the first one as the primary. Its standby is promoted by the proxy
   * itself, or by its trigger.
   */
  static async start(
    folder: Folder,
    template: Folder,
    options: { readonly promotes: "proxy" | "trigger" },
  ): Promise<PostgresServers> {
    await Deno.chmod(folder.path, 0o777);
    const ways: Way[] = [];
    const [first, second] = (["db1", "db2"] as const).map((host, index) =>
      new PostgresServer(folder.at(host), host, () => ways[index]!.address)
    ) as [PostgresServer, PostgresServer];
    for (const other of [second, first]) ways.push(new Way(other.address));
    const pair = new PostgresServers(first, second, () => ways, options);
    for (const { data } of [first, second]) await copyData(template.at("data"), data);
    await first.becomePrimary();
    await second.becomeStandby();
    await Promise.all([first.run(), second.run()]);
    return pair;
  }

  /** True if the primary has its standby, so that it can be lost without loss. */
  get isWhole(): boolean {
    return this.#isWhole && this.first.isUsable && this.second.isUsable && !this.isSplit;
  }

  async open(address: string): Promise<Link> {
    const session = await PostgresSession.open(address, WRITE_MS);
    return {
      read: async () => this.#atPort((await session.query(PORT, WRITE_MS)).rows),
      write: (id) => this.#write(session, id),
      [Symbol.dispose]: () => session[Symbol.dispose](),
    };
  }

  async #write(session: PostgresSession, id: string): Promise<string> {
    const sql = `insert into written values ('${id}') returning inet_server_port()`;
    const { rows, notices } = await session.query(sql, WRITE_MS);
    // "canceling wait for synchronous replication" is not an acknowledgement.
    if (notices.length > 0) throw new Error(notices.join("; "));
    return this.#atPort(rows);
  }

  /** The name of the server that said its port. */
  #atPort(rows: QueryResult["rows"]): string {
    const port = Number(rows[0]?.[0]);
    const both = [this.first, this.second];
    return both.find(({ server }) => server.port === port)?.name ?? `port ${port}`;
  }

  async rows(name: string): Promise<ReadonlySet<string>> {
    using session = await PostgresSession.open(this.#named(name).address, ASK_MS);
    const { rows } = await session.query("select id from written", 5 * ASK_MS);
    return new Set(rows.map(([id]) => String(id)));
  }

  attend(decided: () => Promise<Decided | undefined>): void {
    this.#work = this.#attend(decided);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#work;
    await Promise.all([this.first.end(), this.second.end()]);
    for (const way of this.ways) await way[Symbol.asyncDispose]();
  }

  #note(text: string): void {
    this.notes.push({ at: Date.now(), text });
  }

  #named(name: string): PostgresServer {
    const found = [this.first, this.second].find((each) => each.name === name);
    if (found === undefined) throw new Error(`there is no server ${name}`);
    return found;
  }

  // ---- The agent

  async #attend(decided: () => Promise<Decided | undefined>): Promise<void> {
    while (!this.#isOver) {
      try {
        await this.#round(decided);
      } catch (error) {
        this.#isWhole = false;
        this.#note(`agent: ${error instanceof Error ? error.message.split("\n")[0] : error}`);
      }
      await new Promise((resolve) => setTimeout(resolve, ROUND_MS));
    }
  }

  async #round(decided: () => Promise<Decided | undefined>): Promise<void> {
    for (const each of [this.first, this.second]) {
      if (each.isHeld || each.server.isRunning) continue;
      this.#note(`agent: ${each.name} starts`);
      await each.run();
    }
    const decision = await decided();
    if (decision?.phase !== "done") return;
    const serving = this.#named(decision.to);
    const other = serving === this.first ? this.second : this.first;
    if (!serving.isUsable || !other.isUsable || this.isSplit) {
      this.#missingSince = undefined;
      return;
    }
    const [own, others] = await Promise.all([roleOf(serving), roleOf(other)]);
    if (own === undefined || own.isStandby) return;
    this.#isWhole = own.hasStandby && own.waits;
    if (own.hasStandby && others?.isStandby === true) {
      this.#missingSince = undefined;
      if (!own.waits) await waitForStandby(serving);
      return;
    }
    this.#missingSince ??= performance.now();
    const isLost = performance.now() - this.#missingSince > LOST_MS;
    if (others?.isStandby === false || isLost) await this.#copy(serving, other, decided);
  }

  /** Makes `other` a standby of `serving`, with a copy that has all that was acknowledged before. */
  async #copy(
    serving: PostgresServer,
    other: PostgresServer,
    decided: () => Promise<Decided | undefined>,
  ): Promise<void> {
    this.#note(`agent: ${other.name} becomes a standby of ${serving.name}`);
    this.#missingSince = undefined;
    // From here on nothing is acknowledged without it, and its copy is begun after all that was.
    await waitForStandby(serving);
    await other.end();
    const { to, phase } = await decided() ?? {};
    if (to !== serving.name || phase !== "done") return;
    const copy = `${other.data}.new`;
    await Deno.remove(copy, { recursive: true }).catch(() => {});
    await runPostgresProgram("pg_basebackup", [
      ...["-D", copy, "-d", `host=127.0.0.1 port=${serving.server.port} user=postgres`],
      ...["-c", "fast", "-X", "stream", "--no-sync", "--no-manifest"],
    ]);
    await Deno.remove(other.data, { recursive: true });
    await Deno.rename(copy, other.data);
    await other.becomeStandby();
    await other.run();
    this.#note(`agent: ${other.name} has a copy`);
  }
}

async function roleOf(server: PostgresServer): Promise<Role | undefined> {
  try {
    const [isStandby, names, count] = await server.ask(ROLE);
    return { isStandby: isStandby === "t", waits: names !== "", hasStandby: Number(count) > 0 };
  } catch {
    return undefined;
  }
}

/** Commits of `server` wait for the standby from now on; resolves when that is in force in all sessions. */
async function waitForStandby(server: PostgresServer): Promise<void> {
  await server.ask(`alter system set synchronous_standby_names = '${STANDBY}'`);
  await server.ask("select pg_reload_conf()");
  for (;;) {
    const [names] = await server.ask("select current_setting('synchronous_standby_names')");
    if (names === STANDBY) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  // The checkpointer sets what the sessions look at, and reads the settings before it begins this.
  await server.ask("checkpoint");
}

async function copyData(from: string, to: string): Promise<void> {
  const { success } = await new Deno.Command("cp", { args: ["-a", from, to] }).output();
  if (!success) throw new Error(`cannot copy ${from}`);
}
