/**
 * The table of all options, the only place that lists them. Each row determines the flag, the environment
 * variable, the YAML key, the type, the line in `--help` and the row in `.github/docs/options.md`.
 *
 * The key is the name in code: `checkInterval` is `--check-interval`, `FAILOVER_CHECK_INTERVAL` and
 * `check_interval:`.
 */
import { anyTarget, errorRange, reportUrl, serverTarget, statusRange } from "./http_kinds.ts";
import {
  anyInterfacePort,
  choice,
  count,
  countOrAuto,
  duration,
  failback,
  fileMode,
  flag,
  host,
  list,
  listener,
  network,
  onOff,
  type OptionKind,
  path,
  pathOrOff,
  pathOrStdout,
  pattern,
  size,
  sizeWithin,
} from "./kinds.ts";
import { type Mode, type Option, rows, words } from "./rows.ts";

export { flagOf, yamlKeyOf } from "./rows.ts";

const tcp = rows({ group: "TCP mode", scope: "service", mode: "tcp" });
const http = rows({ group: "HTTP mode", scope: "service", mode: "http" });
const checks = rows({ group: "Checks", scope: "service", mode: "both" });
const switching = rows({ group: "Switching", scope: "service", mode: "both" });
const clients = rows({ group: "Clients and sessions", scope: "service", mode: "both" });
const upstreams = rows({ group: "HTTP requests", scope: "service", mode: "http" });
const reports = rows({ group: "Reports", scope: "process", mode: "both" });
const process = rows({ group: "Process", scope: "process", mode: "both" });
const commands = rows({ group: "Commands", scope: "command", mode: "both" });

