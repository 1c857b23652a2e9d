/**
 * The upstreams of an HTTP service: makes, from the configuration of each, a way to send requests to it and a
 * health check. Part of the composition root.
 */
import { Networks } from "../base/cidr.ts";
import type { Clock } from "../base/clock.ts";
import type { Target, UrlTarget } from "../config/http_kinds.ts";
import type { HttpConfig } from "../config/options.ts";
import type { Probe } from "../failover/ports.ts";
import type { Upstream } from "../failover/upstream.ts";
import { requestRules } from "../gateway/headers.ts";
import { folderBackup, pageBackup, staticProbe } from "../gateway/static/static.ts";
import type { GatewayUpstream } from "../gateway/upstream.ts";
import { httpProbe } from "../health/http.ts";
import type { Dial } from "../net/conn.ts";
import { dialer } from "../net/deno/transport.ts";
import type { Deadlines } from "../net/deadlines.ts";
import { Pool } from "../http1/pool.ts";
import type { Sockets } from "../net/transport.ts";

export interface HttpUpstreams {
  /** In rank order. */
  readonly list: readonly Upstream[];
  /** How to forward to each upstream, by its name. */
  readonly ways: ReadonlyMap<string, GatewayUpstream>;
  /** Checks the health of any of them. */
  readonly probe: Probe;
}

/** The dependencies that all upstreams share. */
export interface HttpUpstreamsDeps {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly sockets: Sockets;
  /** Certificate authorities to trust in addition to the usual ones, in PEM. */
  readonly caCerts: readonly string[] | undefined;
  /** What the service calls itself in `Via`. */
  readonly pseudonym: string;
}

export function httpUpstreams(config: HttpConfig, deps: HttpUpstreamsDeps): HttpUpstreams {
  const targets: readonly Target[] = [config.primary, ...config.backup ?? []];
  const reached = targets.map((target, rank) =>
    target.kind === "url"
      ? serverUpstream(target, rank, config, deps)
      : staticUpstream(target, rank, deps.clock)
  );
  const probes = new Map(reached.map(({ way, probe }) => [way.upstream.name, probe]));
  return {
    list: reached.map(({ way }) => way.upstream),
    ways: new Map(reached.map(({ way }) => [way.upstream.name, way])),
    probe: (upstream, context, signal) => probes.get(upstream.name)!(upstream, context, signal),
  };
}

interface Reached {
  readonly way: GatewayUpstream;
  readonly probe: Probe;
}

function staticUpstream(
  { kind, path, name }: Exclude<Target, UrlTarget>,
  rank: number,
  clock: Clock,
): Reached {
  const upstream = { name, rank, address: { kind: "unix", path } } as const;
  const respond = kind === "folder" ? folderBackup(path, clock) : pageBackup(path, clock);
  return { way: { kind: "static", upstream, respond }, probe: staticProbe(kind, path, clock) };
}

function serverUpstream(
  target: UrlTarget,
  rank: number,
  config: HttpConfig,
  deps: HttpUpstreamsDeps,
): Reached {
  const { clock, deadlines } = deps;
  const { name, url, host, address } = target;
  const {
    preserveHost,
    checkTimeout,
    checkStatus,
    checkPath,
    responseIdleTimeout,
    connectTimeout,
  } = config;
  const rules = requestRules(url.host, {
    host,
    preserveHost,
    headers: headersOf(target),
    pseudonym: deps.pseudonym,
    trusted: new Networks(config.trustedProxies ?? []),
    requestId: config.requestId,
  });
  const { headers } = rules;
  const dial = dialOf(target, connectTimeout, deps);
  const pool = new Pool({ dial, deadlines, bodyMs: responseIdleTimeout });
  const settings = { timeoutMs: checkTimeout, statuses: checkStatus };
  const check = { pool, target: checkPath ?? url.pathname, host: host ?? url.host, headers };
  return {
    way: {
      kind: "server",
      upstream: { name, rank, address },
      origin: url.origin,
      basePath: url.pathname.replace(/\/+$/, ""),
      pool,
      rules,
    },
    probe: httpProbe(settings, () => check, clock),
  };
}

function dialOf(
  { url, address }: UrlTarget,
  connectMs: number,
  { clock, sockets, caCerts }: HttpUpstreamsDeps,
): Dial {
  if (address.kind !== "tcp") throw new Error("an HTTP upstream without a port");
  const options = { hostname: address.host, port: address.port, clock, connectMs };
  if (url.protocol !== "https:") return sockets.dialer(options);
  return dialer({ ...options, tls: caCerts === undefined ? {} : { caCerts } });
}

/** The operator's headers; user and password of the URL become one, unless there is one already. */
function headersOf({ url, headers }: UrlTarget): UrlTarget["headers"] {
  const hasOwn = headers.some(([name]) => name.toLowerCase() === "authorization");
  if (hasOwn || (url.username === "" && url.password === "")) return headers;
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  const utf8 = String.fromCharCode(...new TextEncoder().encode(pair));
  return [...headers, ["Authorization", `Basic ${btoa(utf8)}`]];
}
