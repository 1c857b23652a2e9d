/** The kinds of work of a benchmark: its upstream, its load, and how it is counted. */
import { answers, Background, freePort, run } from "./programs.ts";

/** The result of one measurement: units of work per second, and all units, for the CPU time of one. */
export interface Measured {
  readonly rate: number;
  readonly units: number;
}

export interface Work {
  readonly name: string;
  /** What a person reads in the table. */
  readonly title: string;
  readonly rateUnit: string;
  readonly cpuUnit: string;
  /** CPU seconds for one unit, times this, are printed as `cpuUnit`. */
  readonly cpuScale: number;
  /** Starts the upstream; resolves when it answers. */
  serve(
    folder: string,
    pinned: readonly string[],
  ): Promise<{ port: number; program: AsyncDisposable }>;
  ask(port: number, seconds: number, pinned: readonly string[]): Promise<Measured>;
}

/** Bulk transfer by iperf3: rate in Gbit/s, units in GB (1e9 bytes). */
function bulk(streams: number): Work {
  return {
    name: `bulk${streams}`,
    title: `bulk, ${streams} ${streams === 1 ? "stream" : "streams"}`,
    rateUnit: "Gbit/s",
    cpuUnit: "s/GB",
    cpuScale: 1,
    async serve(_folder, pinned) {
      const port = freePort();
      const program = new Background([...pinned, "iperf3", "-s", "-p", `${port}`], true);
      await answers(port);
      return { port, program };
    },
    async ask(port, seconds, pinned) {
      const [program, ...args] = [
        ...pinned,
        "iperf3",
        "-J",
        ...["-c", "127.0.0.1", "-p", `${port}`, "-t", `${seconds}`, "-P", `${streams}`],
      ];
      const text = await run(program!, args);
      const received = JSON.parse(text)?.end?.sum_received;
      if (received === undefined) throw new Error(`iperf3 measured nothing: ${text.slice(-500)}`);
      return { rate: received.bits_per_second / 1e9, units: received.bytes / 1e9 };
    },
  };
}

/** Requests by wrk, over kept connections or a new one each time. */
export function requests(
  name: string,
  title: string,
  connections: number,
  kept: boolean,
  path = "/",
  scheme: "http" | "https" = "http",
): Work {
  return {
    name,
    title,
    rateUnit: kept ? "requests/s" : "connections/s",
    cpuUnit: kept ? "µs/request" : "µs/connection",
    cpuScale: 1e6,
    serve: serveFolder,
    async ask(port, seconds, pinned) {
      const [program, ...args] = [
        ...pinned,
        // A late answer shows in the rate; one that never arrives is an error.
        ...["wrk", "-t1", `-c${connections}`, `-d${seconds}`, "--timeout", "10s"],
        ...(kept ? [] : ["-H", "Connection: close"]),
        `${scheme}://127.0.0.1:${port}${path}`,
      ];
      const text = await run(program!, args);
      const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]);
      const units = Number(/(\d+) requests in/.exec(text)?.[1]);
      if (!(units > 0) || /Non-2xx|Socket errors/.test(text)) {
        throw new Error(`wrk measured nothing: ${text.slice(-500)}`);
      }
      return { rate, units };
    },
  };
}

/** A file that bulk streams beside a session download. */
export const BULK_PATH = "/bulk.bin";

/** A folder for configuration and the files of the upstream, removed in the end. */
export async function benchFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await Deno.makeTempDir({ prefix: "failover-bench-" });
  // nginx's worker runs as another user, who must be able to look inside.
  await Deno.chmod(path, 0o755);
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

/** Starts the upstream of the works in HTTP. */
export async function serveFolder(folder: string, pinned: readonly string[]) {
  const port = freePort();
  const file = `${folder}/upstream-${port}.conf`;
  await Deno.writeTextFile(file, upstreamConfig(folder, port));
  const program = new Background([...pinned, "nginx", "-c", file]);
  await answers(port);
  return { port, program };
}

/** An nginx that answers `/` with a word, and anything else from `folder`. */
function upstreamConfig(folder: string, port: number): string {
  return `daemon off;
worker_processes 1;
pid ${folder}/upstream-${port}.pid;
error_log /dev/null;
events { worker_connections 8192; }
http {
  access_log off;
  sendfile on;
  keepalive_requests 1000000000;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = / { return 200 "hello"; }
    # In small turns, so that a session beside bulk streams does not wait for the upstream.
    location = ${BULK_PATH} { root ${folder}; sendfile_max_chunk 256k; }
    location / { root ${folder}; }
  }
}
`;
}

export const bulk1 = bulk(1);
export const bulk16 = bulk(16);
export const small50 = requests("small50", "small requests, 50 kept connections", 50, true);

export const connect50 = requests("connect", "a new connection for each request", 50, false);

export const secure50 = requests(
  "https-small",
  "small requests over TLS, 50 kept connections",
  50,
  true,
  "/",
  "https",
);
export const handshake50 = requests(
  "https-connect",
  "a new connection over TLS for each request",
  50,
  false,
  "/",
  "https",
);

/** Clients of a full handshake at one time. */
const HANDSHAKERS = 8;

/**
 * A request with a full handshake each, by `openssl s_time`: other than wrk it resumes no session. Its own count of
 * seconds is whole, so the time is taken here.
 */
export const fullHandshakes: Work = {
  name: "https-handshake",
  title: "a full handshake over TLS for each request",
  rateUnit: "connections/s",
  cpuUnit: "µs/connection",
  cpuScale: 1e6,
  serve: serveFolder,
  async ask(port, seconds, pinned) {
    const [program, ...args] = [
      ...[...pinned, "openssl", "s_time", "-new", "-www", "/"],
      ...["-connect", `127.0.0.1:${port}`, "-time", `${Math.max(1, Math.round(seconds))}`],
    ];
    const since = performance.now();
    const texts = await Promise.all(
      Array.from({ length: HANDSHAKERS }, () => run(program!, args)),
    );
    const tookS = (performance.now() - since) / 1_000;
    const counts = texts.map((text) => Number(/(\d+) connections in \d+ real/.exec(text)?.[1]));
    if (!counts.every((count) => count > 0)) {
      throw new Error(`openssl measured nothing: ${texts[0]!.slice(-500)}`);
    }
    const units = counts.reduce((sum, count) => sum + count, 0);
    return { rate: units / tookS, units };
  },
};

/** The works of the TCP benchmark. */
export const WORKS: readonly Work[] = [
  bulk1,
  bulk16,
  small50,
  requests("small1000", "small requests, 1 000 kept connections", 1_000, true),
  connect50,
];
