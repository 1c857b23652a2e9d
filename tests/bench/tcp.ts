/** The TCP benchmark: the relay beside HAProxy and nginx. */
import { type BenchOptions, compare } from "./compare.ts";
import { PROXIES, startProxy } from "./proxies.ts";
import { WORKS } from "./work.ts";

/** Runs the benchmark and prints its table. False if it could not run. */
export async function benchTcp(options: BenchOptions): Promise<boolean> {
  const folder = await Deno.makeTempDir({ prefix: "failover-bench-" });
  try {
    return await compare(
      {
        proxies: PROXIES,
        base: "HAProxy",
        works: WORKS,
        programs: ["haproxy", "nginx", "wrk", "iperf3"],
        start: startProxy,
      },
      options,
      folder,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
