/**
 * `deno task bench tcp`: puts the relay beside HAProxy and nginx, on this machine, over loopback, and
 * prints a table. It installs nothing and says what is missing; it ends within minutes.
 */
import { parseArgs } from "@std/cli/parse-args";
import { benchTcp, type TcpBench } from "./tcp.ts";

const USAGE = `Usage: deno task bench tcp [options]

  --rounds N      rounds per proxy and kind of work, of which the median counts (default 5)
  --seconds N     length of one measurement (default 3)
  --only A,B      kinds of work by name (default all)
  --proxies A,B   haproxy (always), nginx, stream, splice (default all)
  --pin           the proxy on core 0, the rest on the others (default where there are more than two)`;

const args = parseArgs(Deno.args, {
  string: ["rounds", "seconds", "only", "proxies"],
  boolean: ["pin", "help"],
});
const names = (value: unknown): string[] | undefined =>
  typeof value === "string" ? value.split(",") : undefined;

if (args.help === true || args._[0] !== "tcp") {
  console.log(USAGE);
  Deno.exit(args.help === true ? 0 : 2);
}
const options: TcpBench = {
  rounds: Number(args.rounds ?? 5),
  seconds: Number(args.seconds ?? 3),
  only: names(args.only),
  proxies: names(args.proxies),
  pin: args.pin === true || navigator.hardwareConcurrency > 2,
};
Deno.exit(await benchTcp(options) ? 0 : 1);
