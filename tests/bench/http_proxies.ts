/** The proxies that are compared as HTTP proxies, with one thread each, and our TCP mode beside them. */
import { EXECUTABLE } from "../harness/proxy.ts";
import { type Command, ours, starter } from "./proxies.ts";

/** In the order of the table. */
export const HTTP_PROXIES = ["haproxy", "nginx", "failover"] as const;

/** The real program in HTTP mode. */
export function web(more: readonly string[]): Command {
  return (_folder, port, upstreamPort) => {
    const flags = [
      "--primary",
      `http://127.0.0.1:${upstreamPort}`,
      "--log-level",
      "error",
      ...more,
    ];
    return Promise.resolve([
      ...[Deno.execPath(), ...EXECUTABLE],
      ...[...flags, "--listen", `127.0.0.1:${port}`],
    ]);
  };
}

const COMMANDS: Readonly<Record<string, Command>> = {
  async nginx(folder, port, upstreamPort) {
    const file = `${folder}/nginx-${port}.conf`;
    await Deno.writeTextFile(
      file,
      `daemon off;
worker_processes 1;
pid ${folder}/nginx-${port}.pid;
error_log /dev/null;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 1000000000;
  proxy_temp_path ${folder}/proxy-${port};
  upstream up { server 127.0.0.1:${upstreamPort}; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://up;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_max_temp_file_size 0;
    }
  }
}
`,
    );
    return ["nginx", "-c", file];
  },
  async haproxy(folder, port, upstreamPort) {
    const file = `${folder}/haproxy-${port}.cfg`;
    await Deno.writeTextFile(
      file,
      `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  option forwardfor
  option splice-auto
  http-reuse always
  timeout connect 3s
  timeout client 1h
  timeout server 1h
listen relay
  bind 127.0.0.1:${port} backlog 4096
  server upstream 127.0.0.1:${upstreamPort}
`,
    );
    return ["haproxy", "-db", "-f", file];
  },
  failover: web([]),
  splice: ours("splice"),
};

export const startHttpProxy = starter(COMMANDS);
