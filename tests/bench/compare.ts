/**
 * A comparison of proxies: the same work through each in turn, round after round, so that whatever else
 * the machine does falls on all of them; medians; ratios to one of them in the same run. Only the ratios
 * mean something on a machine that is shared.
 */
import { type Background, missing, run, versionOf } from "./programs.ts";
import { median, number, titleOf } from "./table.ts";
import type { Work } from "./work.ts";

export interface BenchOptions {
  readonly rounds: number;
  /** Length of one measurement. */
  readonly seconds: number;
  readonly only: readonly string[] | undefined;
  readonly proxies: readonly string[] | undefined;
  readonly pin: boolean;
}

/** One proxy in front of one upstream, both on 127.0.0.1. */
export interface RunningProxy {
  readonly name: string;
  readonly port: number;
  readonly program: Background;
}

export interface Contest {
  /** In the order of the table; the first is what the others are compared with, and never left out. */
  readonly proxies: readonly string[];
  /** How the first reads in the head of the table. */
  readonly base: string;
  readonly works: readonly Work[];
  /** Programs it needs; those that tell their version stand above the table. */
  readonly programs: readonly string[];
  /** Starts a proxy; `pinned` is put before its command. Resolves when it listens. */
  start(
    name: string,
    folder: string,
    upstreamPort: number,
    pinned: readonly string[],
  ): Promise<RunningProxy>;
}

interface Result {
  readonly rate: number;
  readonly cpuPerUnit: number;
}

/** Where the proxy runs and where the load does, as beginnings of their commands. */
export function pins(pin: boolean): { readonly proxy: string[]; readonly load: string[] } {
  if (!pin) return { proxy: [], load: [] };
  const others = navigator.hardwareConcurrency > 2 ? `1-${navigator.hardwareConcurrency - 1}` : "1";
  return { proxy: ["taskset", "-c", "0"], load: ["taskset", "-c", others] };
}

/** Runs the comparison in `folder` and prints its table. False if it could not run. */
export async function compare(
  contest: Contest,
  options: BenchOptions,
  folder: string,
): Promise<boolean> {
  const { programs, proxies } = contest;
  const lacking = await missing([...programs, ...(options.pin ? ["taskset"] : [])]);
  if (lacking.length > 0) {
    lacking.forEach((line) => console.error(line));
    return false;
  }
  const works = contest.works.filter(({ name }) => options.only?.includes(name) ?? true);
  const names = chosen(proxies, options);
  await printHeader(contest, options);
  if (works.length === 0) return true;
  console.log(`| work | proxy | rate | × ${contest.base} | CPU | × ${contest.base} |`);
  console.log("| --- | --- | ---: | ---: | ---: | ---: |");
  for (const work of works) {
    printRows(contest, work, await measure(contest, work, names, folder, options));
  }
  return true;
}

/** The proxies that take part; the first always does. */
export function chosen(proxies: readonly string[], options: BenchOptions): string[] {
  return proxies.filter((name, i) => i === 0 || (options.proxies?.includes(name) ?? true));
}

async function measure(
  { start }: Contest,
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
  const rows = new Map<string, Result[]>(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const { name, port, program } of running) {
      const before = program.cpuSeconds();
      const { rate, units } = await work.ask(port, seconds, pinned.load);
      const cpuPerUnit = (program.cpuSeconds() - before) / units;
      rows.get(name)!.push({ rate, cpuPerUnit });
    }
  }
  return new Map([...rows].map(([name, results]) => [name, {
    rate: median(results.map((result) => result.rate)),
    cpuPerUnit: median(results.map((result) => result.cpuPerUnit)),
  }]));
}

async function printHeader(
  { programs }: Contest,
  { rounds, seconds, pin }: BenchOptions,
): Promise<void> {
  const model = /model name\s*:\s*(.*)/.exec(await Deno.readTextFile("/proc/cpuinfo"))?.[1];
  const kernel = (await run("uname", ["-r"])).trim();
  const versions = await Promise.all(programs.map(
    async (name) => `${name} ${await versionOf(name)}`,
  ));
  console.log(`\`deno task bench ${Deno.args.join(" ")}\``);
  console.log(
    `${navigator.hardwareConcurrency} × ${model ?? Deno.build.arch}, Linux ${kernel}, ` +
      `Deno ${Deno.version.deno}, ${versions.join(", ")}; loopback; ` +
      `medians of ${rounds} interleaved rounds of ${seconds} s; ` +
      `${pin ? "the proxy alone on one core" : "proxy, load and upstream share the cores"}\n`,
  );
}

function printRows(
  { proxies }: Contest,
  work: Work,
  results: ReadonlyMap<string, Result>,
): void {
  const base = results.get(proxies[0]!)!;
  for (const [name, { rate, cpuPerUnit }] of results) {
    const cells = [
      name === proxies[0] ? work.title : "",
      titleOf(name),
      `${number(rate)} ${work.rateUnit}`,
      (rate / base.rate).toFixed(2),
      `${number(cpuPerUnit * work.cpuScale)} ${work.cpuUnit}`,
      (cpuPerUnit / base.cpuPerUnit).toFixed(2),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}
