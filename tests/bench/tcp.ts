/** The TCP benchmark: the relay compared with HAProxy and nginx. */
import { existsSync } from "node:fs";
import { type BenchOptions, compare } from "./compare.ts";
import { TCP_LATENCIES } from "./latency.ts";
import { NGINX_STREAM, PROXIES, startProxy } from "./proxies.ts";
import { idle, printTraits } from "./traits.ts";
import { benchFolder, WORKS } from "./work.ts";

const TRAITS = [...TCP_LATENCIES, idle];

export const TCP_WORKS = [...WORKS, ...TRAITS].map(({ name }) => name);

/** Runs the benchmark and prints its tables. False if it could not run. */
export async function benchTcp(options: BenchOptions): Promise<boolean> {
  await using folder = await benchFolder();
  const proxies = PROXIES.filter((name) => name !== "nginx" || hasNginxStream());
  const programs = ["haproxy", "nginx", "wrk", "iperf3"];
  const contest = { proxies, base: "HAProxy", works: WORKS, programs, start: startProxy };
  if (!await compare(contest, options, folder.path)) return false;
  await printTraits(TRAITS, proxies, startProxy, folder.path, options);
  return true;
}

/** nginx serves the upstream in any case; as a TCP proxy it needs a module from a separate package. */
function hasNginxStream(): boolean {
  if (existsSync(NGINX_STREAM)) return true;
  console.error(
    "nginx is left out: its module for TCP is not installed (Debian: apt install libnginx-mod-stream)",
  );
  return false;
}
