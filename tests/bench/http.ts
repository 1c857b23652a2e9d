/**
 * The HTTP benchmark: nginx as the upstream, and in front of it in turn the gateway, nginx and HAProxy as
 * HTTP proxies, each with one thread; interleaved rounds, medians, ratios to nginx of the same run. At the
 * end 2 GB through the gateway, and the most memory it had taken by then.
 */
import { answers, Background, freePort, missing, run } from "./programs.ts";
import { median } from "./table.ts";

export interface HttpBench {
  readonly rounds: number;
  /** Length of one measurement. */
  readonly seconds: number;
}

const PROXIES = ["nginx", "haproxy", "failover"] as const;
type ProxyName = typeof PROXIES[number];

const WORKS = [
  { title: "small responses, 64 kept connections", path: "/small", connections: 64 },
  { title: "1 MiB responses, 16 kept connections", path: "/files/big", connections: 16 },
] as const;
const BIG_BYTES = 1024 * 1024;
const HUGE_BYTES = 2 * 1024 * BIG_BYTES;

interface Running {
  readonly name: ProxyName;
  readonly port: number;
  readonly program: Background;
}

interface Result {
  /** Requests a second. */
  readonly rate: number;
  readonly p99Ms: number;
  /** Seconds of CPU per request, of the proxy alone. */
  readonly cpu: number;
}

