/**
 * A comparison of proxies: the same work through each in turn, round after round, so that other load
 * of the machine affects all of them; medians; ratios to one of them in the same run. On a shared machine only
 * the ratios are meaningful.
 */
import { type Background, missing, run, versionOf } from "./programs.ts";
import { type CpuTime, type ThreadTime, threadTimes } from "./processes.ts";
import { head, median, number, row, titleOf } from "./table.ts";
import type { Work } from "./work.ts";

/** Threads of one proxy in the table: the busiest. Deno has some that are nearly idle. */
const THREADS_SHOWN = 4;

export interface BenchOptions {
  readonly rounds: number;
  /** Length of one measurement. */
  readonly seconds: number;
  readonly only: readonly string[] | undefined;
  readonly proxies: readonly string[] | undefined;
  readonly pin: boolean;
  /** Also prints the CPU time of each thread of a proxy. */
  readonly threads: boolean;
}

/** One proxy in front of one upstream, both on 127.0.0.1. */
export interface RunningProxy {
  readonly name: string;
  readonly port: number;
  readonly program: Background;
}

export interface Comparison {
  /** In the order of the table; the first is what the others are compared with, and never left out. */
  readonly proxies: readonly string[];
  /** How the first is named in the head of the table. */
  readonly base: string;
  readonly works: readonly Work[];
  /** Programs it needs; those with a version number are listed above the table. */
  readonly programs: readonly string[];
  /** Starts a proxy; `pinned` is put before its command. Resolves when it listens. */
  start(
    name: string,
    folder: string,
    upstreamPort: number,
    pinned: readonly string[],
  ): Promise<RunningProxy>;
}

/** Medians of the measurements of one proxy; CPU time in seconds for one unit of work. */
export interface Result {
  readonly rate: number;
  readonly user: number;
  readonly system: number;
  /** Of each thread that worked, in the last round; the busiest first. */
  readonly threads: readonly ThreadTime[];
}

/** Where the proxy runs and where the load does, as beginnings of their commands. */
export function pins(pin: boolean): { readonly proxy: string[]; readonly load: string[] } {
  if (!pin) return { proxy: [], load: [] };
  const others = navigator.hardwareConcurrency > 2 ? `1-${navigator.hardwareConcurrency - 1}` : "1";
  return { proxy: ["taskset", "-c", "0"], load: ["taskset", "-c", others] };
}

/** Runs the comparison in `folder` and prints its table. False if it could not run. */
export async function compare(
  contest: Comparison,
  options: BenchOptions,
  folder: string,
): Promise<boolean> {
  if (!await isComplete(contest.programs, options)) return false;
  const works = contest.works.filter(({ name }) => options.only?.includes(name) ?? true);
  const names = chosen(contest.proxies, options);
  await printHeader(contest.programs, options);
  if (works.length === 0) return true;
  const { base } = contest;
  console.log(
    head(["work", "proxy", ">rate", `>× ${base}`, ">CPU", `>× ${base}`, ">user", ">system"]),
  );
  for (const work of works) {
    const results = await measure(contest, work, names, folder, options);
    printRows(contest, work, results, options.threads);
  }
  return true;
}

/** Whether all programs can be started; says which cannot. */
export async function isComplete(programs: readonly string[], options: BenchOptions) {
  const lacking = await missing([...programs, ...(options.pin ? ["taskset"] : [])]);
  lacking.forEach((line) => console.error(line));
  return lacking.length === 0;
}

/** The proxies that take part; the first always does. */
export function chosen(proxies: readonly string[], options: BenchOptions): string[] {
  return proxies.filter((name, i) => i === 0 || (options.proxies?.includes(name) ?? true));
}

