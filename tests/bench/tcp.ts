/** The TCP benchmark: the relay beside HAProxy and nginx. */
import { type BenchOptions, chosen, compare, pins } from "./compare.ts";
import { PROXIES, startProxy } from "./proxies.ts";
import { number, titleOf } from "./table.ts";
import { type Place, type Trait, TRAITS } from "./traits.ts";
import { WORKS } from "./work.ts";

export const TCP_WORKS = [...WORKS, ...TRAITS].map(({ name }) => name);

/** Runs the benchmark and prints its tables. False if it could not run. */
export async function benchTcp(options: BenchOptions): Promise<boolean> {
  const folder = await Deno.makeTempDir({ prefix: "failover-bench-" });
  try {
    const programs = ["haproxy", "nginx", "wrk", "iperf3"];
    const contest = {
      proxies: PROXIES,
      base: "HAProxy",
      works: WORKS,
      programs,
      start: startProxy,
    };
    if (!await compare(contest, options, folder)) return false;
    const { rounds, seconds, pin, only } = options;
    const { proxy: proxyPin, load: loadPin } = pins(pin);
    const names = chosen(PROXIES, options);
    const place = { names, folder, rounds, seconds, proxyPin, loadPin };
    await printTraits(TRAITS.filter(({ name }) => only?.includes(name) ?? true), place);
    return true;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function printTraits(traits: readonly Trait[], place: Place): Promise<void> {
  if (traits.length === 0) return;
  console.log("\n| less is better | proxy | | × HAProxy |");
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