/** All options, in the order of `--help`. */
export const OPTIONS = {
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
    writes: { tcp: "bind", http: "listen" },
  }),
  bind: tcp(listener, "Listen here instead; also unix:/PATH", {
    short: "b",
    required: true,
    own: true,
  }),
  sendProxy: tcp(
    choice("none", "v1", "v2"),
    "Begin each upstream connection with a PROXY protocol header",
    { default: "none" },
  ),

  primary: http(serverTarget, "The upstream to use while it is up", { required: true, own: true }),
  backup: http(
    list(anyTarget, "URL"),
    "Used while the primary is down; also file:///FOLDER or page:FILE. May be given several times, best first",
    { own: true },
  ),
  listen: http(listener, "Listen here", { default: "0.0.0.0:8080", own: true }),
  tlsCert: http(path, "Certificate chain to serve HTTPS with (PEM)"),
  tlsKey: http(path, "Private key of that certificate (PEM)"),

  checkInterval: checks(duration(10), "Time between two checks of an upstream", {
    default: "2s",
  }),
  checkTimeout: checks(duration(1), "Time an upstream has to accept a connection, or answer", {
    default: { tcp: "1s", http: "2s" },
  }),
  checkHost: checks(path, "Program that decides whether a host is usable: exit code 0 is yes", {
    short: "c",
  }),
  checkScriptTimeout: checks(duration(1), "Time that program has", { default: "5s" }),
  checkPath: checks(
    pattern("PATH", /^\/[!-"$-~]*$/, "a path that begins with / and has no spaces"),
    "Path to ask for, instead of the upstream's own",
    { mode: "http" },
  ),
  checkStatus: checks(
    list(statusRange, "CODES"),
    "Status codes that pass; redirects aren't followed",
    {
      mode: "http",
      default: "200-399",
    },
  ),
  failThreshold: checks(count(1, 100), "Failed checks in a row until an upstream is down", {
    default: "3",
  }),
  recoverThreshold: checks(count(1, 100), "Passed checks in a row until it is up again", {
    default: "2",
  }),

  onFailover: switching(path, "Program to run on each switch, or a folder of them", { short: "f" }),
  triggerTimeout: switching(duration(), "Time each of those programs has; 0 is no limit", {
    default: "0s",
  }),
  triggerMode: switching(
    choice("before", "beside"),
    "Whether clients wait for those programs or not",
    { default: { tcp: "before", http: "beside" } },
  ),
  onTriggerFailure: switching(
    choice("continue", "retry", "next"),
    "When such a program fails: let clients in nevertheless, run it again, or take the next upstream",
    { default: "continue" },
  ),
  maxBackoff: switching(
    duration(1),
    "Longest pause between two rounds of looking for an upstream",
    {
      short: "B",
      env: "MAX_BACKOFF",
      default: "60s",
    },
  ),
  failback: switching(
    failback,
    "Go back to a better upstream: never, auto (when it is up), manual, or when up for this long",
    { default: { tcp: "never", http: "auto" } },
  ),
  failbackDamping: switching(onOff, "Go back later each time when that happens often", {
    default: "on",
  }),

  hold: clients(duration(), "Longest wait of a new client for an upstream; 0 turns it away", {
    default: "10s",
  }),
  holdWhile: clients(
    choice("promoting", "down"),
    "Hold clients while switching, or also while all upstreams are down",
    { default: { tcp: "promoting", http: "down" } },
  ),
  holdClients: clients(count(0), "Clients that may wait at one time; 0 lets nobody wait", {
    default: "1000",
  }),
  sessionsOnDown: clients(choice("cut", "keep"), "Sessions of an upstream that went down", {
    default: "cut",
  }),
  sessionsOnMove: clients(
    choice("cut", "drain", "keep"),
    "Sessions of an upstream that is up when traffic moves back: cut before the switch's programs run, drained after it, or kept; default cut in TCP mode with such a program or a check program, else drain",
  ),
  grace: clients(duration(), "Time sessions that are cut have to end by themselves", {
    default: "1s",
  }),
  connectTimeout: clients(duration(1), "Time one attempt to connect to an upstream has", {
    default: "3s",
  }),
  idleTimeout: clients(duration(), "End a session that is silent for this long; 0 is never", {
    default: "0s",
  }),
  relay: clients(
    choice("auto", "stream", "splice"),
    "Engine that moves the bytes: splice needs Linux, stream runs anywhere, auto takes the faster",
    { default: "auto" },
  ),
  acceptProxy: clients(
    choice("none", "v1", "v2", "any"),
    "Each connection begins with a PROXY protocol header, which names the client; others are closed",
    { default: "none" },
  ),
  maxConnectionsPerClient: clients(
    count(1),
    "Connections of one client, which is an IPv4 address or a /64 of IPv6; more are closed at once; by default without limit",
  ),
  maxConnections: clients(count(1), "Clients at one time; more wait to be accepted", {
    default: "10000",
  }),

  maxBody: upstreams(size, "Largest request body", { default: "10MB" }),
  maxHead: upstreams(sizeWithin(1024, 1024 * 1024), "Largest request head", { default: "64KiB" }),
  headTimeout: upstreams(duration(1), "Time a client has to send the head of a request", {
    default: "10s",
  }),
  bodyTimeout: upstreams(duration(1), "Time between two bytes of a request's body", {
    default: "30s",
  }),
  writeTimeout: upstreams(duration(1), "Time a client or upstream has to take more bytes", {
    default: "30s",
  }),
  keepAliveTimeout: upstreams(duration(1), "Time a client has to begin its next request", {
    default: "75s",
  }),
  upstreamKeep: upstreams(count(0, 10_000), "Idle connections that are kept to each upstream", {
    default: "256",
  }),
  upstreamKeepIdle: upstreams(duration(1), "Time such a connection is kept without a request", {
    default: "30s",
  }),
  upstreamKeepAge: upstreams(duration(), "Age at which it is closed; 0 is never", {
    default: "0s",
  }),
  retryOn: upstreams(
    list(errorRange, "CODES,…"),
    "Status codes, like 502-504, after which a safe or idempotent request goes to another upstream; by default none",
  ),
  responseTimeout: upstreams(
    duration(),
    "Time an upstream has to begin its answer; 0 is no limit",
    {
      default: "60s",
    },
  ),
  responseIdleTimeout: upstreams(
    duration(),
    "Time between two bytes of a response, unless it is an event stream; 0 is no limit",
    {
      default: "60s",
    },
  ),
  preserveHost: upstreams(flag, "Send the client's Host to upstreams, not their own", {
    default: "off",
  }),
  allowTrace: upstreams(
    flag,
    "Pass TRACE on, whose answer shows headers that were added on the way",
    {
      default: "off",
    },
  ),
  caFile: upstreams(path, "Certificates of authorities to trust for upstreams (PEM)"),
  trustedProxies: upstreams(
    list(network, "CIDR,…"),
    "Proxies before this one: what their X-Forwarded-* and Forwarded say of a client is kept and extended, from others it is replaced; clients on a unix socket count as trusted",
  ),
  requestId: upstreams(
    flag,
    "Give each request an X-Request-Id, or keep a harmless one of the client, for upstream, client and access log",
    { default: "off" },
  ),
  honourIdempotencyKey: upstreams(
    flag,
    "Also repeat unsafe requests that carry an Idempotency-Key",
    { default: "off" },
  ),
  noFailoverHeader: upstreams(flag, "Leave out the response header that reports a failover", {
    default: "off",
  }),
  errorPage: upstreams(path, "Page to send when no upstream is left"),

  webhookUrl: reports(reportUrl, "Tell this URL of failovers and recoveries", { secret: true }),
  webhookFormat: reports(
    choice("auto", "slack", "discord", "json"),
    "What it understands; auto goes by the URL",
    { default: "auto" },
  ),
  admin: reports(listener, "Serve state and metrics here"),
  publicState: reports(
    choice("brief", "full", "off"),
    "What the main port shows in HTTP mode: brief: four fields of the state; full: the whole state and the metrics; off: health and readiness only, as by default with --admin",
    { default: "brief", mode: "http" },
  ),
  adminHosts: reports(
    list(
      pattern("NAME", /^[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?$/, "the name of a host, without a port"),
      "NAMES",
    ),
    "Names, separated by commas, by which requests may call that listener, beside addresses and localhost; others are refused, because a web page may have made its own name lead here",
  ),
  adminTokenFile: reports(
    path,
    "File with the bearer token that orders need there; without it they are refused there",
  ),
  control: reports(
    pathOrOff,
    "Unix socket for commands; default failover.sock in $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR or /run/failover",
  ),
  accessLog: reports(
    pathOrStdout,
    "Write a line for each request to this file, or to stdout (-); a file that was moved is made again, at SIGHUP at once",
    { default: "off", scope: "service", mode: "http" },
  ),
  accessLogFormat: reports(
    choice("combined", "json"),
    "Lines as those of Apache and nginx, with upstream and times behind them, or JSON objects",
    { default: "combined", scope: "service", mode: "http" },
  ),
  jsonLogs: reports(flag, "Log one JSON object a line", { default: "off" }),
  logLevel: reports(choice("debug", "info", "warn", "error"), "Least important thing to log", {
    default: "info",
  }),

  workers: process(
    countOrAuto(1, 64),
    "Threads that move bytes, shared by all services; auto is one for each core that may be used",
    { default: "1" },
  ),
  name: process(
    pattern("NAME", /^[A-Za-z0-9][\w.-]{0,63}$/, "up to 64 letters, digits and . _ -"),
    "Name of the service in logs and state",
    { scope: "service", own: true, default: { tcp: "tcp", http: "http" } },
  ),
  drainDelay: process(
    duration(),
    "How long it goes on serving new clients when the process is to stop, so that balancers see that /__failover/ready says 503",
    { default: "0s" },
  ),
  drainTimeout: process(
    duration(),
    "Time running sessions have when the process is to stop, or when they are drained after a move",
    {
      default: "30s",
    },
  ),
  socketMode: process(
    fileMode,
    "Permission bits of the unix sockets that are listened on, whatever the umask says",
    { default: "0666" },
  ),
  stateDir: process(
    path,
    "Folder for what outlives the process: who served, orders, the epoch and incidents; it is made if it is missing",
  ),
  scriptsDir: process(
    path,
    "Folder whose check-host.sh and triggers.d are used where check-host and on-failover aren't given",
  ),

  config: commands(path, "YAML file with options", { env: "FAILOVER_CONFIG" }),
  checkConfig: commands(flag, "Say whether the options are good, and end"),
  printConfig: commands(flag, "Print every option with its origin, and end"),
  generate: commands(
    choice("bash", "zsh", "fish", "man", "tcp-sample", "http-sample", "schema"),
    "Print completions for a shell, the manual page, a sample file or its JSON schema, and end",
  ),
  help: commands(flag, "Print this text, and end", { short: "h" }),
  version: commands(flag, "Print the version, and end", { short: "V" }),
};

/** The name of an option in code. */
export type Key = keyof typeof OPTIONS;

/** All keys, in the order of the table. */
export const KEYS = Object.keys(OPTIONS) as readonly Key[];

/** The row of an option, with its type widened to `Option`. */
export function optionOf(key: Key): Option {
  return OPTIONS[key];
}

type ReadBy<O> = O extends { readonly kind: OptionKind<infer T> } ? T : never;
/** What `--generate` can print. */
export type DocumentName = ReadBy<(typeof OPTIONS)["generate"]>;
type Value<O> = O extends { readonly default: unknown } | { readonly required: true } ? ReadBy<O>
  : ReadBy<O> | undefined;
type KeysWhere<Wanted> = {
  [K in Key]: (typeof OPTIONS)[K] extends { readonly writes: unknown } ? never
    : (typeof OPTIONS)[K] extends Wanted ? K
    : never;
}[Key];
type Values<K extends Key> = { readonly [P in K]: Value<(typeof OPTIONS)[P]> };

/** The origin of each value: `flag --hosts`, `environment HOSTS`, `config.yaml line 3` or `default`. */
interface WithOrigins {
  readonly origins: Readonly<Partial<Record<Key, string>>>;
}

type ServiceKeys<M extends Mode> = KeysWhere<
  { readonly scope: "service"; readonly mode: M | "both" }
>;

/** All options of one TCP service. */
export type TcpConfig = { readonly mode: "tcp" } & Values<ServiceKeys<"tcp">> & WithOrigins;
/** All options of one HTTP service. */
export type HttpConfig = { readonly mode: "http" } & Values<ServiceKeys<"http">> & WithOrigins;

/** All options of one service; `mode` tells which. */
export type ServiceConfig = TcpConfig | HttpConfig;
/** The options that all services of the process share. */
export type ProcessConfig = Values<KeysWhere<{ readonly scope: "process" }>> & WithOrigins;

/** The complete configuration, frozen. */
export interface Config {
  readonly process: ProcessConfig;
  /** At least one; names and listening addresses differ. */
  readonly services: readonly ServiceConfig[];
}

/** `checkInterval` → `FAILOVER_CHECK_INTERVAL`; undefined for options that no variable can set. */
export function envOf(key: Key): string | undefined {
  if (optionOf(key).scope === "command") return undefined;
  return `FAILOVER_${words(key).join("_").toUpperCase()}`;
}