/** Lets each proxy do `work`, in turn, round after round. */
export async function measure(
  { start }: Pick<Comparison, "start">,
  work: Work,
  names: readonly string[],
  folder: string,
  { rounds, seconds, pin }: BenchOptions,
): Promise<Map<string, Result>> {
  const pinned = pins(pin);
  await using stack = new AsyncDisposableStack();
  const upstream = await work.serve(folder, pinned.load);
  stack.use(upstream.program);
  const running: RunningProxy[] = [];
  for (const name of names) {
    const proxy = await start(name, folder, upstream.port, pinned.proxy);
    stack.use(proxy.program);
    running.push(proxy);
    await work.ask(proxy.port, 1, pinned.load); // warms up code and caches
  }
  const results = new Map<string, Result[]>(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const { name, port, program } of running) {
      const threadsBefore = threadTimes(program.pid);
      const before = program.cpuTime();
      const { rate, units } = await work.ask(port, seconds, pinned.load);
      const { user, system } = program.cpuTime();
      results.get(name)!.push({
        rate,
        user: (user - before.user) / units,
        system: (system - before.system) / units,
        threads: perUnit(threadsBefore, threadTimes(program.pid), units),
      });
    }
  }
  return new Map([...results].map(([name, all]) => [name, {
    rate: median(all.map(({ rate }) => rate)),
    ...medianTime(all),
    threads: all.at(-1)!.threads,
  }]));
}

/** User and system time of the round whose sum is the median, so that the parts add up to it. */
function medianTime(all: readonly Result[]): Pick<Result, "user" | "system"> {
  const sorted = all.toSorted((a, b) => a.user + a.system - b.user - b.system);
  const { user, system } = sorted[sorted.length >> 1]!;
  return { user, system };
}

/** The CPU time of each thread between two readings, for one unit of work; idle threads are left out. */
export function perUnit(
  before: readonly ThreadTime[],
  after: readonly ThreadTime[],
  units: number,
): ThreadTime[] {
  const earlier = new Map(before.map((thread) => [thread.id, thread]));
  return after.map(({ id, name, user, system }) => ({
    id,
    name,
    user: (user - (earlier.get(id)?.user ?? 0)) / units,
    system: (system - (earlier.get(id)?.system ?? 0)) / units,
  })).filter(({ user, system }) => user + system > 0)
    .toSorted((a, b) => b.user + b.system - a.user - a.system);
}

/** Prints the machine and the settings of the measurement. */
export async function printHeader(
  programs: readonly string[],
  { rounds, seconds, pin }: BenchOptions,
): Promise<void> {
  const model = /model name\s*:\s*(.*)/.exec(await Deno.readTextFile("/proc/cpuinfo"))?.[1];
  const kernel = (await run("uname", ["-r"])).trim();
  const congestion = await Deno.readTextFile("/proc/sys/net/ipv4/tcp_congestion_control");
  const versions = await Promise.all(programs.map(
    async (name) => `${name} ${await versionOf(name)}`,
  ));
  console.log(`\`deno task bench ${Deno.args.join(" ")}\``);
  console.log(
    `${navigator.hardwareConcurrency} × ${model ?? Deno.build.arch}, Linux ${kernel}, ` +
      `Deno ${Deno.version.deno}, ${versions.join(", ")}; loopback, ${congestion.trim()}; ` +
      `medians of ${rounds} interleaved rounds of ${seconds} s; ` +
      `${pin ? "the proxy alone on one core" : "proxy, load and upstream share the cores"}\n`,
  );
}

function printRows(
  { proxies }: Comparison,
  work: Work,
  results: ReadonlyMap<string, Result>,
  threads: boolean,
): void {
  const base = results.get(proxies[0]!)!;
  const cpu = ({ user, system }: CpuTime) => user + system;
  const cost = (seconds: number) => `${number(seconds * work.cpuScale)} ${work.cpuUnit}`;
  const parts = ({ user, system }: CpuTime) =>
    [user, system].map((seconds) => number(seconds * work.cpuScale));
  for (const [name, result] of results) {
    console.log(row([
      name === proxies[0] ? work.title : "",
      titleOf(name),
      `${number(result.rate)} ${work.rateUnit}`,
      (result.rate / base.rate).toFixed(2),
      cost(cpu(result)),
      (cpu(result) / cpu(base)).toFixed(2),
      ...parts(result),
    ]));
    for (const thread of threads ? result.threads.slice(0, THREADS_SHOWN) : []) {
      console.log(
        row(["", `thread ${thread.name}`, "", "", cost(cpu(thread)), "", ...parts(thread)]),
      );
    }
  }
}
