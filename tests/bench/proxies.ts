/** The proxies that are compared, each set up to relay TCP with one thread, as fast as it can. */
import type { Comparison } from "./compare.ts";
import { EXECUTABLE } from "../harness/proxy.ts";
import { answers, Background, freePort } from "./programs.ts";

export const PROXIES = ["haproxy", "nginx", "stream", "splice"] as const;
type ProxyName = typeof PROXIES[number];

/** nginx's TCP proxy. */
export const NGINX_STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so";

/** Writes the files of a proxy into `folder`, and returns the command that runs it on `port`. */
export type Command = (folder: string, port: number, upstreamPort: number) => Promise<string[]>;

/** Starts the proxies of a table; `pinned` is put before a command. Each resolves when it listens. */
export function starter(commands: Readonly<Record<string, Command>>): Comparison["start"] {
  return async (name, folder, upstreamPort, pinned) => {
    const port = freePort();
    const command = await commands[name]!(folder, port, upstreamPort);
    const program = new Background([...pinned, ...command]);
    await answers(port);
    return { name, port, program };
  };
}

/**
 * The real program in TCP mode. The other proxies check no upstream here; it does at the start, and then
 * once an hour. Upstreams at the ports `backups` come after the first.
 */
export function ours(
  engine: string,
  more: readonly string[] = CHECK_ONCE,
  backups: readonly number[] = [],
): Command {
  return (_folder, port, upstreamPort) => {
    const hosts = [upstreamPort, ...backups].map((each) => `127.0.0.1:${each}`).join(",");
    const flags = ["--relay", engine, "--log-level", "error", ...more];
    const ends = ["--hosts", hosts, "--bind", `127.0.0.1:${port}`];
    return Promise.resolve([Deno.execPath(), ...EXECUTABLE, ...flags, ...ends]);
  };
}

/** HAProxy, with `more` lines after the one of the upstream. */
function haproxy(more: readonly string[]): Command {
  return async (folder, port, upstreamPort) => {
    const file = `${folder}/haproxy-${port}.cfg`;
    await Deno.writeTextFile(
      file,
      `global
  nbthread 1
  maxconn 6000
defaults
  mode tcp
  option splice-auto
  timeout connect 3s
  timeout client 1h
  timeout server 1h
listen relay
  bind 127.0.0.1:${port} backlog 4096
  server upstream 127.0.0.1:${upstreamPort}
${more.map((line) => `  ${line}\n`).join("")}`,
    );
    return ["haproxy", "-db", "-q", "-f", file];
  };
}

/**
 * HAProxy with backups at `ports`, which it checks each `intervalMs` milliseconds, by HTTP: a check that only
 * connects is reset before the upstream can accept it.
 */
export function haproxyChecking(intervalMs: number, ports: readonly number[]): Command {
  const servers = ports.map((port) =>
    `server backup${port} 127.0.0.1:${port} check inter ${intervalMs} backup`
  );
  return haproxy(["option httpchk GET /", "timeout check 5s", ...servers]);
}

/** iperf3 takes a check for a client, which disturbs one that it is serving. */
const CHECK_ONCE = ["--check-interval", "1h"];

const COMMANDS: Readonly<Record<ProxyName, Command>> = {
  haproxy: haproxy([]),
  async nginx(folder, port, upstreamPort) {
    const file = `${folder}/nginx-${port}.conf`;
    await Deno.writeTextFile(
      file,
      `load_module ${NGINX_STREAM};
daemon off;
worker_processes 1;
pid ${folder}/nginx-${port}.pid;
error_log /dev/null;
events { worker_connections 16384; }
stream {
  server {
    listen 127.0.0.1:${port} backlog=4096;
    proxy_pass 127.0.0.1:${upstreamPort};
    proxy_connect_timeout 3s;
    proxy_timeout 1h;
    tcp_nodelay on;
  }
}
`,
    );
    return ["nginx", "-c", file];
  },
  stream: ours("stream"),
  splice: ours("splice"),
};

export const startProxy = starter(COMMANDS);
