/**
 * The TCP benchmark: the same work through each proxy in turn, round after round, so that whatever else
 * the machine does falls on all of them; medians; ratios to HAProxy of the same run. Only the ratios
 * mean something on a machine that is shared.
 */
import { missing, run, versionOf } from "./programs.ts";
import { PROXIES, type ProxyName, type RunningProxy, startProxy } from "./proxies.ts";
import { median, number, titleOf } from "./table.ts";
import { type Place, type Trait, TRAITS } from "./traits.ts";
import { type Work, WORKS } from "./work.ts";

export interface TcpBench {
  readonly rounds: number;
  /** Length of one measurement. */
  readonly seconds: number;
  readonly only: readonly string[] | undefined;
  readonly proxies: readonly string[] | undefined;
  readonly pin: boolean;
}

interface Result {
  readonly rate: number;
  readonly cpuPerUnit: number;
}

/** Runs the benchmark and prints its table. False if it could not run. */
export async function benchTcp(options: TcpBench): Promise<boolean> {
  const needed = ["haproxy", "nginx", "wrk", "iperf3", ...(options.pin ? ["taskset"] : [])];
  const lacking = await missing(needed);
  if (lacking.length > 0) {
    lacking.forEach((line) => console.error(line));
    return false;
  }
  const isWanted = ({ name }: { name: string }) => options.only?.includes(name) ?? true;
  const proxies = PROXIES.filter((name) =>
    name === "haproxy" || (options.proxies?.includes(name) ?? true)
  );
  const folder = await Deno.makeTempDir({ prefix: "failover-bench-" });
  const place: Place = {
    names: proxies,
    folder,
    rounds: options.rounds,
    seconds: options.seconds,
    proxyPin: options.pin ? ["taskset", "-c", "0"] : [],
    loadPin: options.pin ? ["taskset", "-c", `1-${navigator.hardwareConcurrency - 1}`] : [],
  };
  try {
    await printHeader(options);
    await printWorks(WORKS.filter(isWanted), place);
    await printTraits(TRAITS.filter(isWanted), place);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  return true;
}

async function measure(work: Work, place: Place): Promise<Map<ProxyName, Result>> {
  const { names, folder, rounds, seconds, proxyPin, loadPin } = place;
  await using stack = new AsyncDisposableStack();
  const upstream = await work.serve(folder, loadPin);
  stack.use(upstream.program);
  const running: RunningProxy[] = [];
  for (const name of names) {
    const proxy = await startProxy(name, folder, upstream.port, proxyPin);
    stack.use(proxy.program);
    running.push(proxy);
    await work.ask(proxy.port, 1, loadPin); // warms up code and caches
  }
  const rows = new Map<ProxyName, Result[]>(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const { name, port, program } of running) {
      const before = program.cpuSeconds();
      const { rate, units } = await work.ask(port, seconds, loadPin);
      const cpuPerUnit = (program.cpuSeconds() - before) / units;
      rows.get(name)!.push({ rate, cpuPerUnit });
    }
  }
  return new Map([...rows].map(([name, results]) => [name, {
    rate: median(results.map((result) => result.rate)),
    cpuPerUnit: median(results.map((result) => result.cpuPerUnit)),
  }]));
}

async function printHeader({ rounds, seconds, pin }: TcpBench): Promise<void> {
  const model = /model name\s*:\s*(.*)/.exec(await Deno.readTextFile("/proc/cpuinfo"))?.[1];
  const kernel = (await run("uname", ["-r"])).trim();
  const versions = await Promise.all(["haproxy", "nginx", "wrk", "iperf3"].map(
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

async function printWorks(works: readonly Work[], place: Place): Promise<void> {
  if (works.length === 0) return;
  console.log("| work | proxy | rate | × HAProxy | CPU | × HAProxy |");
  console.log("| --- | --- | ---: | ---: | ---: | ---: |");
  for (const work of works) printRows(work, await measure(work, place));
  console.log();
}

async function printTraits(traits: readonly Trait[], place: Place): Promise<void> {
  if (traits.length === 0) return;
  console.log("| less is better | proxy | | × HAProxy |");
  console.log("| --- | --- | ---: | ---: |");
  for (const trait of traits) {
    const { title, unit, values } = await trait.measure(place);
    const base = values.get("haproxy")!;
    for (const [name, value] of values) {
      const cells = [
        name === "haproxy" ? title : "",
        titleOf(name),
        `${number(value)} ${unit}`,
        (value / base).toFixed(2),
      ];
      console.log(`| ${cells.join(" | ")} |`);
    }
  }
}

function printRows(work: Work, results: ReadonlyMap<ProxyName, Result>): void {
  const base = results.get("haproxy")!;
  for (const [name, { rate, cpuPerUnit }] of results) {
    const cells = [
      name === "haproxy" ? work.title : "",
      titleOf(name),
      `${number(rate)} ${work.rateUnit}`,
      (rate / base.rate).toFixed(2),
      `${number(cpuPerUnit * work.cpuScale)} ${work.cpuUnit}`,
      (cpuPerUnit / base.cpuPerUnit).toFixed(2),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}
