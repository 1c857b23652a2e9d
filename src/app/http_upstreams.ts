/**
 * The upstreams of an HTTP service: makes, from the configuration of each, a way to send requests to it and a
 * health check. Part of the composition root.
 */
import type { Clock } from "../base/clock.ts";
import type { Target, UrlTarget } from "../config/http_kinds.ts";
import type { HttpConfig } from "../config/options.ts";
import type { Probe } from "../failover/ports.ts";
import type { Upstream } from "../failover/upstream.ts";
import type { GatewayUpstream, StaticUpstream } from "../gateway/upstream.ts";
import {
  type CheckedUpstream,
  checkedUpstreams,
  type HttpUpstreamsDeps,
  probeOf,
  targetsOf,
} from "./http_checks.ts";

/** The upstreams of one service, for a thread that forwards. */
export interface HttpUpstreams {
  /** In rank order. */
  readonly list: readonly Upstream[];
  /** How to forward to each upstream, by its name. */
  readonly ways: ReadonlyMap<string, GatewayUpstream>;
  /** Checks the health of any of them. */
  readonly probe: Probe;
  /** For the next list of the same service. */
  readonly checked: readonly CheckedUpstream[];
}

/**
 * Makes the upstreams. Nothing is connected yet. `numbers`: by name, for counts (`UpstreamNumbers`). Those of `former`
 * are used again where nothing has changed.
 */
export function httpUpstreams(
  config: HttpConfig,
  deps: HttpUpstreamsDeps,
  numbers: Readonly<Record<string, number>>,
  former?: HttpUpstreams,
): HttpUpstreams {
  const checked = checkedUpstreams(config, deps, former?.checked);
  const targets = targetsOf(config);
  const ways = checked.map(({ upstream, server }, rank): GatewayUpstream => ({
    ...server ?? filesUpstream(upstream, targets[rank] as Exclude<Target, UrlTarget>, deps.clock),
    number: numbers[upstream.name]!,
  }));
  return {
    checked,
    list: checked.map(({ upstream }) => upstream),
    ways: new Map(ways.map((way) => [way.upstream.name, way])),
    probe: probeOf(checked),
  };
}

/** A folder or a page. The code that serves it is loaded at once, as it may be needed when nothing else works. */
function filesUpstream(
  upstream: Upstream,
  { kind, path }: Exclude<Target, UrlTarget>,
  clock: Clock,
): StaticUpstream {
  const loading = import("../gateway/static/static.ts").then(({ folderBackup, pageBackup }) =>
    kind === "folder" ? folderBackup(path, clock) : pageBackup(path, clock)
  );
  loading.catch(() => {}); // each request is told
  return { kind: "static", upstream, respond: async (request) => await (await loading)(request) };
}
