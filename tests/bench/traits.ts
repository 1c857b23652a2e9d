/**
 * What is measured of a proxy apart from its throughput: how late the late answers are at half the load,
 * and what a session takes that nobody uses. One number per proxy, less is better.
 */
import { run } from "./programs.ts";
import type { RunningProxy } from "./compare.ts";
import { startProxy } from "./proxies.ts";
import { median } from "./table.ts";
import { small50 } from "./work.ts";

export interface Place {
  readonly names: readonly string[];
  /** For configuration files. */
  readonly folder: string;
  readonly rounds: number;
  /** Length of one measurement. */
  readonly seconds: number;
  /** What is put before the commands of proxies, and before those of load and upstream. */
  readonly proxyPin: readonly string[];
  readonly loadPin: readonly string[];
}

export interface Trait {
  readonly name: string;
  measure(place: Place): Promise<TraitResult>;
}

export interface TraitResult {
  /** What a person reads in the table. */
  readonly title: string;
  readonly unit: string;
  readonly values: ReadonlyMap<string, number>;
}

/** The 99th percentile of small requests at half of HAProxy's peak, which is the pace for all. */
const p99: Trait = {
  name: "p99",
  async measure({ names, folder, rounds, seconds, proxyPin, loadPin }) {
    await using stack = new AsyncDisposableStack();
    const upstream = await small50.serve(folder, loadPin);
    stack.use(upstream.program);
    const running: RunningProxy[] = [];
    for (const name of names) {
      const proxy = await startProxy(name, folder, upstream.port, proxyPin);
      stack.use(proxy.program);
      running.push(proxy);
      await small50.ask(proxy.port, 1, loadPin); // warms up code and caches
    }
    const haproxy = running.find(({ name }) => name === "haproxy")!;
    const pace = Math.round((await small50.ask(haproxy.port, seconds, loadPin)).rate / 2);
    const took = new Map<string, number[]>(names.map((name) => [name, []]));
    for (let round = 0; round < rounds; round++) {
      for (const { name, port } of running) {
        took.get(name)!.push(await paced(port, pace, seconds, loadPin));
      }
    }
    const values = new Map([...took].map(([name, all]) => [name, median(all)]));
    return { title: `99th percentile at ${pace} small requests/s`, unit: "ms", values };
  },
};

async function paced(
  port: number,
  pace: number,
  seconds: number,
  pinned: readonly string[],
): Promise<number> {
  const script = new URL("./pace.ts", import.meta.url).pathname;
  const deno = [Deno.execPath(), "run", "-A", "--quiet", script];
  const [program, ...args] = [...pinned, ...deno, ...[port, pace, seconds].map(String)];
  const text = await run(program!, args);
  if (!(Number(text) > 0)) throw new Error(`pace.ts measured nothing: ${text}`);
  return Number(text);
}

const IDLE_SESSIONS = 5_000;
const CONNECTING_MAX = 50;
/** How long a proxy is left alone before its memory is read. */
const SETTLE_MS = 500;

/** Memory of a session that has served one request and waits, above that of the warm process without any. */
const idle: Trait = {
  name: "idle",
  async measure({ names, folder, rounds, proxyPin, loadPin }) {
    await using stack = new AsyncDisposableStack();
    const upstream = await small50.serve(folder, loadPin);
    stack.use(upstream.program);
    const sizes = new Map<string, number[]>(names.map((name) => [name, []]));
    for (let round = 0; round < rounds; round++) {
      for (const name of names) {
        const proxy = await startProxy(name, folder, upstream.port, proxyPin);
        await using _program = proxy.program;
        sizes.get(name)!.push(await idleBytes(proxy) / 1024);
      }
    }
    const values = new Map([...sizes].map(([name, all]) => [name, median(all)]));
    return { title: `memory of an idle session, of ${IDLE_SESSIONS}`, unit: "KB", values };
  },
};

async function idleBytes({ port, program }: RunningProxy): Promise<number> {
  // Code that the first sessions of all bring into memory is not a session's.
  close(await sessions(port, CONNECTING_MAX));
  await pause(SETTLE_MS);
  const before = program.residentBytes();
  const conns: Deno.Conn[] = [];
  try {
    while (conns.length < IDLE_SESSIONS) conns.push(...await sessions(port, CONNECTING_MAX));
    await pause(SETTLE_MS);
    return (program.residentBytes() - before) / IDLE_SESSIONS;
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

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export const TRAITS: readonly Trait[] = [p99, idle];
