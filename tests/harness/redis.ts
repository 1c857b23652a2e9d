/** A Redis server of Debian's packages that keeps nothing on disk, in a separate process. */
import { unusedPort } from "../../src/base/testing/ports.ts";
import { Child } from "./child.ts";
import { withTestDeadline } from "./test_deadline.ts";
import type { Named } from "./upstream.ts";

/** What a test needs that uses it. */
export const REDIS_NEEDS = ["redis-server", "redis-cli"];

export class Redis implements Named, AsyncDisposable {
  readonly port = unusedPort();
  readonly name = `127.0.0.1:${this.port}`;
  /** What it wrote to its log. */
  readonly log: string[] = [];
  readonly #folder: string;
  readonly #settings: readonly string[];
  #child: Child | undefined;

  private constructor(folder: string, settings: readonly string[]) {
    this.#folder = folder;
    this.#settings = settings;
  }

  /** A server that accepts connections. `settings` are further arguments. */
  static async make(folder: string, settings: readonly string[] = []): Promise<Redis> {
    const server = new Redis(folder, settings);
    await server.start();
    return server;
  }

  /** A server on the data in `folder`; resolves when it answers, also if it still loads them. */
  static async unready(folder: string, settings: readonly string[]): Promise<Redis> {
    const server = new Redis(folder, settings);
    await server.start("Server initialized");
    return server;
  }

  /** A replica of `master` that has all of its data. */
  static async replica(
    folder: string,
    master: Redis,
    settings: readonly string[] = [],
  ): Promise<Redis> {
    const of = ["--replicaof", "127.0.0.1", String(master.port)];
    const server = await Redis.make(folder, [...of, ...settings]);
    await server.says("MASTER <-> REPLICA sync: Finished with success");
    return server;
  }

  /** Starts it; resolves when it takes connections, or when it logs this text. */
  async start(until = "Ready to accept connections"): Promise<void> {
    this.log.length = 0;
    const quick = ["--save", "", "--repl-diskless-sync-delay", "0"];
    const place = ["--port", String(this.port), "--bind", "127.0.0.1", "--dir", this.#folder];
    this.#child = new Child("redis-server", {
      args: [...place, ...quick, ...this.#settings],
      onOut: (line) => {
        this.log.push(line);
        for (const wake of this.#waiting.splice(0)) wake();
      },
    });
    await this.says(until);
  }

  readonly #waiting: (() => void)[] = [];

  /** Resolves when a line of its log contains `text`. */
  async says(text: string): Promise<void> {
    const heard = async () => {
      while (!this.log.some((line) => line.includes(text))) {
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    };
    await withTestDeadline(`redis to say "${text}"`, heard(), () => this.log.join("\n"));
  }

  /** Runs one command by redis-cli; resolves with its output. */
  async command(...words: readonly string[]): Promise<string> {
    const lines: string[] = [];
    await using child = new Child("redis-cli", {
      args: ["-p", String(this.port), "--no-auth-warning", ...words],
      onOut: (line) => lines.push(line),
    });
    await withTestDeadline(`redis-cli ${words.join(" ")}`, child.ended);
    return lines.join("\n");
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
