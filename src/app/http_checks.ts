/**
 * The upstreams of an HTTP service and their health checks: all that the thread of the control plane needs, which
 * does not forward. Part of the composition root.
 */
import { Networks } from "../base/cidr.ts";
import type { Clock } from "../base/clock.ts";
import type { Target, UrlTarget } from "../config/http_kinds.ts";
import type { HttpConfig } from "../config/options.ts";
import { isDown } from "../failover/health.ts";
import type { Probe } from "../failover/ports.ts";
import type { Upstream } from "../failover/upstream.ts";
import { requestRules } from "../gateway/headers.ts";
import { staticProbe } from "../gateway/static/probe.ts";
import type { ServerUpstream } from "../gateway/upstream.ts";
import { httpProbe } from "../health/http.ts";
import { Pool } from "../http1/pool.ts";
import type { Dial } from "../net/conn.ts";
import type { Deadlines } from "../net/deadlines.ts";
import type { DialTls, Sockets } from "../net/transport.ts";
import type { ControlPlane } from "./control_plane.ts";

/** The dependencies that all upstreams share. */
export interface HttpUpstreamsDeps {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly sockets: Sockets;
  /** How https upstreams are dialled: the same object for all of a service. */
  readonly tls: DialTls;
  /** What the service calls itself in `Via`. */
  readonly pseudonym: string;
}

/** An upstream that can be checked; `server` says how to forward to it, unless it is a folder or a page. */
export interface CheckedUpstream {
  readonly upstream: Upstream;
  /** All that it was made from but its rank: with the same text it can be used again. */
  readonly key: string;
  readonly probe: Probe;
  readonly server?: ServerUpstream;
}

/**
 * The upstreams in rank order. Those of `former` that would be made in the same way are used again, with their
 * connections.
 */
export function checkedUpstreams(
  config: HttpConfig,
  deps: HttpUpstreamsDeps,
  former: readonly CheckedUpstream[] = [],
): readonly CheckedUpstream[] {
  return targetsOf(config).map((target, rank) => {
    const key = keyOf(target, config, deps.tls);
    const same = former.find((each) => each.upstream.name === target.name && each.key === key);
    if (same !== undefined) return ranked(same, rank);
    return target.kind === "url"
      ? checkedServer(target, rank, { key, config, deps })
      : checkedFiles(target, rank, { key, clock: deps.clock });
  });
}

/** The same upstream at another place in the list. */
function ranked({ upstream, server, ...rest }: CheckedUpstream, rank: number): CheckedUpstream {
  const placed = { ...upstream, rank };
  return {
    ...rest,
    upstream: placed,
    ...server === undefined ? {} : { server: { ...server, upstream: placed } },
  };
}

function keyOf(target: Target, config: HttpConfig, dialTls: DialTls): string {
  const tls = target.kind === "url" && target.url.protocol === "https:" ? dialTls : undefined;
  const { preserveHost, checkTimeout, checkStatus, checkPath, responseIdleTimeout } = config;
  const { connectTimeout, writeTimeout, upstreamKeep, upstreamKeepIdle, upstreamKeepAge } = config;
  return JSON.stringify([
    [target, tls, preserveHost, checkTimeout, checkStatus, checkPath, responseIdleTimeout],
    [connectTimeout, writeTimeout, upstreamKeep, upstreamKeepIdle, upstreamKeepAge],
    [config.trustedProxies, config.requestId],
  ]);
}

/** In rank order. */
export function targetsOf({ primary, backup }: HttpConfig): readonly Target[] {
  return [primary, ...backup ?? []];
}

/** Checks the health of any of the upstreams. */
export function probeOf(all: readonly Pick<CheckedUpstream, "upstream" | "probe">[]): Probe {
  const probes = new Map(all.map(({ upstream, probe }) => [upstream.name, probe]));
  return (upstream, context, signal) => probes.get(upstream.name)!(upstream, context, signal);
}

function checkedFiles(
  { kind, path, name }: Exclude<Target, UrlTarget>,
  rank: number,
  { key, clock }: { readonly key: string; readonly clock: Clock },
): CheckedUpstream {
  const upstream = { name, rank, address: { kind: "unix", path } } as const;
  return { upstream, key, probe: staticProbe(kind, path, clock) };
}

function checkedServer(
  target: UrlTarget,
  rank: number,
  { key, config, deps }: {
    readonly key: string;
    readonly config: HttpConfig;
    readonly deps: HttpUpstreamsDeps;
  },
): CheckedUpstream {
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
  const pool = new Pool({
    dial,
    deadlines,
    bodyMs: responseIdleTimeout,
    writeMs: config.writeTimeout,
    idleMax: config.upstreamKeep,
    idleMs: config.upstreamKeepIdle,
    ageMs: config.upstreamKeepAge,
  });
  const settings = { timeoutMs: checkTimeout, statuses: checkStatus };
  const check = { pool, target: checkPath ?? url.pathname, host: host ?? url.host, headers };
  const upstream = { name, rank, address };
  const server: ServerUpstream = {
    kind: "server",
    upstream,
    origin: url.origin,
    basePath: url.pathname.replace(/\/+$/, ""),
    pool,
    rules,
  };
  return {
    upstream,
    key,
    server,
    probe: httpProbe(settings, () => check, clock),
  };
}

function dialOf(
  { url, address }: UrlTarget,
  connectMs: number,
  { clock, sockets, tls }: HttpUpstreamsDeps,
): Dial {
  if (address.kind !== "tcp") throw new Error("an HTTP upstream without a port");
  const options = { hostname: address.host, port: address.port, clock, connectMs };
  return sockets.dialer(url.protocol === "https:" ? { ...options, tls } : options);
}

/** The operator's headers; user and password of the URL become one, unless there is one already. */
function headersOf({ url, headers }: UrlTarget): UrlTarget["headers"] {
  const hasOwn = headers.some(([name]) => name.toLowerCase() === "authorization");
  if (hasOwn || (url.username === "" && url.password === "")) return headers;
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  const utf8 = String.fromCharCode(...new TextEncoder().encode(pair));
  return [...headers, ["Authorization", `Basic ${btoa(utf8)}`]];
}

/**
 * The upstreams that may take one exchange before a switch is decided: those that are neither down nor
 * drained.
 */
export function standIns(
  { state, policy }: Pick<ControlPlane, "state" | "policy">,
): readonly Upstream[] {
  return state.upstreams.filter(({ name }) =>
    !isDown(state.health.get(name)!, policy) && !state.drained.has(name)
  );
}

/** A name for `Via` that no other service has, because one proxy may be the upstream of another. */
export function newPseudonym(): string {
  return `failover-${crypto.randomUUID().slice(0, 8)}`;
}
