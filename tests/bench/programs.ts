/** Programs of a benchmark: finds missing ones, starts and ends them. */
import { type CpuTime, cpuTime } from "./processes.ts";
import { pause } from "./table.ts";

/** Debian's package for each program. */
const PACKAGES: Readonly<Record<string, string>> = {
  haproxy: "haproxy",
  nginx: "nginx libnginx-mod-stream",
  wrk: "wrk",
  h2load: "nghttp2-client",
  iperf3: "iperf3",
  taskset: "util-linux",
};

/** The programs that cannot be started, each with the package that has it. */
export async function missing(programs: readonly string[]): Promise<string[]> {
  const lines: string[] = [];
  for (const program of programs) {
    try {
      await run(program, ["-v"]);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      lines.push(`${program} is not installed (Debian: apt install ${PACKAGES[program]})`);
    }
  }
  return lines;
}

/** Runs a program to its end and returns its output. */
export async function run(program: string, args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await new Deno.Command(program, { args: [...args] }).output();
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

/** The first version number in the output of a program. */
export async function versionOf(program: string): Promise<string> {
  const option = program === "h2load" ? "--version" : "-v";
  return /\d+\.\d+(\.\d+)?/.exec(await run(program, [option]))?.[0] ?? "?";
}

/** How long a program may take to end by itself. */
const TERM_MS = 3_000;

/** A program in the background. */
export class Background implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;

  /**
   * `quiet` drops its error output. iperf3 reports each connection that is only a test, and a proxy with more
   * services than it can start reports each of them.
   */
  constructor(command: readonly string[], quiet = false) {
    const [program, ...args] = command;
    const stderr = quiet ? "null" : "inherit";
    this.#child = new Deno.Command(program!, { args, stdout: "null", stderr }).spawn();
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Resolves when it has ended. */
  get ended(): Promise<Deno.CommandStatus> {
    return this.#child.status;
  }

  /** CPU time of this process and its descendants. */
  cpuTime(): CpuTime {
    return cpuTime(this.#child.pid);
  }

  /** Ends the program, by force if it takes longer than `TERM_MS`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal("SIGTERM");
    const timer = setTimeout(() => this.#signal("SIGKILL"), TERM_MS);
    await this.#child.status;
    clearTimeout(timer);
  }

  #signal(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it has ended by itself
    }
  }
}

/** A port that was free a moment ago. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

/** Waits until something listens there, without connecting: iperf3 would take a connection for a test. */
export async function answers(port: number): Promise<void> {
  if (!await listens(port, 1, 10_000)) {
    throw new Error(`Nothing listens on port ${port} after ten seconds`);
  }
}

/** Whether `count` addresses listen on `port` within `timeoutMs`. */
export async function listens(port: number, count: number, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const table = listening("/proc/net/tcp") + listening("/proc/net/tcp6");
    if (listeners(table, port) >= count) return true;
    if (performance.now() > deadline) return false;
    await pause(10);
  }
}

/**
 * The beginning of a table of sockets, with all that listen: the kernel shows them before the others, of
 * which there may be hundreds of thousands after a benchmark with short connections.
 */
function listening(path: string): string {
  using file = Deno.openSync(path);
  const buffer = new Uint8Array(65_536);
  let text = "";
  for (;;) {
    const count = file.readSync(buffer);
    if (count === null) return text;
    text += new TextDecoder().decode(buffer.subarray(0, count));
    if (/:[0-9A-F]{4} (?!0A )[0-9A-F]{2} /.test(text)) return text;
  }
}

/** How many different addresses listen on `port` according to a table of sockets (`/proc/net/tcp`, proc(5)). */
export function listeners(table: string, port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const isListening = new RegExp(`\\d+: ([0-9A-F]+):${hex} [0-9A-F]+:0000 0A `, "g"); // state TCP_LISTEN
  return new Set([...table.matchAll(isListening)].map(([, address]) => address)).size;
}
