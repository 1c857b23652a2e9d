/**
 * `deno task bench tcp|http`: puts the relay, or the gateway, beside HAProxy and nginx, on this machine,
 * over loopback, and prints a table. It installs nothing and says what is missing; it ends within minutes.
 * `deno task bench start`: how long the program takes to start, and its memory when idle.
 */
import { parseArgs } from "@std/cli/parse-args";
import { benchHttp } from "./http.ts";
import { PROXIES } from "./proxies.ts";
import { benchStart } from "./start.ts";
import { benchTcp, type TcpBench } from "./tcp.ts";
import { TRAITS } from "./traits.ts";
import { WORKS } from "./work.ts";

const USAGE = `Usage: deno task bench tcp|http [options]
       deno task bench start [--rounds N]

  --rounds N      rounds per proxy and kind of work, of which the median counts (default 5)
  --seconds N     length of one measurement (default 3)
For tcp alone:
  --only A,B      of bulk1, bulk16, small50, small1000, connect: rate and CPU per unit;
                  p99: of a small request at half of HAProxy's peak, from when it was due;
                  idle: memory of an idle session, of 5 000 (default all)
  --proxies A,B   haproxy (always), nginx, stream, splice (default all)
  --pin           the proxy on core 0, the rest on the others (default where there are more than two)`;

const args = parseArgs(Deno.args, {
  string: ["rounds", "seconds", "only", "proxies"],
  boolean: ["pin", "help"],
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
if (args._[0] === "start") {
  await benchStart({ rounds: count("rounds", 5) });
  Deno.exit(0);
}
if (args._[0] === "http") {
  const [rounds, seconds] = [count("rounds", 5), count("seconds", 3)];
  Deno.exit(await benchHttp({ rounds, seconds }) ? 0 : 1);
}
if (args._[0] !== "tcp") misused("Say what to measure: tcp, http or start");
const options: TcpBench = {
  rounds: count("rounds", 5),
  seconds: count("seconds", 3),
  only: names("only", [...WORKS, ...TRAITS].map(({ name }) => name)),
  proxies: names("proxies", PROXIES),
  pin: args.pin === true || navigator.hardwareConcurrency > 2,
};
Deno.exit(await benchTcp(options) ? 0 : 1);
