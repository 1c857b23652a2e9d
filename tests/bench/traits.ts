/**
 * Traits: what is measured of a proxy apart from its throughput, one number or a few for each; less is better.
 * This file prints traits, and measures the memory of an idle session.
 */
import { type BenchOptions, chosen, type Comparison, pins, type RunningProxy } from "./compare.ts";
import { residentBytes } from "./processes.ts";
import { head, median, number, pause, row, titleOf } from "./table.ts";
import { small50 } from "./work.ts";

export interface Place {
  readonly names: readonly string[];
  readonly start: Comparison["start"];
  /** For configuration files. */
  readonly folder: string;
  readonly rounds: number;
  /** Length of one measurement. */
  readonly seconds: number;
  /** The prefixes of the commands of proxies, and of those of load and upstream. */
  readonly proxyPin: readonly string[];
  readonly loadPin: readonly string[];
}

export interface Trait {
  readonly name: string;
  measure(place: Place): Promise<readonly TraitResult[]>;
}

export interface TraitResult {
  /** What a person reads in the table. */
  readonly title: string;
  readonly unit: string;
  /** By the name of the proxy. */
  readonly values: ReadonlyMap<string, number>;
}

export function placeOf(
  proxies: readonly string[],
  start: Comparison["start"],
  folder: string,
  options: BenchOptions,
): Place {
  const { rounds, seconds, pin } = options;
  const { proxy: proxyPin, load: loadPin } = pins(pin);
  return { names: chosen(proxies, options), start, folder, rounds, seconds, proxyPin, loadPin };
}

/** Measures those of the traits that were asked for, and prints their table. */
export async function printTraits(
  traits: readonly Trait[],
  proxies: readonly string[],
  start: Comparison["start"],
  folder: string,
  options: BenchOptions,
): Promise<void> {
  const wanted = traits.filter(({ name }) => options.only?.includes(name) ?? true);
  if (wanted.length === 0) return;
  console.log(`\n${head(["less is better", "proxy", ">", ">× HAProxy"])}`);
  for (const trait of wanted) {
    for (const result of await trait.measure(placeOf(proxies, start, folder, options))) {
      printResult(result);
    }
  }
}

function printResult({ title, unit, values }: TraitResult): void {
  const base = values.get("haproxy")!;
  let cell = title;
  for (const [name, value] of values) {
    console.log(row([cell, titleOf(name), `${number(value)} ${unit}`, (value / base).toFixed(2)]));
    cell = "";
  }
}

const IDLE_SESSIONS = 5_000;
const CONNECTING_MAX = 50;
/** How long a proxy is left alone before its memory is read. */
const SETTLE_MS = 500;

/** Memory of a session that has served one request and waits, above that of the warm process without any. */
export const idle: Trait = {
  name: "idle",
  async measure({ names, start, folder, rounds, proxyPin, loadPin }) {
    await using stack = new AsyncDisposableStack();
    const upstream = await small50.serve(folder, loadPin);
    stack.use(upstream.program);
    const sizes = new Map<string, number[]>(names.map((name) => [name, []]));
    for (let round = 0; round < rounds; round++) {
      for (const name of names) {
        const proxy = await start(name, folder, upstream.port, proxyPin);
        await using _program = proxy.program;
        sizes.get(name)!.push(await idleBytes(proxy) / 1024);
      }
    }
    const values = new Map([...sizes].map(([name, all]) => [name, median(all)]));
    return [{ title: `memory of an idle session, of ${IDLE_SESSIONS}`, unit: "KB", values }];
  },
};

async function idleBytes({ port, program }: RunningProxy): Promise<number> {
  // Code that the first sessions load into memory does not count for a session.
  close(await sessions(port, CONNECTING_MAX));
  await pause(SETTLE_MS);
  const before = residentBytes(program.pid);
  const conns: Deno.Conn[] = [];
  try {
    while (conns.length < IDLE_SESSIONS) conns.push(...await sessions(port, CONNECTING_MAX));
    await pause(SETTLE_MS);
    return (residentBytes(program.pid) - before) / IDLE_SESSIONS;
  } finally {
    close(conns);
  }
}

function sessions(port: number, count: number): Promise<Deno.Conn[]> {
  return Promise.all(Array.from({ length: count }, () => session(port)));
}

function close(conns: readonly Deno.Conn[]): void {
  for (const conn of conns) conn.close();
}

async function session(port: number): Promise<Deno.Conn> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  await conn.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: bench\r\n\r\n"));
  if (await conn.read(new Uint8Array(1_024)) === null) throw new Error("A session got no answer");
  return conn;
}
