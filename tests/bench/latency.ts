/** How long answers take: the slowest at half the load, those of a single client, and those beside bulk streams. */
import type { RunningProxy } from "./compare.ts";
import { run } from "./programs.ts";
import { median, pause } from "./table.ts";
import type { Place, Trait, TraitResult } from "./traits.ts";
import { BULK_PATH, connect50, serveFolder, small50, type Work } from "./work.ts";

/** What a client connects to. */
type Target = Pick<RunningProxy, "name" | "port">;
/** Percentiles in milliseconds. */
type Percentiles = Readonly<Record<"p50" | "p90" | "p99", number>>;

/** The pause of the single client. */
const LIGHT_PAUSE_MS = 2;
/** The pace of the session beside bulk streams, and their number. */
const BESIDE_PAUSE_MS = 5;
const BULK_STREAMS = 32;
const BULK_BYTES = 16 * 2 ** 20;
/** How long bulk streams run before the session beside them begins. */
const BULK_LEAD_MS = 500;

/** The 99th percentile of requests at half of HAProxy's peak, which is the pace for all. */
function paced(name: string, work: Work, kind: "kept" | "new"): Trait {
  return {
    name,
    async measure(place) {
      await using stack = new AsyncDisposableStack();
      const { running, haproxy } = await startAll(place, work, stack);
      const peak = (await work.ask(haproxy.port, place.seconds, place.loadPin)).rate;
      const pace = Math.round(peak / 2);
      const results = await interleaved(running, place.rounds, ({ port }) => {
        return client<Percentiles>(place.loadPin, "pace.ts", [port, pace, place.seconds, kind]);
      });
      const title = kind === "kept" ? "small requests/s" : "new connections/s";
      return [result(`99th percentile at ${pace} ${title}`, "p99", results)];
    },
  };
}

/** One client that sends a request each 2 ms on one connection: without a proxy, and through each. */
const light: Trait = {
  name: "light",
  async measure(place) {
    await using stack = new AsyncDisposableStack();
    const names = [...place.names, "splice"];
    const { running, upstreamPort } = await startAll({ ...place, names }, small50, stack);
    const targets = [{ name: "direct", port: upstreamPort }, ...running];
    const results = await interleaved(targets, place.rounds, ({ port }) => {
      return client<Percentiles>(place.loadPin, "interactive.ts", [
        port,
        LIGHT_PAUSE_MS,
        place.seconds,
      ]);
    });
    const title = `one client, a request each ${LIGHT_PAUSE_MS} ms`;
    return [result(`${title}: median`, "p50", results), result("90th percentile", "p90", results)];
  },
};

/** One session that sends requests and waits, while many others download as fast as they can. */
const beside: Trait = {
  name: "beside",
  async measure(place) {
    await Deno.writeFile(`${place.folder}${BULK_PATH}`, new Uint8Array(BULK_BYTES));
    await using stack = new AsyncDisposableStack();
    const { running, upstreamPort } = await startAll(place, small50, stack);
    const targets = [{ name: "direct", port: upstreamPort }, ...running];
    const results = await interleaved(targets, place.rounds, async ({ port }) => {
      // The session's warm-up of one second is not counted.
      const bulkSeconds = place.seconds + 1 + BULK_LEAD_MS / 1_000;
      const bulk = client<{ readonly rate: number }>(place.loadPin, "bulk.ts", [
        port,
        BULK_STREAMS,
        bulkSeconds,
        BULK_PATH,
      ]);
      await pause(BULK_LEAD_MS);
      const session = client<Percentiles>(place.loadPin, "interactive.ts", [
        port,
        BESIDE_PAUSE_MS,
        place.seconds,
      ]);
      const [percentiles, { rate }] = await Promise.all([session, bulk]);
      return { ...percentiles, msPerGb: 1e12 / rate };
    });
    const title = `one session beside ${BULK_STREAMS} bulk streams`;
    return [
      result(`${title}: median`, "p50", results),
      result("99th percentile", "p99", results),
      // A session that is fast only because the others hardly get anything would prove nothing.
      result("time for 1 GB of the bulk streams", "msPerGb", results),
    ];
  },
};

export const paced50 = paced("p99", small50, "kept");
export const pacedNew = paced("connect-p99", connect50, "new");
export const TCP_LATENCIES: readonly Trait[] = [paced50, pacedNew, beside];
export const HTTP_TRAITS: readonly Trait[] = [paced50, pacedNew, light];
export { beside, light };

/** An upstream and all proxies before it, warm. */
async function startAll(
  { names, start, folder, proxyPin, loadPin }: Place,
  work: Work,
  stack: AsyncDisposableStack,
) {
  const upstream = await serveFolder(folder, loadPin);
  stack.use(upstream.program);
  const running: RunningProxy[] = [];
  for (const name of names) {
    const proxy = await start(name, folder, upstream.port, proxyPin);
    stack.use(proxy.program);
    running.push(proxy);
    await work.ask(proxy.port, 1, loadPin); // warms up code and caches
  }
  const haproxy = running.find(({ name }) => name === "haproxy")!;
  return { running, haproxy, upstreamPort: upstream.port };
}

/** Measures each target in turn, round after round. */
async function interleaved<T extends Target, F>(
  targets: readonly T[],
  rounds: number,
  measure: (target: T) => Promise<F>,
): Promise<Map<string, F[]>> {
  const results = new Map<string, F[]>(targets.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const target of targets) results.get(target.name)!.push(await measure(target));
  }
  return results;
}

/** One figure of each target: the median of the rounds. */
function result<K extends string>(
  title: string,
  figure: K,
  results: ReadonlyMap<string, readonly Readonly<Record<K, number>>[]>,
): TraitResult {
  const values = [...results].map(([name, all]) =>
    [name, median(all.map((each) => each[figure]))] as const
  );
  return { title, unit: "ms", values: new Map(values) };
}

/** Runs one of our clients, which prints one line of JSON. */
async function client<T>(
  pinned: readonly string[],
  script: string,
  clientArgs: readonly (string | number)[],
): Promise<T> {
  const path = new URL(script, import.meta.url).pathname;
  const deno = [Deno.execPath(), "run", "-A", "--quiet", "--no-check", path];
  const [program, ...args] = [...pinned, ...deno, ...clientArgs.map(String)];
  const text = await run(program!, args);
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${script} measured nothing: ${text}`);
  }
}
