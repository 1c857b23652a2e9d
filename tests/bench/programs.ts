/** Programs of a benchmark: which are missing, starting and ending them, and the CPU time and memory they took. */

/** Debian's package for each program. */
const PACKAGES: Readonly<Record<string, string>> = {
  haproxy: "haproxy",
  nginx: "nginx libnginx-mod-stream",
  wrk: "wrk",
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

/** Runs a program to its end and gives back all it printed. */
export async function run(program: string, args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await new Deno.Command(program, { args: [...args] }).output();
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

/** The first version number a program tells of itself. */
export async function versionOf(program: string): Promise<string> {
  return /\d+\.\d+(\.\d+)?/.exec(await run(program, ["-v"]))?.[0] ?? "?";
}

/** A program in the background. */
export class Background implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;

  /** `quiet` drops what it complains of: iperf3 does of each connection that is only a test. */
  constructor(command: readonly string[], quiet = false) {
    const [program, ...args] = command;
    const stderr = quiet ? "null" : "inherit";
    this.#child = new Deno.Command(program!, { args, stdout: "null", stderr }).spawn();
  }

  /** Seconds of CPU, user and system, of this process and all under it. */
  cpuSeconds(): number {
    const ticks = tree(this.#child.pid).map(({ ticks }) => ticks);
    return ticks.reduce((sum, each) => sum + each, 0) / TICKS_PER_SECOND;
  }

  /** Memory resident now, of this process and all under it. */
  residentBytes(): number {
    const sizes = tree(this.#child.pid).map(({ pid }) => {
      // `status` has it too, but lags behind (proc(5)).
      const rollup = Deno.readTextFileSync(`/proc/${pid}/smaps_rollup`);
      return Number(/^Rss:\s+(\d+) kB/m.exec(rollup)?.[1]) * 1024;
    });
    return sizes.reduce((sum, each) => sum + each, 0);
  }

  /** The most memory, in bytes, that each of them ever held (VmHWM, proc(5)), added up. */
  peakBytes(): number {
    return tree(this.#child.pid).reduce((sum, { pid }) => sum + peakOf(pid), 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#child.status;
  }
}

/** USER_HZ, which Linux shows to programs on every machine (proc(5), time(7)). */
const TICKS_PER_SECOND = 100;

/** 0 if the process has ended. */
function peakOf(pid: number): number {
  try {
    const status = Deno.readTextFileSync(`/proc/${pid}/status`);
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
}

/** A process and all under it. */
function tree(root: number): Stat[] {
  const stats = new Map<number, Stat>();
  for (const entry of Deno.readDirSync("/proc")) {
    const stat = /^\d+$/.test(entry.name) ? statOf(Number(entry.name)) : undefined;
    if (stat !== undefined) stats.set(stat.pid, stat);
  }
  const isUnder = (pid: number): boolean =>
    pid === root || (pid !== 0 && isUnder(stats.get(pid)?.parent ?? 0));
  return [...stats.values()].filter(({ pid }) => isUnder(pid));
}

/** Parent, and utime + stime of all threads (proc(5)); undefined if the process has ended. */
function statOf(pid: number): Stat | undefined {
  let text: string;
  try {
    text = Deno.readTextFileSync(`/proc/${pid}/stat`);
  } catch {
    return undefined; // it ended between listing and reading
  }
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { pid, parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) };
}

/** A port that was free a moment ago. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

/** Waits until something listens there, without a connection: iperf3 would take that for a test. */
export async function answers(port: number): Promise<void> {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const listens = new RegExp(`:${hex} [0-9A-F]+:0000 0A `); // state TCP_LISTEN, proc(5)
  for (let attempt = 0; attempt < 200; attempt++) {
    const tables = [
      Deno.readTextFileSync("/proc/net/tcp"),
      Deno.readTextFileSync("/proc/net/tcp6"),
    ];
    if (tables.some((table) => listens.test(table))) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`Nothing listens on port ${port} after ten seconds`);
}
