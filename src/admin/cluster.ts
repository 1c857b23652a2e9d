/** What the operator sees of the other proxies: in the state report, the metrics and on the page. Pure. */
import type { ClusterReport } from "../failover/cluster.ts";
import { family, type Sample } from "./exposition.ts";
import type { ServiceView } from "./view.ts";

type Json = Readonly<Record<string, unknown>>;

/** The cluster in the state report; null for a proxy that is alone. */
export function clusterJson(view: ServiceView): Json | null {
  const report = view.cluster?.();
  if (report === undefined) return null;
  const { instance, role, leader, isReachable, reason, leaseLeftMs, decision, proxies } = report;
  return {
    instance,
    role: role === "cutOff" ? "cut_off" : role,
    leader: leader ?? null,
    coordinator_reachable: isReachable,
    coordinator_trouble: reason ?? null,
    lease_left_ms: Math.round(leaseLeftMs),
    decision: decision === undefined ? null : {
      epoch: decision.epoch,
      phase: decision.phase,
      to: decision.to,
      from: decision.from ?? null,
      move: decision.move,
      reason: decision.reason,
      by: decision.by,
    },
    proxies: proxies.map((proxy) => ({ ...proxy, differs: proxy.differs ?? null })),
  };
}

/** What is said loudly; empty while all is well, or for a proxy that is alone. */
export function clusterTroubles(view: ServiceView): readonly string[] {
  const report = view.cluster?.();
  if (report === undefined) return [];
  const { role, reason, proxies } = report;
  const why = reason === undefined ? "" : ` (${reason})`;
  return [
    ...role === "cutOff"
      ? [
        `etcd cannot be used${why}: the last decision, if it is known, is served, and nothing is promoted.`,
      ]
      : role === "alone"
      ? [`etcd cannot be used${why}: this proxy decides alone.`]
      : [],
    ...proxies.flatMap(({ instance, differs }) =>
      differs === undefined ? [] : [`Proxy ${instance} differs: ${differs}.`]
    ),
  ];
}

/** The metrics of services that share their decisions; none where there are none. */
export function clusterFamilies(views: readonly ServiceView[]): string[] {
  const reports = views.flatMap((view) => {
    const report = view.cluster?.();
    return report === undefined ? [] : [[view.name, report] as const];
  });
  if (reports.length === 0) return [];
  const each = (read: (report: ClusterReport) => number): Sample[] =>
    reports.map(([service, report]) => [{ service }, read(report)]);
  return [
    family(
      "failover_cluster_leader",
      "gauge",
      "1 if this proxy decides for all proxies of its cluster.",
      each(({ role }) => Number(role === "leads")),
    ),
    family(
      "failover_cluster_proxies",
      "gauge",
      "Live proxies of the cluster, this one included, as far as it knows.",
      each(({ proxies }) => proxies.length),
    ),
    family(
      "failover_cluster_proxies_differing",
      "gauge",
      "Live proxies with another version or another list of upstreams than this one.",
      each(({ proxies }) => proxies.filter(({ differs }) => differs !== undefined).length),
    ),
    family(
      "failover_coordinator_reachable",
      "gauge",
      "1 if the last call to etcd was answered.",
      each(({ isReachable }) => Number(isReachable)),
    ),
    family(
      "failover_lease_left_seconds",
      "gauge",
      "How long the lease of this proxy lasts for certain; at 0 it decides nothing and serves the last decision.",
      each(({ leaseLeftMs }) => leaseLeftMs / 1_000),
    ),
  ];
}
