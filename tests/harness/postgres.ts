/**
 * A PostgreSQL server of Debian's packages, in a separate process with its data in a folder of the
 * test. The server refuses to run as root, so root starts it as the user `postgres`.
 */
import { Child, signalIfThere } from "./child.ts";
import { fromTemplate } from "./template.ts";
import { BULK_DEADLINE_MS, withTestDeadline } from "./test_deadline.ts";
import { type Named } from "./upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** Where Debian puts the programs, the newest version first; undefined when there are none. */
export const POSTGRES_BIN = newestBin("/usr/lib/postgresql");

function newestBin(folder: string): string | undefined {
  try {
    const versions = [...Deno.readDirSync(folder)].map((entry) => Number(entry.name));
    const bin = `${folder}/${Math.max(...versions)}/bin`;
    Deno.statSync(`${bin}/postgres`);
    return bin;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** The command of a program that must not run as root. */
export function asPostgres(path: string, args: readonly string[]): [string, string[]] {
  if (Deno.uid() !== 0) return [path, [...args]];
  const user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];
  return ["setpriv", [...user, path, ...args]];
}

/** A program of PostgreSQL with its arguments. */
function commandLine(program: string, args: readonly string[]): [string, string[]] {
  return asPostgres(`${POSTGRES_BIN}/${program}`, args);
}

/** Runs a program of PostgreSQL to its end; resolves with the lines of its output, rejects if it fails. */
export async function runPostgresProgram(
  program: string,
  args: readonly string[],
): Promise<string[]> {
  return await run(...commandLine(program, args));
}

async function run(program: string, args: readonly string[]): Promise<string[]> {
  const [output, complaints]: [string[], string[]] = [[], []];
  await using child = new Child(program, {
    args,
    onOut: (line) => output.push(line),
    onErr: (line) => complaints.push(line),
  });
  const more = () => [...output, ...complaints].join("\n");
  const { code } = await withTestDeadline(program, child.ended, more, BULK_DEADLINE_MS);
  if (code !== 0) throw new Error(`${program} exited with ${code}\n${more()}`);
  return output;
}

/** Two of three databases, which nobody uses here. */
const WITHOUT_TEMPLATES = [
  "update pg_database set datistemplate = false",
  "drop database template0",
  "drop database template1",
].map((line) => `${line}\n`).join("");

/** Makes the data folder of a server without data. It is small, so that copies of it are quick. */
export async function emptyData(path: string): Promise<void> {
  const kind = ["--auth=trust", "--username=postgres", "--no-locale", "--wal-segsize=1"];
  await fromTemplate("postgres", path, async (data) => {
    await runPostgresProgram("initdb", ["-D", data, "--no-sync", ...kind]);
    const [command, args] = commandLine("postgres", ["--single", "-F", "-D", data, "postgres"]);
    const script = `printf '%s' "$0" | "$@" >/dev/null`;
    await run("sh", ["-c", script, WITHOUT_TEMPLATES, command, ...args]);
  });
}

export class Postgres implements Named, AsyncDisposable {
  readonly port = unusedPort();
  readonly name = `127.0.0.1:${this.port}`;
  readonly #data: string;
  readonly #settings: readonly string[];
  #child: Child | undefined;
  /** What it wrote to its log. */
  readonly log: string[] = [];
  /** Its children that `freeze` stopped. */
  readonly #frozen = new Set<number>();
  /** Called at the next line of its log. */
  readonly #waiting: (() => void)[] = [];

  private constructor(data: string, settings: readonly string[] = []) {
    this.#data = data;
    this.#settings = settings;
  }

  /** A server that has no standby. `data` must not exist yet; `settings` are further ones (`name=value`). */
  static async alone(data: string, settings: readonly string[] = []): Promise<Postgres> {
    await emptyData(data);
    const server = new Postgres(data, settings);
    await server.start();
    return server;
  }

  /** A primary whose commits wait until a standby has them as well. `data` must not exist yet. */
  static async primary(data: string): Promise<Postgres> {
    await emptyData(data);
    await Deno.writeTextFile(`${data}/postgresql.auto.conf`, "synchronous_standby_names = '*'\n");
    const server = new Postgres(data);
    await server.start();
    return server;
  }

  /** A standby that streams from `primary`, with all of its settings: it too waits for a standby. */
  static async standby(
    data: string,
    primary: Postgres,
    settings: readonly string[] = [],
  ): Promise<Postgres> {
    const from = `host=127.0.0.1 port=${primary.port} user=postgres`;
    await runPostgresProgram("pg_basebackup", [
      "-D",
      data,
      "-d",
      from,
      "-c",
      "fast",
      "-R",
      "--no-sync",
    ]);
    const server = new Postgres(data, settings);
    await server.start();
    return server;
  }

  /** A server on data that another one left; resolves when it answers, also if it takes no sessions. */
  static async onData(data: string, settings: readonly string[]): Promise<Postgres> {
    const server = new Postgres(data, settings);
    await server.start(/listening on IPv4/);
    return server;
  }

  /** A server on data that is there already, which does not run yet. */
  static prepared(data: string, settings: readonly string[]): Postgres {
    return new Postgres(data, settings);
  }

  get isRunning(): boolean {
    return this.#child?.hasEnded === false;
  }

  /** Starts the server on the data it has; resolves when it takes connections, or when it logs a line of this kind. */
  async start(until = /database system is ready to accept/): Promise<void> {
    const settings = [
      `port=${this.port}`,
      "listen_addresses=127.0.0.1",
      "unix_socket_directories=",
      "shared_buffers=16MB",
      // Only processes are killed here, never the machine.
      "fsync=off",
      "max_connections=50",
      ...this.#settings,
    ];
    const [command, args] = commandLine("postgres", [
      ...["-D", this.#data],
      ...settings.flatMap((setting) => ["-c", setting]),
    ]);
    const ready = Promise.withResolvers<void>();
    this.#child = new Child(command, {
      args,
      onErr: (line) => {
        this.log.push(line);
        for (const wake of this.#waiting.splice(0)) wake();
        if (until.test(line)) ready.resolve();
      },
    });
    const died = this.#child.ended.then(() => {
      throw new Error(`postgres ended\n${this.log.join("\n")}`);
    });
    // Later the test itself ends it.
    died.catch(() => {});
    const log = () => this.log.join("\n");
    await withTestDeadline("postgres to be ready", Promise.race([ready.promise, died]), log);
  }

  /** Runs SQL as the superuser; resolves with the rows, columns separated by `|`. */
  async sql(text: string): Promise<string[]> {
    const url = `postgresql://postgres@${this.name}/postgres`;
    return await runPostgresProgram("psql", [
      "--no-psqlrc",
      "-qAt",
      "-v",
      "ON_ERROR_STOP=1",
      "-d",
      url,
      "-c",
      text,
    ]);
  }

  /** Resolves when everything is in `log` that it wrote until now. */
  async flushed(): Promise<void> {
    const marks = () => this.log.filter((line) => line.includes("received SIGHUP")).length;
    const before = marks();
    this.signal("SIGHUP");
    const reading = async () => {
      while (marks() === before) {
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    };
    await withTestDeadline("postgres to reload", reading());
  }

  /** Sends a signal to the server's first process. */
  signal(signal: Deno.Signal): void {
    this.#child!.signal(signal);
  }

  /** Makes files in its data folder its own, which nobody else may read. */
  async own(...names: readonly string[]): Promise<void> {
    const { uid, gid } = await Deno.stat(this.#data);
    for (const name of names) {
      await Deno.chown(`${this.#data}/${name}`, uid, gid);
      await Deno.chmod(`${this.#data}/${name}`, 0o600);
    }
  }

  /** Ends it in order, sessions included; resolves when it has ended. */
  async stop(): Promise<void> {
    this.#child!.signal("SIGINT");
    await withTestDeadline("postgres to end", this.#child!.ended, () => this.log.join("\n"));
  }

  /** kill -9 of the server and of all its processes, so that none of them can end its connections orderly. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.hasEnded) return;
    await this.freeze();
    for (const pid of this.#frozen) signalIfThere(pid, "SIGKILL");
    await child.kill();
  }

  /** Stops all of its processes; the kernel still accepts connections for them. */
  async freeze(): Promise<void> {
    const { pid } = this.#child!;
    // The parent first: once it is stopped, it starts no further children.
    await this.#child!.freeze();
    // While a child ends, the kernel's list may lack another one, see proc(5): look until none is new.
    this.#frozen.clear();
    for (let found = -1; found < this.#frozen.size;) {
      found = this.#frozen.size;
      for (const each of childrenOf(pid)) {
        if (!this.#frozen.has(each)) signalIfThere(each, "SIGSTOP");
        this.#frozen.add(each);
      }
    }
  }

  /** Lets them continue as if nothing had happened. */
  thaw(): void {
    // The parent last, so that it starts none before all of these run again.
    for (const pid of this.#frozen) signalIfThere(pid, "SIGCONT");
    this.#child!.signal("SIGCONT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#removeSharedMemory();
  }

  /**
   * A server that is killed leaves a small segment of System V's shared memory behind, of which a machine has 4096.
   * Line 7 of `postmaster.pid` names it: key and number.
   */
  async #removeSharedMemory(): Promise<void> {
    const text = await Deno.readTextFile(`${this.#data}/postmaster.pid`).catch(() => "");
    const id = text.split("\n")[6]?.trim().split(/\s+/)[1];
    if (id === undefined) return; // it was stopped in order
    const args = ["--shmem-id", id];
    await new Deno.Command("ipcrm", { args, stdout: "null", stderr: "null" }).output();
  }
}

function childrenOf(pid: number): number[] {
  const list = Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`).trim();
  return list === "" ? [] : list.split(" ").map(Number);
}