/** Runs the benchmark and prints its table. False if it could not run. */
export async function benchHttp({ rounds, seconds }: HttpBench): Promise<boolean> {
  const lacking = await missing(["haproxy", "nginx", "wrk"]);
  lacking.forEach((line) => console.error(line));
  if (lacking.length > 0) return false;
  const folder = await Deno.makeTempDir({ prefix: "failover-bench-" });
  try {
    await using stack = new AsyncDisposableStack();
    const upstream = await startUpstream(folder, stack);
    const running: Running[] = [];
    for (const name of PROXIES) running.push(await startProxy(name, folder, upstream, stack));
    console.log("| work | proxy | requests/s | × nginx | p99 | CPU per request |");
    console.log("| --- | --- | ---: | ---: | ---: | ---: |");
    for (const work of WORKS) await measure(work, running, rounds, seconds);
    await measureMemory(running.find(({ name }) => name === "failover")!);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  return true;
}

async function measure(
  { title, path, connections }: typeof WORKS[number],
  running: readonly Running[],
  rounds: number,
  seconds: number,
): Promise<void> {
  const ask = (port: number, length: number) =>
    run("wrk", [
      "--latency",
      "-t1",
      `-c${connections}`,
      `-d${length}s`,
      `http://127.0.0.1:${port}${path}`,
    ]);
  const results = new Map<ProxyName, Result[]>(PROXIES.map((name) => [name, []]));
  for (const { port } of running) await ask(port, 1); // warms up code and caches
  for (let round = 0; round < rounds; round++) {
    for (const { name, port, program } of running) {
      const before = program.cpuSeconds();
      const text = await ask(port, seconds);
      const requests = Number(/(\d+) requests in/.exec(text)?.[1]);
      const cpu = (program.cpuSeconds() - before) / requests;
      results.get(name)!.push({ ...parse(text), cpu });
    }
  }
  const rateOf = (name: ProxyName) => median(results.get(name)!.map(({ rate }) => rate));
  for (const [name, each] of results) {
    const cells = [
      name === PROXIES[0] ? title : "",
      name,
      rateOf(name).toFixed(0),
      (rateOf(name) / rateOf("nginx")).toFixed(2),
      `${median(each.map(({ p99Ms }) => p99Ms)).toPrecision(3)} ms`,
      `${(median(each.map(({ cpu }) => cpu)) * 1e6).toFixed(1)} µs`,
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}

/** Reads what wrk prints; an answer that is no success makes the measurement worthless. */
function parse(text: string): Pick<Result, "rate" | "p99Ms"> {
  const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]);
  const [, amount, unit] = /99%\s+([\d.]+)(us|ms|s)/.exec(text) ?? [];
  if (!(rate > 0) || amount === undefined || /Non-2xx|Socket errors/.test(text)) {
    throw new Error(`wrk measured nothing:\n${text}`);
  }
  return {
    rate,
    p99Ms: Number(amount) * { us: 0.001, ms: 1, s: 1_000 }[unit as "us" | "ms" | "s"],
  };
}

async function measureMemory({ port, program }: Running): Promise<void> {
  const before = program.peakBytes();
  const answer = await fetch(`http://127.0.0.1:${port}/files/huge`);
  let bytes = 0;
  for await (const part of answer.body!) bytes += part.length;
  if (bytes !== HUGE_BYTES) throw new Error(`got ${bytes} of ${HUGE_BYTES} bytes`);
  const mebibytes = (count: number) => (count / 1024 / 1024).toFixed(0);
  console.log(
    `\nThe gateway's memory at its highest: ${mebibytes(before)} MiB before a transfer of ` +
      `${mebibytes(bytes)} MiB, ${mebibytes(program.peakBytes())} MiB after it`,
  );
}

async function startUpstream(folder: string, stack: AsyncDisposableStack): Promise<number> {
  const port = freePort();
  await Deno.mkdir(`${folder}/files`);
  await Deno.chmod(folder, 0o755);
  await Deno.writeFile(`${folder}/files/big`, new Uint8Array(BIG_BYTES));
  await Deno.create(`${folder}/files/huge`).then((file) => file.close());
  await Deno.truncate(`${folder}/files/huge`, HUGE_BYTES);
  const server = `server { listen 127.0.0.1:${port} backlog=4096; root ${folder};
    location /small { return 200 "Hello, world"; } }`;
  stack.use(new Background(await nginx(folder, "upstream", server)));
  await answers(port);
  return port;
}

async function nginx(folder: string, name: string, servers: string): Promise<string[]> {
  const file = `${folder}/${name}.conf`;
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${folder}/${name}-${kind};`).join(" ");
  await Deno.writeTextFile(
    file,
    `daemon off; worker_processes 1; pid ${folder}/${name}.pid; error_log /dev/null;
events { worker_connections 8192; }
http { access_log off; sendfile on; keepalive_requests 10000000; ${temp} ${servers} }
`,
  );
  return ["nginx", "-c", file];
}

async function startProxy(
  name: ProxyName,
  folder: string,
  upstream: number,
  stack: AsyncDisposableStack,
): Promise<Running> {
  const port = freePort();
  const program = stack.use(new Background(await COMMANDS[name](folder, port, upstream), true));
  await answers(port);
  return { name, port, program };
}

type Command = (folder: string, port: number, upstream: number) => Promise<string[]>;

const COMMANDS: Readonly<Record<ProxyName, Command>> = {
  nginx: (folder, port, upstream) =>
    nginx(
      folder,
      "proxy",
      `upstream up { server 127.0.0.1:${upstream}; keepalive 128; keepalive_requests 10000000; }
server { listen 127.0.0.1:${port} backlog=4096; location / { proxy_pass http://up;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_max_temp_file_size 0;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; } }`,
    ),
  async haproxy(folder, port, upstream) {
    const file = `${folder}/haproxy.cfg`;
    await Deno.writeTextFile(
      file,
      `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  option forwardfor
  timeout connect 3s
  timeout client 1h
  timeout server 1h
listen proxy
  bind 127.0.0.1:${port} backlog 4096
  server upstream 127.0.0.1:${upstream}
`,
    );
    return ["haproxy", "-db", "-f", file];
  },
  failover(_folder, port, upstream) {
    const script = new URL("../../src/main.ts", import.meta.url).pathname;
    const flags = [`--primary=http://127.0.0.1:${upstream}`, `--listen=127.0.0.1:${port}`];
    return Promise.resolve([Deno.execPath(), "run", "-A", "--quiet", script, ...flags]);
  },
};
