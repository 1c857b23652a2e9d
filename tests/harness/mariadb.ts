/**
 * A MariaDB server of Debian's packages, in a separate process with its data in a folder of the test. The server
 * refuses to run as root, so root starts it as the user `mysql`.
 */
import { unusedPort } from "../../src/base/testing/ports.ts";
import { Child } from "./child.ts";
import { fromTemplate } from "./template.ts";
import { BULK_DEADLINE_MS, withTestDeadline } from "./test_deadline.ts";
import type { Named } from "./upstream.ts";

const SERVER = "/usr/sbin/mariadbd";

/** What a test needs that uses it. */
export const MARIADB_NEEDS = [SERVER, "mariadb-install-db", "mariadb"];

/** By default each server would write a file of 100 MB. */
const SMALL_LOG = "--innodb-log-file-size=4M";

/** How a server is made. */
export interface MariaDbOptions {
  /** Further settings, such as `read_only=1`. */
  readonly settings?: readonly string[];
  /** A file that takes the place of /etc/hosts for this server alone; needs root. */
  readonly hosts?: string;
}

export class MariaDb implements Named, AsyncDisposable {
  readonly port = unusedPort();
  readonly name = `127.0.0.1:${this.port}`;
  /** What it wrote to its log. */
  readonly log: string[] = [];
  readonly socket: string;
  readonly #data: string;
  readonly #options: MariaDbOptions;
  #child: Child | undefined;

  private constructor(data: string, options: MariaDbOptions) {
    this.#data = data;
    this.#options = options;
    this.socket = `${data}/s`;
  }

  /** A server without data that accepts connections. `data` must not exist yet. */
  static async make(data: string, options: MariaDbOptions = {}): Promise<MariaDb> {
    await Deno.mkdir(data);
    await run("chmod", ["777", data]);
    await fromTemplate("mariadb", `${data}/d`, async (path) => {
      await run(...asMysql("mariadb-install-db", [
        "--no-defaults",
        `--datadir=${path}`,
        `--tmpdir=${data}`,
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        SMALL_LOG,
      ]));
    });
    const server = new MariaDb(data, options);
    await server.start();
    return server;
  }

  /** Starts it on the data it has; resolves when it takes connections. */
  async start(): Promise<void> {
    const settings = [
      `port=${this.port}`,
      `server-id=${this.port}`,
      "bind-address=127.0.0.1",
      "performance-schema=on",
      "innodb-buffer-pool-size=16M",
      ...this.#options.settings ?? [],
    ];
    const { hosts } = this.#options;
    const [command, args] = asMysql(SERVER, [
      "--no-defaults",
      `--datadir=${this.#data}/d`,
      // A server that starts removes the temporary tables of all servers in this folder.
      `--tmpdir=${this.#data}`,
      `--socket=${this.socket}`,
      `--pid-file=${this.#data}/pid`,
      "--log-bin=binlog",
      SMALL_LOG,
      ...settings.map((setting) => `--${setting}`),
    ]);
    const [program, all] = hosts === undefined ? [command, args] : ["unshare", [
      ...["-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts],
      ...[command, ...args],
    ]];
    const ready = Promise.withResolvers<void>();
    this.#child = new Child(program, {
      args: all,
      onErr: (line) => {
        this.log.push(line);
        if (line.includes("ready for connections")) ready.resolve();
      },
    });
    const died = this.#child.ended.then(() => {
      throw new Error(`mariadbd ended\n${this.log.join("\n")}`);
    });
    // Later the test itself ends it.
    died.catch(() => {});
    await withTestDeadline("mariadbd to be ready", Promise.race([ready.promise, died]));
  }

  /** Runs SQL as the superuser; resolves with the lines of the result, columns separated by tabs. */
  async sql(text: string): Promise<string[]> {
    return await run("mariadb", ["--no-defaults", "-S", this.socket, "-uroot", "-NBe", text]);
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.#child?.kill();
  }

  /** Stops its process; the kernel still accepts connections for it. */
  async freeze(): Promise<void> {
    await this.#child!.freeze();
  }

  /** Lets it continue. */
  thaw(): void {
    this.#child!.thaw();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

function asMysql(path: string, args: readonly string[]): [string, string[]] {
  if (Deno.uid() !== 0) return [path, [...args]];
  return ["setpriv", ["--reuid=mysql", "--regid=mysql", "--clear-groups", path, ...args]];
}

async function run(program: string, args: readonly string[]): Promise<string[]> {
  const lines: string[] = [];
  const complaints: string[] = [];
  await using child = new Child(program, {
    args,
    onOut: (line) => lines.push(line),
    onErr: (line) => complaints.push(line),
  });
  const said = () => complaints.join("\n");
  const { code } = await withTestDeadline(program, child.ended, said, BULK_DEADLINE_MS);
  if (code !== 0) throw new Error(`${program} exited with ${code}\n${complaints.join("\n")}`);
  return lines;
}
