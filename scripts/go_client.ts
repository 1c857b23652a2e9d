/**
 * `deno task go`: Go's net/http as a client of HTTP/2 and as the upstream, with the real program between them: many
 * requests at one time, uploads with trailers, interim responses, cancelled requests, and a load that goes on through
 * reloads, a failover, an upgrade and the end. It uses the loopback only. Exit code 1 if a request has failed, 2 if a
 * program is missing.
 */
import { assertEquals } from "@std/assert";
import { unusedPort } from "../src/base/testing/ports.ts";
import { writeCertificate } from "../src/net/testing/certificate.ts";
import { linesOf } from "../tests/harness/child.ts";
import type { Folder } from "../tests/harness/folder.ts";
import type { Flags } from "../tests/harness/proxy.ts";
import { type Engine, ENGINES, isInstalled } from "../tests/harness/scenario.ts";
import { withTestDeadline } from "../tests/harness/test_deadline.ts";
import { Upgradable } from "../tests/harness/upgradable.ts";
import { startWebProxy, type WebProxy } from "../tests/harness/web_proxy.ts";

const SOURCE = new URL("./go_client/go_client.go", import.meta.url).pathname;

/** What became of the requests of one command of the client. */
export interface Outcome {
  readonly done: number;
  readonly failed: number;
  /** How many connections it has opened. */
  readonly connections: number;
  readonly goAways: number;
  /** The first few. */
  readonly errors: readonly string[] | null;
}

/** Requests of each command, and how many are under way at one time. */
const WORKS = [
  ["get", 1_000, 50],
  ["upload", 100, 20],
  ["hints", 200, 20],
  ["bulk", 20, 4],
  ["cancel", 500, 50],
] as const;
const LOAD_PARALLEL = 50;

/** One line of the report. */
export function lineOf(what: string, { done, failed, connections, goAways, errors }: Outcome) {
  const line = `${what}: ${done} done, ${failed} failed, ${connections} connections, ` +
    `${goAways} GOAWAY`;
  return [line, ...(errors ?? []).map((error) => `  ${error}`)].join("\n");
}

