import { anyTarget, serverTarget } from "../http_kinds.ts";
import { anyInterfacePort, choice, count, host, list, listener, path, pattern } from "../kinds.ts";
import { rows } from "../rows.ts";

const tcp = rows({ group: "TCP mode", scope: "service", mode: "tcp" });
const http = rows({ group: "HTTP mode", scope: "service", mode: "http" });

/** Where a TCP service listens, and its upstreams. */
export const TCP_OPTIONS = {
  hosts: tcp(
    list(host, "HOST:PORT,…"),
    "Upstreams, best first: HOST:PORT, [IPV6]:PORT or unix:/PATH",
    { short: "H", env: "HOSTS", required: true, own: true },
  ),
  port: tcp(anyInterfacePort, "Listen on this port of all interfaces; works in HTTP mode too", {
    short: "p",
    env: "PORT",
    mode: "both",
    own: true,
    fixed: "a port that is open stays open",
    writes: { tcp: "bind", http: "listen" },
  }),
  bind: tcp(listener, "Listen here instead; also unix:/PATH", {
    short: "b",
    required: true,
    own: true,
    fixed: "a port that is open stays open",
  }),
  sendProxy: tcp(
    choice("none", "v1", "v2"),
    "Begin each upstream connection with a PROXY protocol header",
    { default: "none" },
  ),
};

/** Where an HTTP service listens, and its upstreams. */
export const HTTP_OPTIONS = {
  primary: http(serverTarget, "The upstream to use while it is up", { required: true, own: true }),
  backup: http(
    list(anyTarget, "URL"),
    "Used while the primary is down; also file:///FOLDER or page:FILE. May be given several times, best first",
    { own: true },
  ),
  listen: http(listener, "Listen here", {
    default: "0.0.0.0:8080",
    own: true,
    fixed: "a port that is open stays open",
  }),
  tlsCert: http(
    list(path, "PATH"),
    "Certificate chain to serve HTTPS with (PEM), or a folder of NAME.crt and NAME.key. May be given several times: the name that a client asks for chooses",
  ),
  tlsKey: http(
    list(path, "PATH"),
    "Private key of that certificate (PEM); for several, in the same order",
  ),
  redirectHttp: http(
    count(1, 65_535),
    "Also listen on this port of the same address, and send clients of HTTP to HTTPS",
    { own: true, fixed: "a port that is open stays open" },
  ),
  hsts: http(
    pattern(
      "max-age=SECONDS",
      /^max-age=\d{1,10}(; ?includeSubDomains)?(; ?preload)?$/,
      "max-age=SECONDS, which may be followed by ; includeSubDomains and ; preload",
    ),
    "Tell browsers, in each answer over HTTPS, to use nothing else for so long (Strict-Transport-Security); by default nothing is said",
  ),
  clientCa: http(
    path,
    "Certificates of the authorities by which clients must be certified, over HTTPS (PEM)",
  ),
};
