/** The proxies that are compared as HTTPS proxies, with one thread each and the same certificate (P-256). */
import { writeCertificate } from "../../src/net/testing/certificate.ts";
import { web } from "./http_proxies.ts";
import { type Command, starter } from "./proxies.ts";

/** A certificate and its key in one file, as HAProxy wants them. */
async function certificateIn(folder: string): Promise<{ cert: string; key: string; both: string }> {
  const files = {
    cert: `${folder}/cert.pem`,
    key: `${folder}/key.pem`,
    both: `${folder}/both.pem`,
  };
  const isThere = await Deno.stat(files.both).then(() => true, () => false);
  if (!isThere) {
    const { cert, key } = await writeCertificate(folder);
    await Deno.writeTextFile(files.both, cert + key);
  }
  return files;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  async haproxy(folder, port, upstreamPort) {
    const { both } = await certificateIn(folder);
    const file = `${folder}/haproxy-https-${port}.cfg`;
    await Deno.writeTextFile(
      file,
      `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  option forwardfor
  http-reuse always
  timeout connect 3s
  timeout client 1h
  timeout server 1h
listen relay
  bind 127.0.0.1:${port} backlog 4096 ssl crt ${both} alpn h2,http/1.1 ssl-min-ver TLSv1.2
  server upstream 127.0.0.1:${upstreamPort}
`,
    );
    return ["haproxy", "-db", "-f", file];
  },
  async nginx(folder, port, upstreamPort) {
    const { cert, key } = await certificateIn(folder);
    const file = `${folder}/nginx-https-${port}.conf`;
    await Deno.writeTextFile(
      file,
      `daemon off;
worker_processes 1;
pid ${folder}/nginx-https-${port}.pid;
error_log /dev/null;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_temp_path ${folder}/body-https-${port};
  proxy_temp_path ${folder}/proxy-https-${port};
  upstream up { server 127.0.0.1:${upstreamPort}; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} ssl http2 backlog=4096;
    ssl_certificate ${cert};
    ssl_certificate_key ${key};
    location / {
      proxy_pass http://up;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_max_temp_file_size 0;
      proxy_request_buffering off;
    }
  }
}
`,
    );
    return ["nginx", "-c", file];
  },
  async failover(folder, port, upstreamPort) {
    const { cert, key } = await certificateIn(folder);
    return await web(["--tls-cert", cert, "--tls-key", key, "--max-body", "2GB"])(
      folder,
      port,
      upstreamPort,
    );
  },
};

export const startHttpsProxy = starter(COMMANDS);
