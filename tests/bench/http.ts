/**
 * The HTTP benchmark: HTTP mode compared with nginx and HAProxy as HTTP proxies with one thread each. In
 * addition to rates it prints the latency that each adds, and the memory that a large transfer costs.
 */
import { type BenchOptions, chosen, compare, pins, type RunningProxy } from "./compare.ts";
import { HTTP_PROXIES, startHttpProxy } from "./http_proxies.ts";
import { HTTP_TRAITS } from "./latency.ts";
import { peakBytes } from "./processes.ts";
import { run } from "./programs.ts";
import { median, number } from "./table.ts";
import { printTraits } from "./traits.ts";
import { benchFolder, connect50, requests, serveFolder, small50, type Work } from "./work.ts";

const LARGE = "large.bin";
const LARGE_BYTES = 2 ** 20;
const HUGE = "huge.bin";
const HUGE_BYTES = 2 ** 31;
/** Few enough that no request waits for long. */
const CALM_CONNECTIONS = 4;

const WORKS: readonly Work[] = [
  { ...small50, name: "small" },
  requests("large", "responses of 1 MB, 16 kept connections", 16, true, `/${LARGE}`),
  connect50,
];
export const HTTP_WORKS = [
  ...[...WORKS, ...HTTP_TRAITS].map(({ name }) => name),
  ...["latency", "memory"],
];

/** Runs the benchmark and prints its tables. False if it could not run. */
export async function benchHttp(options: BenchOptions): Promise<boolean> {
  await using temporary = await benchFolder();
  const folder = temporary.path;
  await Deno.writeFile(`${folder}/${LARGE}`, new Uint8Array(LARGE_BYTES));
  await Deno.writeFile(`${folder}/${HUGE}`, new Uint8Array(0));
  await Deno.truncate(`${folder}/${HUGE}`, HUGE_BYTES);
  const programs = ["haproxy", "nginx", "wrk"];
  const start = startHttpProxy;
  const contest = { proxies: HTTP_PROXIES, base: "HAProxy", works: WORKS, programs, start };
  if (!await compare(contest, options, folder)) return false;
  await printTraits(HTTP_TRAITS, HTTP_PROXIES, start, folder, options);
  if (options.only?.includes("latency") ?? true) await printLatency(folder, options);
  if (options.only?.includes("memory") ?? true) await printMemory(folder, options);
  return true;
}

/** Runs `use` with an upstream and the proxies, and ends them afterwards. */
async function withAll(
  folder: string,
  options: BenchOptions,
  use: (upstreamPort: number, running: readonly RunningProxy[]) => Promise<void>,
): Promise<void> {
  const pinned = pins(options.pin);
  await using stack = new AsyncDisposableStack();
  const upstream = await serveFolder(folder, pinned.load);
  stack.use(upstream.program);
  const running: RunningProxy[] = [];
  for (const name of chosen(HTTP_PROXIES, options)) {
    const proxy = await startHttpProxy(name, folder, upstream.port, pinned.proxy);
    stack.use(proxy.program);
    running.push(proxy);
  }
  await use(upstream.port, running);
}

/** Percentiles of a few clients, minus those of the upstream itself in the same round. */
async function printLatency(folder: string, options: BenchOptions): Promise<void> {
  const { rounds, seconds, pin } = options;
  const load = pins(pin).load;
  await withAll(folder, options, async (upstreamPort, running) => {
    const added = new Map<string, { p50: number[]; p99: number[] }>();
    for (const { name, port } of running) {
      added.set(name, { p50: [], p99: [] });
      await latency(port, 1, load); // warms up
    }
    for (let round = 0; round < rounds; round++) {
      const direct = await latency(upstreamPort, seconds, load);
      for (const { name, port } of running) {
        const through = await latency(port, seconds, load);
        added.get(name)!.p50.push(through.p50 - direct.p50);
        added.get(name)!.p99.push(through.p99 - direct.p99);
      }
    }
    console.log(`\n| ${CALM_CONNECTIONS} connections | added p50 | added p99 |`);
    console.log("| --- | ---: | ---: |");
    for (const [name, { p50, p99 }] of added) {
      console.log(`| ${name} | ${number(median(p50))} µs | ${number(median(p99))} µs |`);
    }
  });
}

async function latency(
  port: number,
  seconds: number,
  pinned: readonly string[],
): Promise<{ readonly p50: number; readonly p99: number }> {
  const [program, ...args] = [
    ...pinned,
    ...["wrk", "-t1", `-c${CALM_CONNECTIONS}`, `-d${seconds}`, "--latency"],
    `http://127.0.0.1:${port}/`,
  ];
  const text = await run(program!, args);
  const percentile = (name: string) => {
    const [, value, unit] = new RegExp(`${name}%\\s+([\\d.]+)(us|ms|s)`).exec(text) ?? [];
    if (unit === undefined) throw new Error(`wrk measured nothing: ${text.slice(-500)}`);
    return Number(value) * { us: 1, ms: 1e3, s: 1e6 }[unit as "us" | "ms" | "s"];
  };
  return { p50: percentile("50"), p99: percentile("99") };
}

/** Peak memory before and after one download of 2 GB. */
async function printMemory(folder: string, options: BenchOptions): Promise<void> {
  await withAll(folder, options, async (_, running) => {
    console.log("\n| one response of 2 GB | peak before | peak after | rate |");
    console.log("| --- | ---: | ---: | ---: |");
    for (const { name, port, program } of running) {
      await download(port, LARGE);
      const before = peakBytes(program.pid);
      const began = performance.now();
      await download(port, HUGE);
      const rate = HUGE_BYTES / (performance.now() - began) / 1e6;
      const mb = (bytes: number) => `${number(bytes / 2 ** 20)} MB`;
      const cells = [name, mb(before), mb(peakBytes(program.pid)), `${number(rate)} GB/s`];
      console.log(`| ${cells.join(" | ")} |`);
    }
  });
}

/** Reads a file to its end and keeps nothing of it. */
async function download(port: number, file: string): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/${file}`);
  if (!response.ok) throw new Error(`${file}: status ${response.status}`);
  const reader = response.body!.getReader({ mode: "byob" });
  let buffer = new Uint8Array(2 ** 18);
  for (;;) {
    const { value, done } = await reader.read(buffer);
    if (done) return;
    buffer = new Uint8Array(value.buffer);
  }
}
