/**
 * `deno task bench`: compares our data planes with HAProxy and nginx, on this machine, over loopback, and
 * prints tables. It installs nothing, and says which programs are missing. It ends within minutes.
 */
import { parseArgs } from "@std/cli/parse-args";
import type { BenchOptions } from "./compare.ts";
import { benchHttp, HTTP_WORKS } from "./http.ts";
import { benchChecks } from "./checks.ts";
import { GOAL_SECTIONS } from "./goal_sections.ts";
import { benchGoals } from "./goals.ts";
import { benchServices, CASES, WATCH_SECONDS } from "./services.ts";
import { HTTP_PROXIES } from "./http_proxies.ts";
import { PROXIES } from "./proxies.ts";
import { benchStart } from "./start.ts";
import { benchTcp, TCP_WORKS } from "./tcp.ts";

const USAGE = `Usage: deno task bench tcp|http|services|checks|goals [options]
       deno task bench start [--rounds N]

  tcp, http       rate, CPU time, late answers and memory, beside HAProxy and nginx
  services        1, 50 and 200 services in one file: until all listen, memory, threads, idle CPU
  checks          how late checks begin while the proxy is under full load
  goals           what we want of all these, and whether it is so; in less than five minutes

  --rounds N      rounds per proxy and kind of work, of which the median counts
                  (default 5; services 1, goals 3)
  --seconds N     length of one measurement (default 3; services ${WATCH_SECONDS}, checks 5, goals 2)
  --only A,B      tcp: bulk1, bulk16, small50, small1000, connect;
                  p99, connect-p99 (of small requests, or of a new connection each, at half of
                  HAProxy's peak, from when it was due);
                  beside (one session that asks and waits, beside 32 bulk streams);
                  idle (memory of an idle session, of 5 000)
                  http: small, large, connect, p99, connect-p99,
                  light (one client, a request each 2 ms), latency, memory
                  services: 1, 50, 200
                  goals: ${GOAL_SECTIONS.slice(0, 6).join(", ")},
                  ${GOAL_SECTIONS.slice(6).join(", ")} (default all)
  --proxies A,B   tcp: haproxy (always), nginx, stream, splice
                  http: haproxy (always), nginx, failover (default all)
  --threads       tcp, http: also the CPU time of each thread
  --pin           the proxy on core 0, the rest on the others (default where there are more than two)`;

interface Bench {
  readonly works: readonly string[];
  readonly proxies: readonly string[];
  /** Defaults. */
  readonly rounds: number;
  readonly seconds: number;
  bench(options: BenchOptions): Promise<boolean>;
}

const BENCHES: Readonly<Record<string, Bench>> = {
  tcp: { works: TCP_WORKS, proxies: PROXIES, rounds: 5, seconds: 3, bench: benchTcp },
  http: { works: HTTP_WORKS, proxies: HTTP_PROXIES, rounds: 5, seconds: 3, bench: benchHttp },
  services: {
    works: CASES.map(({ name }) => name),
    proxies: [],
    rounds: 1,
    seconds: WATCH_SECONDS,
    bench: benchServices,
  },
  checks: { works: [], proxies: [], rounds: 5, seconds: 5, bench: benchChecks },
  goals: { works: GOAL_SECTIONS, proxies: [], rounds: 3, seconds: 2, bench: benchGoals },
};

const args = parseArgs(Deno.args, {
  string: ["rounds", "seconds", "only", "proxies"],
  boolean: ["pin", "threads", "help"],
});
/** Prints the usage and ends, so that a wrong command does not look like a benchmark. */
function misused(message: string): never {
  console.error(`${message}\n\n${USAGE}`);
  Deno.exit(2);
}

function names(option: string, known: readonly string[]): string[] | undefined {
  const value = args[option];
  if (typeof value !== "string") return undefined;
  const unknown = value.split(",").filter((name) => !known.includes(name));
  if (unknown.length > 0) misused(`--${option}: ${unknown} is not one of ${known.join(", ")}`);
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
const mode = String(args._[0]);
if (mode === "start") {
  await benchStart({ rounds: count("rounds", 5) });
  Deno.exit(0);
}
const { works, proxies, rounds, seconds, bench } = BENCHES[mode] ??
  misused(`Say what to measure: start, ${Object.keys(BENCHES).join(", ")}`);
const options: BenchOptions = {
  rounds: count("rounds", rounds),
  seconds: count("seconds", seconds),
  only: names("only", works),
  proxies: names("proxies", proxies),
  threads: args.threads === true,
  pin: args.pin === true || navigator.hardwareConcurrency > 2,
};
Deno.exit(await bench(options) ? 0 : 1);
