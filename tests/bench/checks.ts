/**
 * `deno task bench checks`: how late the checks of upstreams begin while the proxy is under full load. The
 * upstreams that are checked record the times; the proxy does not take part. HAProxy's checks are measured
 * in the same run.
 */
import { Child } from "../harness/child.ts";
import { type BenchOptions, isComplete, pins, printHeader } from "./compare.ts";
import { web } from "./http_proxies.ts";
import { latenesses, readArrival } from "./lateness.ts";
import { type Command, haproxyChecking, ours, starter } from "./proxies.ts";
import { head, median, number, pause, percentile, row } from "./table.ts";
import { benchFolder, small50 } from "./work.ts";

/** Milliseconds. */
export interface Lateness {
  readonly p50: number;
  readonly p99: number;
  /** The median of the worst check of each round. */
  readonly worst: number;
}

export const CHECK_PROXIES = ["haproxy", "failover, TCP mode", "failover, HTTP mode"] as const;

/** A shorter interval is possible, but hardly used. */
const INTERVAL_MS = 100;
/** Upstreams that get only checks; one more upstream gets the load. */
const CHECKED = 8;
/** How long after the beginning of the load the checks are measured. */
const LEAD_MS = 500;
/** When the recording upstreams end if nobody ends them. */
const LIFE_MAX_S = 3_600;
const PROGRAMS = ["haproxy", "nginx", "wrk"];

/** Runs the benchmark and prints its table. False if it could not run. */
export async function benchChecks(options: BenchOptions): Promise<boolean> {
  if (!await isComplete(PROGRAMS, options)) return false;
  await using folder = await benchFolder();
  await printHeader(PROGRAMS, options);
  console.log(`Checks each ${INTERVAL_MS} ms, under as many small requests as it can serve.\n`);
  console.log(head(["proxy", ">late, median", ">99th percentile", ">worst"]));
  for (const [name, { p50, p99, worst }] of await measureChecks(folder.path, options)) {
    console.log(row([name, ...[p50, p99, worst].map((ms) => `${number(ms)} ms`)]));
  }
  return true;
}

/** Medians of the rounds, in each of which every proxy has its turn. */
export async function measureChecks(
  folder: string,
  { rounds, seconds, pin }: Pick<BenchOptions, "rounds" | "seconds" | "pin">,
): Promise<Map<string, Lateness>> {
  const { proxy: proxyPin, load: loadPin } = pins(pin);
  await using stack = new AsyncDisposableStack();
  const upstream = await small50.serve(folder, loadPin);
  stack.use(upstream.program);
  const results = new Map<string, Lateness[]>(CHECK_PROXIES.map((name) => [name, []]));
  const running = [];
  for (const name of CHECK_PROXIES) {
    const recorder = await Recorder.start(CHECKED);
    stack.use(recorder);
    const proxy = await starter({ [name]: checking(name, recorder.ports) })(
      name,
      folder,
      upstream.port,
      proxyPin,
    );
    stack.use(proxy.program);
    await small50.ask(proxy.port, 1, loadPin); // warms up code and caches
    running.push({ name, port: proxy.port, recorder });
  }
  for (let round = 0; round < rounds; round++) {
    for (const { name, port, recorder } of running) {
      const from = now() + LEAD_MS;
      const load = small50.ask(port, seconds + 1, loadPin); // wrk knows whole seconds only
      await pause(LEAD_MS + 1_000 * seconds);
      const to = now();
      await load;
      results.get(name)!.push(recorder.lateness(from, to));
    }
  }
  return new Map([...results].map(([name, all]) => {
    const of = (field: keyof Lateness) => median(all.map((each) => each[field]));
    return [name, { p50: of("p50"), p99: of("p99"), worst: of("worst") }];
  }));
}

/** A proxy that has the upstream of the load first, and those that are only checked as its backups. */
function checking(name: typeof CHECK_PROXIES[number], ports: readonly number[]): Command {
  const interval = ["--check-interval", `${INTERVAL_MS}ms`];
  if (name === "haproxy") return haproxyChecking(INTERVAL_MS, ports);
  if (name === "failover, HTTP mode") {
    const backups = ports.flatMap((port) => ["--backup", `http://127.0.0.1:${port}`]);
    return web([...interval, ...backups]);
  }
  return ours("splice", interval, ports);
}

/** The upstreams that record their checks, in a separate process. */
class Recorder implements AsyncDisposable {
  readonly ports: readonly number[];
  readonly #child: Child;
  readonly #arrivals: ReadonlyMap<number, number[]>;

  private constructor(child: Child, ports: readonly number[], arrivals: Map<number, number[]>) {
    this.#child = child;
    this.ports = ports;
    this.#arrivals = arrivals;
  }

  static async start(count: number): Promise<Recorder> {
    const path = new URL("arrivals_program.ts", import.meta.url).pathname;
    const arrivals = new Map<number, number[]>();
    const ready = Promise.withResolvers<number[]>();
    const child = new Child(Deno.execPath(), {
      args: ["run", "-A", "--quiet", "--no-check", path, `${count}`, `${LIFE_MAX_S}`],
      onOut(line) {
        if (line.startsWith("[")) return ready.resolve(JSON.parse(line));
        const { port, at } = readArrival(line);
        arrivals.get(port)!.push(at);
      },
    });
    child.ended.then(() => ready.reject(new Error("The upstream that records ended by itself")));
    const ports = await ready.promise;
    for (const port of ports) arrivals.set(port, []);
    return new Recorder(child, ports, arrivals);
  }

  /** Of all checks from `from` to `to`. */
  lateness(from: number, to: number): Lateness {
    const all = [...this.#arrivals.values()].flatMap((each) =>
      latenesses(each, from, to, INTERVAL_MS)
    );
    const sorted = all.toSorted((a, b) => a - b);
    return { p50: percentile(sorted, 50), p99: percentile(sorted, 99), worst: sorted.at(-1)! };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#child[Symbol.asyncDispose]();
  }
}

/** The time since the epoch, as `arrivals_program.ts` has it. */
function now(): number {
  return performance.timeOrigin + performance.now();
}
