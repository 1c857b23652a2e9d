/**
 * `deno task bench services`: many services in one file, each with two upstreams that are checked, compared
 * with a HAProxy that has as many: how soon all of them listen, and what the process needs when it is idle.
 */
import { type BenchOptions, isComplete, pins, printHeader } from "./compare.ts";
import { cpuTime, residentBytes, threadTimes } from "./processes.ts";
import { answers, Background, freePort, listens } from "./programs.ts";
import { EXECUTABLE } from "../harness/proxy.ts";
import { head, median, number, pause, row } from "./table.ts";
import { benchFolder } from "./work.ts";

/** One line of the table. */
export interface Case {
  readonly name: string;
  readonly title: string;
  /** How many services. */
  readonly count: number;
  readonly proxy: "haproxy" | "failover, TCP mode" | "failover, HTTP mode";
}

/** The measurements of one process; NaN if they could not be made because not all services listened in time. */
export interface Idle {
  /** From the start of the process until the last service listened. */
  readonly seconds: number;
  readonly rssMb: number;
  readonly threads: number;
  /** CPU time while it is idle, in percent of one core. */
  readonly cpuPercent: number;
}

/** The time in which all services must listen, and the memory at which the process is given up. */
const LISTEN_MAX_MS = 20_000;
const RESIDENT_MAX = 4 * 2 ** 30;
/** The time until the work of the start is over: the first checks, and V8's compilation. */
const SETTLE_MS = 2_000;
/** The same for many services: what only the start needed is given back, and each start was an incident of 10 s. */
const MANY = 200;
const SETTLE_MANY_MS = 12_000;
/** How long the idle process is watched. Upstreams are checked each 2 s. */
export const WATCH_SECONDS = 5;
/** Programs of the table, beside ours. */
const PROGRAMS = ["haproxy", "nginx"];

export const CASES: readonly Case[] = [
  ...[1, 50, 200].flatMap((count): Case[] => [
    { name: `${count}`, title: `${count}`, count, proxy: "haproxy" },
    { name: `${count}`, title: "", count, proxy: "failover, TCP mode" },
  ]),
  { name: "1", title: "1", count: 1, proxy: "failover, HTTP mode" },
];

/** Runs the benchmark and prints its table. False if it could not run. */
export async function benchServices(options: BenchOptions): Promise<boolean> {
  if (!await isComplete(PROGRAMS, options)) return false;
  await using folder = await benchFolder();
  await printHeader(PROGRAMS, options);
  console.log(
    head(["services", "proxy", ">all listen after", ">memory", ">threads", ">idle CPU, of a core"]),
  );
  const cases = CASES.filter(({ name }) => options.only?.includes(name) ?? true);
  const results = await measureServices(cases, folder.path, options);
  for (const [{ title, proxy }, { seconds, rssMb, threads, cpuPercent }] of results) {
    console.log(row([
      title,
      proxy,
      Number.isNaN(seconds) ? `not in ${LISTEN_MAX_MS / 1_000} s` : `${number(seconds)} s`,
      `${number(rssMb)} MB`,
      `${threads}`,
      Number.isNaN(cpuPercent) ? "" : `${number(cpuPercent)} %`,
    ]));
  }
  return true;
}

/** Medians of the rounds, in each of which every case is measured. */
export async function measureServices(
  cases: readonly Case[],
  folder: string,
  { rounds, seconds, pin }: Pick<BenchOptions, "rounds" | "seconds" | "pin">,
): Promise<Map<Case, Idle>> {
  const { proxy, load } = pins(pin);
  const most = Math.max(...cases.map(({ count }) => count));
  const upstreamPort = freePort();
  await using _upstreams = await serveAll(most, upstreamPort, folder, load);
  const looks = new Map<Case, Idle[]>(cases.map((each) => [each, []]));
  for (let round = 0; round < rounds; round++) {
    for (const each of cases) {
      looks.get(each)!.push(await measureIdle(each, seconds, folder, upstreamPort, proxy));
    }
  }
  return new Map([...looks].map(([each, all]) => {
    const of = (field: keyof Idle) => median(all.map((idle) => idle[field]));
    return [each, {
      seconds: of("seconds"),
      rssMb: of("rssMb"),
      threads: of("threads"),
      cpuPercent: of("cpuPercent"),
    }];
  }));
}

