/**
 * `deno task bench tcp` and `bench http`: put our data planes beside HAProxy and nginx, on this machine,
 * over loopback, and print a table. It installs nothing and says what is missing; it ends within minutes.
 */
import { parseArgs } from "@std/cli/parse-args";
import type { BenchOptions } from "./compare.ts";
import { benchHttp, HTTP_WORKS } from "./http.ts";
import { HTTP_PROXIES } from "./http_proxies.ts";
import { PROXIES } from "./proxies.ts";
import { benchStart } from "./start.ts";
import { benchTcp, TCP_WORKS } from "./tcp.ts";

const USAGE = `Usage: deno task bench tcp|http [options]
       deno task bench start [--rounds N]

  --rounds N      rounds per proxy and kind of work, of which the median counts (default 5)
  --seconds N     length of one measurement (default 3)
  --only A,B      tcp: bulk1, bulk16, small50, small1000, connect;
                  p99, connect-p99 (of small requests, or of a new connection each, at half of
                  HAProxy's peak, from when it was due);
                  beside (one session that asks and waits, beside 32 bulk streams);
                  idle (memory of an idle session, of 5 000)
                  http: small, large, connect, p99, connect-p99,
                  light (one client, a request each 2 ms), latency, memory (default all)
  --proxies A,B   tcp: haproxy (always), nginx, stream, splice
                  http: haproxy (always), nginx, failover (default all)
  --threads       also the CPU time of each thread
  --pin           the proxy on core 0, the rest on the others (default where there are more than two)`;

const args = parseArgs(Deno.args, {
  string: ["rounds", "seconds", "only", "proxies"],
  boolean: ["pin", "threads", "help"],
});
/** Stops with the usage: a benchmark of nothing must not look like one. */
function misused(message: string): never {
  console.error(`${message}\n\n${USAGE}`);
  Deno.exit(2);
}

function names(option: string, known: readonly string[]): string[] | undefined {
  const value = args[option];
  if (typeof value !== "string") return undefined;
  const unknown = value.split(",").filter((name) => !known.includes(name));
  if (unknown.length > 0) misused(`--${option}: ${unknown} is none of ${known.join(", ")}`);
  return value.split(",");
}

function count(option: string, byDefault: number): number {
  const value = Number(args[option] ?? byDefault);
  return Number.isInteger(value) && value > 0 ? value : misused(`--${option}: a number from 1`);
}

if (args.help === true) {
  console.log(USAGE);
  Deno.exit(0);
}
const mode = args._[0];
if (mode === "start") {
  await benchStart({ rounds: count("rounds", 5) });
  Deno.exit(0);
}
if (mode !== "tcp" && mode !== "http") misused("Say what to measure: tcp, http or start");
const [works, proxies, bench] = mode === "tcp"
  ? [TCP_WORKS, PROXIES, benchTcp] as const
  : [HTTP_WORKS, HTTP_PROXIES, benchHttp] as const;
const options: BenchOptions = {
  rounds: count("rounds", 5),
  seconds: count("seconds", 3),
  only: names("only", works),
  proxies: names("proxies", proxies),
  threads: args.threads === true,
  pin: args.pin === true || navigator.hardwareConcurrency > 2,
};
Deno.exit(await bench(options) ? 0 : 1);
