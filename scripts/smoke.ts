/**
 * `deno task smoke [COMMAND [ARGUMENT…]]` tests whether this executable, by default the program from source,
 * works on this machine. It must print its version, do one failover in TCP mode and one in HTTP mode without
 * failing a client, and end on request. Prints one line for each step; the exit code is 0 only if all
 * succeed.
 *
 * The upstreams are in this process, so only the executable is needed.
 */
import { deadline } from "@std/async/deadline";
import { EXECUTABLE } from "../tests/harness/proxy.ts";
import { Child } from "../tests/harness/child.ts";
import { unusedPort } from "../src/base/testing/ports.ts";
import { untilRefused } from "../src/net/testing/refused.ts";
import { acceptedBy } from "../tests/harness/accepted.ts";

const STEP_MAX_MS = 20_000;
const PAUSE_MS = 20;
/** The number of clients that connect at the same time after the primary is gone. */
const CLIENTS = 20;
const QUICK = ["--json-logs", "--check-interval", "200ms"];

const EXPECTED_ENGINE = Deno.build.os === "linux" ? "splice" : "stream";

interface Upstream {
  readonly port: number;
  /** Resolves when nobody listens there any more. May be repeated. */
  stop(): Promise<void>;
}

/** One mode as a client sees it. */
interface Mode {
  readonly name: string;
  serve(says: string): Upstream;
  flags(listen: string, primary: number, backup: number): readonly string[];
  /** Resolves with the name of the upstream that answered; rejects if none did. */
  ask(port: number): Promise<string>;
}

const TCP: Mode = {
  name: "TCP mode",
  serve(says) {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const accepting = (async () => {
      for await (const conn of acceptedBy(listener)) {
        // Checks connect and close, before or after the name is written.
        conn.write(new TextEncoder().encode(says)).catch(() => {}).finally(() => conn.close());
      }
    })();
    const { port } = listener.addr as Deno.NetAddr;
    let isStopped = false;
    return {
      port,
      async stop() {
        if (isStopped) return;
        isStopped = true;
        listener.close();
        await accepting;
        await untilRefused(port);
      },
    };
  },
  flags: (listen, primary, backup) => [
    ...["--bind", listen, "--hosts", `127.0.0.1:${primary},127.0.0.1:${backup}`],
  ],
  async ask(port) {
    using conn = await Deno.connect({ hostname: "127.0.0.1", port });
    const buffer = new Uint8Array(64);
    const count = await conn.read(buffer);
    if (count === null) throw new Error("closed without an answer");
    return new TextDecoder().decode(buffer.subarray(0, count));
  },
};

const HTTP: Mode = {
  name: "HTTP mode",
  serve(says) {
    const options = { hostname: "127.0.0.1", port: 0, onListen() {} };
    const server = Deno.serve(options, () => new Response(says));
    const { port } = server.addr;
    return { port, stop: () => server.shutdown().then(() => untilRefused(port)) };
  },
  flags: (listen, primary, backup) => [
    ...["--listen", listen, "--primary", `http://127.0.0.1:${primary}`],
    ...["--backup", `http://127.0.0.1:${backup}`],
  ],
  async ask(port) {
    // Each client uses a new connection, so that no failure is hidden.
    using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
    const response = await fetch(`http://127.0.0.1:${port}/`, { client });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`status ${response.status}: ${text}`);
    return text;
  },
};

export const MODES = { tcp: TCP, http: HTTP };

/**
 * Runs one failover in one mode. Resolves with the result in one line; rejects with the cause and the
 * log.
 */
export async function failover(command: readonly string[], mode: Mode): Promise<string> {
  const [program, ...args] = command;
  const [primary, backup] = [mode.serve("primary"), mode.serve("backup")];
  const port = unusedPort();
  const log: string[] = [];
  const flags = mode.flags(`127.0.0.1:${port}`, primary.port, backup.port);
  await using child = new Child(program!, {
    args: [...args, ...QUICK, ...flags],
    onErr: (line) => log.push(line),
  });
  try {
    await within("the proxy to accept", until(() => mode.ask(port), child));
    const before = await within("an answer", mode.ask(port));
    if (before !== "primary") throw new Error(`the primary is up, but ${before} answered`);
    await primary.stop();
    const start = performance.now();
    const asking = Array.from({ length: CLIENTS }, () => mode.ask(port));
    const answers = await within("the backup to answer", Promise.all(asking));
    const others = answers.filter((answer) => answer !== "backup");
    if (others.length > 0) throw new Error(`the primary is gone, but ${others[0]} answered`);
    const tookMs = Math.round(performance.now() - start);
    await end(child);
    const engine = /"event":"relay.chosen".*?"engine":"(\w+)"/.exec(log.join("\n"))?.[1];
    // An executable without permission to call the C library would use the other engine unnoticed.
    if (mode === TCP && engine !== EXPECTED_ENGINE) {
      throw new Error(`the relay engine is ${engine}, not ${EXPECTED_ENGINE}`);
    }
    const how = engine === undefined ? "" : `, relay engine ${engine}`;
    return `${mode.name}: failed over, ${CLIENTS} clients were served in ${tookMs} ms${how}`;
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new Error(`${mode.name}: ${what}\n${log.join("\n")}`, { cause: error });
  } finally {
    await Promise.allSettled([primary.stop(), backup.stop()]);
  }
}

/** Windows has no way to ask a process in the background to end. */
async function end(child: Child): Promise<void> {
  if (Deno.build.os === "windows") return;
  child.signal("SIGTERM");
  const { code } = await within("it to end", child.ended);
  if (code !== 0) throw new Error(`it ended with exit code ${code} on request`);
}

/** Repeats the request until an upstream answers. Only a port that is still closed is tolerated. */
async function until(ask: () => Promise<string>, child: Child): Promise<void> {
  for (;;) {
    try {
      return void await ask();
    } catch (error) {
      if (child.hasEnded) {
        await child.ended; // and all that it has said was read
        throw new Error("it ended by itself", { cause: error });
      }
    }
    await pause(PAUSE_MS);
  }
}

async function within<T>(what: string, promise: Promise<T>): Promise<T> {
  try {
    return await deadline(promise, STEP_MAX_MS);
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    throw new Error(`waited ${STEP_MAX_MS / 1_000} s for ${what}`, { cause: error });
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The output of `--version`. */
export async function versionOf(command: readonly string[]): Promise<string> {
  const [program, ...args] = command;
  const { success, stdout } = await new Deno.Command(program!, { args: [...args, "--version"] })
    .output();
  const text = new TextDecoder().decode(stdout).trim();
  if (!success || !/^failover \d+\.\d+\.\d+ \(.+\)$/.test(text)) {
    throw new Error(`--version says ${JSON.stringify(text)}`);
  }
  return text;
}

/** The program from source, as it is run in tests. */
export const FROM_SOURCE: readonly string[] = [Deno.execPath(), ...EXECUTABLE];

async function main(args: readonly string[]): Promise<number> {
  const command = args.length === 0 ? FROM_SOURCE : args;
  try {
    console.log(await versionOf(command));
    for (const mode of Object.values(MODES)) console.log(await failover(command, mode));
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
