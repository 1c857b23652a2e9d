/**
 * Shows in a few seconds what `failover` does: two small upstreams, the real proxy in front of them, clients
 * that send requests all the time, and a primary that is killed and comes back. Upstreams and proxy are
 * separate processes, and lines marked `failover |` are the proxy's real log. The exit code is 0 only if no
 * request failed. With `--stay` it then continues until Ctrl-C, for experiments by hand.
 *
 * A request here is a connection on which the upstream sends its name. The upstream sends first, so a client
 * that is connected when the primary is killed has not received a partial answer, and the proxy can move it.
 */
import { deadline } from "@std/async/deadline";
import { Child } from "../tests/harness/child.ts";
import { EXECUTABLE } from "../tests/harness/proxy.ts";
import { startUpstream, type UpstreamProcess } from "../tests/harness/upstream.ts";
import { LineConn } from "../tests/harness/line_conn.ts";
import { unusedPort } from "../src/base/testing/ports.ts";

const CLIENTS = 10;
const PAUSE_MS = 20;
const ACT_MS = 2_000;
const DEMO_MAX_MS = 25_000;

/** Clients that connect, read the name of the upstream and start again, and the results. */
class Traffic {
  readonly served = new Map<string, number>();
  readonly failures: string[] = [];
  longestMs = 0;
  #stop = false;
  readonly #clients: readonly Promise<void>[];

  constructor(readonly port: number) {
    this.#clients = Array.from({ length: CLIENTS }, () => this.#client());
  }

  async #client(): Promise<void> {
    while (!this.#stop) {
      const start = performance.now();
      try {
        const name = await request(this.port);
        this.served.set(name, (this.served.get(name) ?? 0) + 1);
        this.longestMs = Math.max(this.longestMs, performance.now() - start);
      } catch (error) {
        this.failures.push(String(error));
      }
      await pause(PAUSE_MS);
    }
  }

  /** Resolves when a client has been served by `name` after this call. */
  async servedBy(name: string): Promise<void> {
    const before = this.served.get(name) ?? 0;
    while (!this.#stop && (this.served.get(name) ?? 0) === before) await pause(PAUSE_MS);
  }

  async stop(): Promise<void> {
    this.#stop = true;
    await Promise.all(this.#clients);
  }
}

async function request(port: number): Promise<string> {
  const conn = new LineConn(await Deno.connect({ hostname: "127.0.0.1", port }));
  try {
    const name = await conn.line();
    if (name === undefined) throw new Error("closed without an answer");
    return name;
  } finally {
    conn.close();
  }
}

/** Waits for the first answer, as the proxy needs a moment to start. */
async function untilOpen(port: number): Promise<void> {
  for (;;) {
    try {
      return void await request(port);
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
      await pause(PAUSE_MS);
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function say(line: string): void {
  console.log(line);
}

/** Kill, failover, return and failback, with traffic throughout. */
async function narrate(traffic: Traffic, primary: UpstreamProcess): Promise<void> {
  say(`\n${CLIENTS} clients ask again and again …`);
  await pause(ACT_MS);
  say(`\nkill -9 ${primary.pid}: the primary dies in the middle of it`);
  await primary.kill();
  await traffic.servedBy("backup");
  await pause(ACT_MS);
  say("\nthe primary is started again");
  await primary.restart();
  await traffic.servedBy("primary");
  await pause(ACT_MS);
}

function report({ served, failures, longestMs }: Traffic): void {
  const total = [...served.values()].reduce((sum, count) => sum + count, 0);
  const shares = [...served].map(([name, count]) => `${count} by the ${name}`);
  say("\nWhat clients saw:");
  say(`  requests served: ${total} (${shares.join(", ")})`);
  say(`  failed: ${failures.length}`);
  say(`  longest wait: ${Math.round(longestMs)} ms`);
  for (const failure of new Set(failures)) say(`  failure: ${failure}`);
}

async function stay(port: number, primary: UpstreamProcess): Promise<void> {
  say(`\nIt goes on until Ctrl-C. Talk to it:   nc 127.0.0.1 ${port}`);
  say(`Kill the primary:                      kill -9 ${primary.pid}`);
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      Deno.addSignalListener(signal, () => resolve());
    }
  });
}

async function main(): Promise<number> {
  await using primary = await startUpstream({ says: "primary", greets: true });
  await using backup = await startUpstream({ says: "backup", greets: true });
  const port = unusedPort();
  const args = [
    ...["--bind", `127.0.0.1:${port}`, "--hosts", `${primary.name},${backup.name}`],
    ...["--failback", "auto"],
  ];
  say(`$ failover ${args.join(" ")}`);
  await using proxy = new Child(Deno.execPath(), {
    args: [...EXECUTABLE, ...args],
    onErr: (line) => say(`  failover | ${line}`),
  });
  await deadline(untilOpen(port), DEMO_MAX_MS);

  const traffic = new Traffic(port);
  try {
    await deadline(narrate(traffic, primary), DEMO_MAX_MS);
  } finally {
    await traffic.stop();
  }
  report(traffic);
  if (Deno.args.includes("--stay")) await stay(port, primary);
  proxy.signal("SIGTERM");
  await deadline(proxy.ended, DEMO_MAX_MS);
  return traffic.failures.length === 0 ? 0 : 1;
}

Deno.exit(await main());