/** Starts a process, waits until all its services listen and it is idle, and measures it. */
async function measureIdle(
  { count, proxy }: Case,
  watchSeconds: number,
  folder: string,
  upstreamPort: number,
  pinned: readonly string[],
): Promise<Idle> {
  const port = freePort();
  const command = await COMMANDS[proxy](count, folder, port, upstreamPort);
  const startedAt = performance.now();
  await using program = new Background([...pinned, ...command], true);
  const hasAll = await listen(program.pid, port, count);
  const seconds = hasAll ? (performance.now() - startedAt) / 1_000 : NaN;
  if (hasAll) await pause(count < MANY ? SETTLE_MS : SETTLE_MANY_MS);
  const before = cpuTime(program.pid);
  const watchedAt = performance.now();
  if (hasAll) await pause(1_000 * watchSeconds);
  const after = cpuTime(program.pid);
  const usedMs = Math.round(
    1_000 * (after.user + after.system - before.user - before.system),
  );
  return {
    seconds,
    rssMb: residentBytes(program.pid) / 2 ** 20,
    threads: threadTimes(program.pid).length,
    cpuPercent: hasAll ? 100 * usedMs / (performance.now() - watchedAt) : NaN,
  };
}

/** Whether all services listen within the time and the memory that a process has for it. */
async function listen(pid: number, port: number, count: number): Promise<boolean> {
  const deadline = performance.now() + LISTEN_MAX_MS;
  while (performance.now() < deadline && residentBytes(pid) < RESIDENT_MAX) {
    if (await listens(port, count, 500)) return true;
  }
  return false;
}

/** Each service has an address of its own below 127.2.0.0, so that one free port is enough for all. */
function serviceAddress(service: number, port: number): string {
  return `127.2.0.${service + 1}:${port}`;
}

/** Each upstream has an address of its own below 127.3.0.0. */
function upstreamAddress(service: number, upstream: number, port: number): string {
  return `127.3.${upstream}.${service + 1}:${port}`;
}

/** An nginx that is all upstreams of all services. */
async function serveAll(
  count: number,
  port: number,
  folder: string,
  pinned: readonly string[],
): Promise<AsyncDisposable> {
  const file = `${folder}/upstreams-${port}.conf`;
  const addresses = numbers(count).flatMap((service) =>
    [0, 1].map((upstream) => upstreamAddress(service, upstream, port))
  );
  await Deno.writeTextFile(
    file,
    `daemon off;
worker_processes 1;
pid ${folder}/upstreams-${port}.pid;
error_log /dev/null;
events { worker_connections 8192; }
http {
  access_log off;
  server {
${addresses.map((address) => `    listen ${address};`).join("\n")}
    location / { return 200 "hello"; }
  }
}
`,
  );
  const program = new Background([...pinned, "nginx", "-c", file]);
  await answers(port);
  return program;
}

type Services = (
  count: number,
  folder: string,
  port: number,
  upstreamPort: number,
) => Promise<string[]>;

function ours(service: (service: number, port: number, upstreamPort: number) => string): Services {
  return async (count, folder, port, upstreamPort) => {
    const file = `${folder}/services-${port}.yaml`;
    const services = numbers(count).map((each) => service(each, port, upstreamPort));
    await Deno.writeTextFile(file, `services:\n${services.join("")}`);
    const flags = ["--config", file, "--log-level", "error"];
    return [Deno.execPath(), ...EXECUTABLE, ...flags];
  };
}

const COMMANDS: Readonly<Record<Case["proxy"], Services>> = {
  "failover, TCP mode": ours((service, port, upstreamPort) => {
    const hosts = [0, 1].map((upstream) => upstreamAddress(service, upstream, upstreamPort));
    return `  s${service}:
    bind: ${serviceAddress(service, port)}
    hosts: [${hosts.map((host) => `"${host}"`).join(", ")}]
`;
  }),
  "failover, HTTP mode": ours((service, port, upstreamPort) =>
    `  s${service}:
    listen: ${serviceAddress(service, port)}
    primary: http://${upstreamAddress(service, 0, upstreamPort)}
    backup: http://${upstreamAddress(service, 1, upstreamPort)}
`
  ),
  async haproxy(count, folder, port, upstreamPort) {
    const file = `${folder}/services-${port}.cfg`;
    const services = numbers(count).map((service) =>
      `listen s${service}
  bind ${serviceAddress(service, port)}
  server first ${upstreamAddress(service, 0, upstreamPort)} check inter 2s
  server second ${upstreamAddress(service, 1, upstreamPort)} check inter 2s backup
`
    );
    await Deno.writeTextFile(
      file,
      `global
  nbthread 1
  maxconn 6000
defaults
  mode tcp
  timeout connect 3s
  timeout client 1h
  timeout server 1h
${services.join("")}`,
    );
    return ["haproxy", "-db", "-f", file];
  },
};

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}
