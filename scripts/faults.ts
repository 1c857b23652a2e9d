/**
 * `deno task faults [NAME…]`: applies each fault to each proxy in both modes while a client counts, and
 * prints the table; a run of all of them writes it to `.github/docs/faults.md`. It uses the loopback only and
 * takes a few minutes. HAProxy takes part if it is installed, the original programs if their paths are
 * given: `--flopsy PATH`, `--kagehq PATH`. Exit code 1 if ours doubled a request or changed a byte.
 */
import { parseArgs } from "@std/cli/parse-args";
import { versionOf } from "../tests/bench/programs.ts";
import { FAULTS } from "../tests/faults/faults.ts";
import type { Tally } from "../tests/faults/load.ts";
import { comparedProxies, type ComparedProxy, type Mode } from "../tests/faults/proxies.ts";
import { type Fault, runFault } from "../tests/faults/run_fault.ts";

const FILE = new URL("../.github/docs/faults.md", import.meta.url);

/** The counts, or the reason why there are none; undefined if the proxy was not tested. */
type Result = Tally | string | undefined;
type Row = readonly [fault: Fault, results: ReadonlyMap<ComparedProxy, Result>];

async function main(): Promise<number> {
  const args = parseArgs(Deno.args, { string: ["flopsy", "kagehq"] });
  const unknown = args._.filter((name) => !FAULTS.some((fault) => fault.name === name));
  if (unknown.length > 0) {
    console.error(`No fault is named ${unknown.join(", ")}; there are:`);
    for (const { name, title } of FAULTS) console.error(`  ${name.padEnd(16)} ${title}`);
    return 2;
  }
  const { flopsy, kagehq } = args as { readonly flopsy?: string; readonly kagehq?: string };
  const haproxy = await versionOf("haproxy").catch(() => undefined);
  if (haproxy === undefined) console.error("haproxy is not installed: its rows are left out");
  const all = comparedProxies({
    haproxy: haproxy !== undefined,
    ...flopsy === undefined ? {} : { flopsy },
    ...kagehq === undefined ? {} : { kagehq },
  });
  const rows: Row[] = [];
  for (const fault of FAULTS) {
    if (args._.length > 0 && !args._.includes(fault.name)) continue;
    const unsupported = fault.unsupportedReason?.();
    if (unsupported !== undefined) console.error(`${fault.name}: ${unsupported}`);
    else rows.push([fault, await applyFault(fault, all)]);
  }
  const text = page(rows, all, haproxy);
  console.log(text);
  if (args._.length === 0) {
    await Deno.mkdir(new URL(".", FILE), { recursive: true });
    await Deno.writeTextFile(FILE, text);
    await new Deno.Command(Deno.execPath(), { args: ["fmt", "--quiet", FILE.pathname] }).output();
  }
  return rows.some(isBroken) ? 1 : 0;
}

/** Applies one fault to all proxies at the same time, since they mostly wait. */
async function applyFault(
  fault: Fault,
  all: readonly ComparedProxy[],
): Promise<Map<ComparedProxy, Result>> {
  const startedAt = performance.now();
  const report = (error: Error) => {
    console.error(`${fault.name}: ${error.message}`);
    return "did not serve";
  };
  const results = await Promise.all(
    all.map(async (each): Promise<readonly [ComparedProxy, Result]> => [
      each,
      await runFault(fault, each).catch(report),
    ]),
  );
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  console.error(`${fault.name}: shown in ${seconds} s`);
  return new Map(results);
}

/** True if something happened that must not happen, whatever the fault. */
function isBroken([, results]: Row): boolean {
  return [...results].some(([{ name }, tally]) =>
    name.startsWith("failover,") && tally !== undefined &&
    (typeof tally === "string" || tally.doubled + tally.wrongBytes > 0)
  );
}

function page(rows: readonly Row[], all: readonly ComparedProxy[], haproxy?: string): string {
  const others = haproxy === undefined
    ? ""
    : ` HAProxy is ${haproxy}, with \`backup\` and redispatch.`;
  return `# What faults cost

Made by \`deno task faults\`; each row can be run alone, by its name. Two upstreams, six clients that ask
on a connection of their own ten times a second (half GET, half POST, 2 KB each way), and four sessions
that get a byte every 50 ms. Checks come every 200 ms and may take 500 ms, three failures take an upstream
down; all other options have their defaults.${others} Proxies run beside each other on one small machine, so some
milliseconds of a stall are the machine's.

- **failed**: requests that no upstream read and nobody answered: the client was turned away, gave up
  after 8 s, or its request lay unread in the sockets of an upstream that died.
- **lost**: requests that an upstream got and whose answer never came, whole. What the dead primary was
  just answering is lost to any TCP proxy.
- **doubled**: POSTs that upstreams got more than once. A GET may be repeated.
- **wrong**: bytes of bodies or answers that are not those that were sent.
- **stall**: the longest that any client waited, in seconds.
- **cut**: sessions that ended although nothing had befallen their upstream.

"Packets dropped" is an accept queue that is full, which answers no connection either. The clock that
jumps is the one that the proxy sees: no namespace has a wall clock of its own.
${(["TCP", "HTTP"] as const).map((mode) => section(mode, rows, all)).join("")}`;
}

function section(mode: Mode, rows: readonly Row[], all: readonly ComparedProxy[]): string {
  const here = all.filter((each) => each.mode === mode);
  const lines = rows.flatMap(([fault, results]) =>
    here.flatMap((proxyKind) => {
      const tally = results.get(proxyKind);
      return tally === undefined ? [] : [`| ${cells(fault, proxyKind, tally).join(" | ")} |`];
    })
  );
  return `
## ${mode} mode

| fault | name | proxy | asked | failed | lost | doubled | wrong | stall | cut |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
${lines.join("\n")}
`;
}

function cells(fault: Fault, { name }: ComparedProxy, tally: Tally | string): (string | number)[] {
  if (typeof tally === "string") return [fault.title, fault.name, name, tally];
  const { asked, failed, lost, doubled, wrongBytes, longestMs, cut } = tally;
  const stall = (longestMs / 1_000).toFixed(2);
  return [fault.title, fault.name, name, asked, failed, lost, doubled, wrongBytes, stall, cut];
}

if (import.meta.main) Deno.exit(await main());