/** A program of ours in Go, which ends when its stdin does. */
class GoProgram implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #lines: AsyncGenerator<string>;

  constructor(binary: string, args: readonly string[]) {
    this.#process = new Deno.Command(binary, {
      args: [...args],
      env: { GODEBUG: "http2debug=1" },
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#lines = linesOf(this.#process.stdout);
  }

  async line(): Promise<string> {
    const { value } = await withTestDeadline("a line of the Go program", this.#lines.next());
    return value ?? "";
  }

  /** Ends a load, and returns its outcome. */
  async stop(): Promise<Outcome> {
    await this.#process.stdin.close();
    return await this.outcome();
  }

  async outcome(): Promise<Outcome> {
    return JSON.parse(await this.line());
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // It has ended already if it was stopped or killed.
    await this.#process.stdin.close().catch(() => {});
    for await (const _ of this.#lines);
    await this.#process.status;
  }
}

async function upstream(binary: string) {
  const program = new GoProgram(binary, ["serve"]);
  return { program, url: `http://${await program.line()}` };
}

/** How the client reaches the proxy. */
interface Way {
  readonly name: string;
  readonly flags: Flags;
  /** A path, or `-`. */
  readonly ca: string;
}

/** All that is done in one way; true if nothing has failed. */
class Trial {
  isGood = true;
  readonly #binary: string;
  readonly #way: Way;

  constructor(binary: string, way: Way) {
    this.#binary = binary;
    this.#way = way;
  }

  async run(): Promise<void> {
    const { program: first, url } = await upstream(this.#binary);
    await using _first = first;
    const { program: second, url: otherUrl } = await upstream(this.#binary);
    await using _second = second;
    await using it = await Upgradable.start((flags, folder) => this.#start(flags, folder, [url]));
    for (const [command, count, parallel] of WORKS) {
      const args = [`${count}`, `${parallel}`];
      await using client = this.#client(command, it.proxy, args);
      this.#report(`${command}, ${count} by ${parallel}`, await client.outcome());
    }
    await this.#during("two reloads", it.proxy, "mixed", async () => {
      for (const hold of ["20s", "25s"]) {
        await this.#config(it.folder, [url, otherUrl], hold);
        const [status] = await it.control.order("reload");
        assertEquals(status, 200);
      }
    });
    // An upload that the upstream has begun to read is not repeated.
    await this.#during("a failover", it.proxy, "get", async () => {
      const last = it.proxy.events("promotion.finished").at(-1);
      first.kill();
      await it.proxy.event("promotion.finished", {}, last);
    });
    await this.#during("an upgrade", it.proxy, "mixed", async () => {
      const { status, lines } = await it.upgrade();
      assertEquals([status, lines], [200, []]);
    });
    await this.#during("the end of the proxy", it.proxy, "mixed", async (client) => {
      Deno.kill(it.pid, "SIGTERM");
      return await client.outcome();
    });
  }

  async #start(flags: Flags, folder: Folder, upstreams: readonly string[]): Promise<WebProxy> {
    const config = await this.#config(folder, upstreams, "15s");
    const own = { config, "max-body": "10MB", "drain-timeout": "20s" };
    const listen = `127.0.0.1:${unusedPort()}`;
    return await startWebProxy({ listen, flags: { ...flags, ...own, ...this.#way.flags } });
  }

  async #config(folder: Folder, [primary, ...backup]: readonly string[], hold: string) {
    const options = { primary, hold, ...(backup.length === 0 ? {} : { backup }) };
    return await folder.write("go.yaml", JSON.stringify(options));
  }

  #client(command: string, { address }: WebProxy, args: readonly string[]): GoProgram {
    const { ca } = this.#way;
    const url = `${ca === "-" ? "http" : "https"}://localhost:${address.split(":")[1]}`;
    return new GoProgram(this.#binary, [command, url, ca, ...args]);
  }

  /** Lets a load go on while something happens. `act` returns its outcome if it ends by itself. */
  async #during(
    what: string,
    proxy: WebProxy,
    requests: "get" | "mixed",
    act: (client: GoProgram) => Promise<Outcome | void>,
  ): Promise<void> {
    await using client = this.#client("load", proxy, [`${LOAD_PARALLEL}`, requests]);
    assertEquals(await client.line(), "warm", proxy.lastLines());
    const outcome = await act(client);
    this.#report(`load through ${what}`, outcome ?? await client.stop());
  }

  #report(what: string, outcome: Outcome): void {
    console.log(lineOf(`${this.#way.name}: ${what}`, outcome));
    if (outcome.failed > 0 || outcome.done === 0) this.isGood = false;
  }
}

function ways(relay: Engine, certPath: string, keyPath: string): readonly Way[] {
  const tls = { "tls-cert": certPath, "tls-key": keyPath };
  return [
    { name: `${relay}, TLS`, ca: certPath, flags: { relay, ...tls } },
    { name: `${relay}, --h2c`, ca: "-", flags: { relay, h2c: true } },
  ];
}

async function main(): Promise<number> {
  for (const program of ["go", "openssl"]) {
    if (isInstalled(program)) continue;
    console.error(`${program} is not installed`);
    return 2;
  }
  const folder = await Deno.makeTempDir({ prefix: "failover-go-" });
  let isGood = true;
  try {
    const binary = `${folder}/go_client`;
    const build = new Deno.Command("go", { args: ["build", "-o", binary, SOURCE] });
    if (!(await build.spawn().status).success) return 1;
    const { certPath, keyPath } = await writeCertificate(folder);
    for (const way of ENGINES.flatMap((relay) => ways(relay, certPath, keyPath))) {
      const trial = new Trial(binary, way);
      await trial.run();
      isGood &&= trial.isGood;
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  return isGood ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
