/**
 * `deno task upgrades [--rate 1000] [--upgrades 10]`: new clients come at a steady rate, requests go over kept
 * connections, and pgbench works, while processes take over one after another. Prints a line for each engine and
 * kind of load. Exit code 1 if a client was refused, reset or lost. It uses the loopback only.
 */
import { parseArgs } from "@std/cli/parse-args";
import { Arrivals, PATIENT } from "../harness/arrivals.ts";
import { Child } from "../harness/child.ts";
import { Folder } from "../harness/folder.ts";
import { Postgres, POSTGRES_BIN } from "../harness/postgres.ts";
import { type Flags, startProxy } from "../harness/proxy.ts";
import { ENGINES } from "../harness/scenario.ts";
import { askSteadily, SteadyCount } from "../harness/steady_clients.ts";
import { startUpstream } from "../harness/upstream.ts";
import { Upgradable } from "../harness/upgradable.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

/** The pause between two upgrades, in milliseconds. */
const BETWEEN_MS = 1_000;
const REQUEST_CLIENTS = 16;
const BENCH_CLIENTS = 8;

interface Findings {
  readonly served: number | string;
  readonly failed: readonly string[];
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Upgrades so many times, with a pause before and after each; resolves with how long each took, in milliseconds. */
async function upgradeTimes(it: Upgradable, times: number): Promise<number[]> {
  const took: number[] = [];
  await pause(BETWEEN_MS);
  for (let done = 0; done < times; done++) {
    const began = performance.now();
    const { status, lines } = await it.upgrade();
    if (status !== 200) throw new Error(`not upgraded: ${lines.join("; ")}`);
    took.push(performance.now() - began);
    await pause(BETWEEN_MS);
  }
  return took;
}

async function connections(relay: Flags, rate: number, times: number) {
  const began = performance.now();
  await using upstream = await startUpstream({ says: "here" });
  await using it = await Upgradable.start((flags) =>
    startProxy({
      upstreams: [upstream],
      flags: { ...PATIENT, ...flags, ...relay, "log-level": "info" },
    })
  );
  const clients = new Arrivals(it.proxy.address, rate, "here");
  const took = await upgradeTimes(it, times);
  await clients[Symbol.asyncDispose]();
  const perSecond = Math.round(1_000 * clients.served / (performance.now() - began));
  const served = `${clients.served} (${perSecond} each second)`;
  return { took, served, failed: clients.failed };
}

async function requests(relay: Flags, times: number) {
  await using upstream = await WebUpstream.start("here");
  await using it = await Upgradable.start((flags) =>
    startWebProxy({
      primary: upstream,
      flags: { ...PATIENT, ...flags, ...relay, "log-level": "info" },
    })
  );
  const count = new SteadyCount();
  const steadiness = { fresh: false, pauseMs: 5 };
  const asking = askSteadily(it.proxy.address, REQUEST_CLIENTS, steadiness, count);
  const took = await upgradeTimes(it, times);
  const { answered } = count;
  Deno.kill(it.pid, "SIGTERM");
  await asking;
  return { took, served: answered, failed: count.lost };
}

async function database(relay: Flags, times: number, isKept: boolean) {
  await using folder = await Folder.make();
  await Deno.chmod(folder.path, 0o777);
  await using server = await Postgres.alone(folder.at("data"));
  await using it = await Upgradable.start((flags) =>
    startProxy({
      upstreams: [server],
      flags: { ...PATIENT, ...flags, ...relay, "log-level": "info" },
    })
  );
  const [host, port] = it.proxy.address.split(":") as [string, string];
  const where = ["-h", host, "-p", port, "-U", "postgres", "-n"];
  const lines: string[] = [];
  const run = async (args: readonly string[]) => {
    const take = (line: string) => void lines.push(line);
    await using child = new Child(`${POSTGRES_BIN}/pgbench`, {
      args: [...where, ...args, "postgres"],
      onOut: take,
      onErr: take,
    });
    return (await child.ended).code;
  };
  await run(["-i", "-q"]);
  // Longer than all upgrades; each takes less than a second.
  const seconds = String(Math.ceil(2 * (times + 1) * BETWEEN_MS / 1_000));
  const bench = run(["-c", String(BENCH_CLIENTS), "-T", seconds, ...isKept ? [] : ["-C", "-S"]]);
  const took = await upgradeTimes(it, times);
  const code = await bench;
  const text = lines.join("\n");
  const failedOnes = /number of failed transactions: (\d+)/.exec(text)?.[1];
  const served = `${/actually processed: (\d+)/.exec(text)?.[1]} transactions`;
  const failed = code === 0 && failedOnes === "0" ? [] : [text.slice(-500)];
  return { took, served, failed };
}

const USAGE = `Usage: deno task upgrades [--rate N] [--upgrades N]

  --rate N       new connections a second (default 1000)
  --upgrades N   processes that take over, one after another, for each kind of load (default 10)`;

/** What the arguments ask for; the exit code if they ask for nothing. */
function readArguments(): { readonly rate: number; readonly times: number } | number {
  let isWrong = false;
  const args = parseArgs(Deno.args, {
    string: ["rate", "upgrades"],
    boolean: ["help"],
    unknown: () => {
      isWrong = true;
      return false;
    },
  });
  const [rate, times] = [Number(args.rate ?? 1_000), Number(args.upgrades ?? 10)];
  const isCount = (value: number) => Number.isSafeInteger(value) && value > 0;
  isWrong ||= !isCount(rate) || !isCount(times);
  if (!args.help && !isWrong) return { rate, times };
  (isWrong ? console.error : console.log)(USAGE);
  return isWrong ? 2 : 0;
}

async function main(): Promise<number> {
  const wanted = readArguments();
  if (typeof wanted === "number") return wanted;
  const { rate, times } = wanted;
  let isBroken = false;
  const show = (what: string, { took, served, failed }: Findings & { took: number[] }) => {
    const sorted = took.toSorted((a, b) => a - b).map(Math.round);
    const times = `${sorted[Math.floor(sorted.length / 2)]} ms each, ${sorted.at(-1)} ms at most`;
    console.log(
      `${what}: ${took.length} upgrades (${times}); ${served} served, ${failed.length} failed`,
    );
    for (const line of failed.slice(0, 10)) console.log(`  ${line}`);
    isBroken ||= failed.length > 0;
  };
  for (const relay of ENGINES) {
    show(`[${relay}] ${rate} connections/s`, await connections({ relay }, rate, times));
    show(`[${relay}] requests over kept connections`, await requests({ relay }, times));
    if (POSTGRES_BIN === undefined) continue;
    show(`[${relay}] pgbench, a connection each`, await database({ relay }, times, false));
    if (relay === "stream") continue;
    show(`[${relay}] pgbench, kept sessions`, await database({ relay }, times, true));
  }
  return isBroken ? 1 : 0;
}

Deno.exit(await main());
