/** The state of services as text, and the exit code that it means. Pure. */
import { formatBytes } from "../base/bytes.ts";
import { formatDuration } from "../base/duration.ts";
import { oneLine } from "../base/one_line.ts";

/** An order that stands, in the state report. */
interface ReportedOrder {
  readonly since_unix: number;
  readonly by: string;
  readonly reason: string;
}

/**
 * The fields of an upstream in the state report (`admin/state_report.ts`) that are used here. Those with a question
 * mark are missing in reports of earlier versions.
 */
export interface UpstreamState {
  readonly name: string;
  readonly rank: number;
  readonly active: boolean;
  readonly verdict: "up" | "down" | "unknown";
  readonly since_unix: number;
  readonly drained: ReportedOrder | null;
  /** What the server says of itself; null where checks do not learn that. */
  readonly server?: {
    readonly role: "primary" | "standby" | "unknown";
    readonly lag_bytes: number | null;
    readonly lag_seconds: number | null;
  } | null;
  /** Why it may not be chosen although it is up. */
  readonly barred?: { readonly kind: string; readonly reason: string } | null;
  readonly last_results: readonly { readonly reason: string; readonly time: string }[];
  readonly what_would_change_it: string;
}

/** The fields of a service in the state report that are used here. */
export interface ServiceState {
  readonly service: string;
  readonly mode: string;
  readonly phase: string;
  readonly active: string | null;
  readonly candidate: string | null;
  readonly admission: string;
  readonly since_unix: number;
  readonly epoch: number;
  readonly paused: ReportedOrder | null;
  readonly held_by_order: ReportedOrder | null;
  readonly pinned: string | null;
  readonly cluster?: ClusterState | null;
  readonly counters: Readonly<Record<string, number>>;
  readonly upstreams: readonly UpstreamState[];
}

/** What `/__failover/state` says of the proxies that share the decision. */
interface ClusterState {
  readonly instance: string;
  readonly role: "leads" | "follows" | "cut_off" | "alone";
  readonly leader: string | null;
  readonly coordinator_trouble: string | null;
  readonly lease_left_ms: number;
  readonly proxies: readonly { readonly instance: string; readonly differs: string | null }[];
}

/** The services of an answer: one is flat, several are a list. */
export function servicesOf(body: Readonly<Record<string, unknown>>): readonly ServiceState[] {
  return (Array.isArray(body.services) ? body.services : [body]) as readonly ServiceState[];
}

/** 0: all have their primary; 1: one is on a backup; 2: one serves no new client from an upstream that is up. */
export function exitCodeOf(services: readonly ServiceState[]): number {
  return Math.max(
    0,
    ...services.map(({ active, admission, upstreams }) => {
      if (admission !== "open") return 2;
      const serving = upstreams.find(({ name }) => name === active);
      return serving === undefined || serving.verdict === "down" ? 2 : serving.rank === 0 ? 0 : 1;
    }),
  );
}

/** What `/__failover/state` says of the config; earlier versions did not say it. */
interface ReportedConfig {
  readonly read_unix: number;
  readonly last_reload: {
    readonly time_unix: number;
    readonly by: string;
    readonly outcome: string;
    readonly changes: readonly string[];
    readonly errors: readonly string[];
  } | null;
}

/** All services, with an empty line between two. `nowMs` is the time since 1970 in milliseconds. */
export function statusText(services: readonly ServiceState[], nowMs: number): string {
  return services.map((service) => serviceLines(service, nowMs / 1_000).join("\n")).join("\n\n");
}

/** The same for a whole answer, with the last reload if there was one. */
export function processText(body: Readonly<Record<string, unknown>>, nowMs: number): string {
  const reload = reloadLine(body.config as ReportedConfig | undefined, nowMs / 1_000);
  return [statusText(servicesOf(body), nowMs), ...reload].join("\n\n");
}

function reloadLine(config: ReportedConfig | undefined, now: number): string[] {
  if (config === undefined || config.last_reload === null) return [];
  const { time_unix, by, outcome, changes, errors } = config.last_reload;
  const when = `${age(time_unix, now)} ago, by ${by}`;
  if (outcome === "refused") {
    const [first = "", ...others] = errors;
    const more = others.length === 0 ? "" : ` (and ${others.length} more)`;
    const inForce = `the config of ${age(config.read_unix, now)} ago is in force`;
    return [oneLine(`RELOAD REFUSED ${when}: ${first}${more}; ${inForce}`)];
  }
  const count = changes.length === 1 ? "1 change" : `${changes.length} changes`;
  return [`last reload ${when}: ${changes.length === 0 ? "nothing has changed" : count}`];
}

function serviceLines(service: ServiceState, now: number): string[] {
  const { paused, held_by_order: held, pinned, upstreams, counters } = service;
  const width = Math.max(...upstreams.map(({ name }) => name.length));
  return [
    `${service.service} (${service.mode}): ${sentence(service)}, for ${
      age(service.since_unix, now)
    }`,
    ...paused === null ? [] : [`  PAUSED ${order(paused, now)}: no automatic decision is made`],
    ...held === null ? [] : [`  HELD ${order(held, now)}: new clients wait`],
    ...pinned === null ? [] : [`  moved to ${pinned} by order: no automatic failback from there`],
    ...upstreams.map((upstream) => upstreamLine(upstream, width, now)),
    ...clusterLines(service.cluster),
    `  ${readiness(service)}`,
    `  ${counters.active ?? 0} sessions, ${counters.held ?? 0} held, ${
      counters.lost ?? 0
    } lost since the start`,
  ];
}

/** The other proxies; nothing for a proxy that is alone. */
function clusterLines(cluster: ClusterState | null | undefined): string[] {
  if (cluster === null || cluster === undefined) return [];
  const { role, leader, coordinator_trouble: trouble, proxies, lease_left_ms: leftMs } = cluster;
  const why = trouble === null ? "" : ` (${trouble})`;
  const count = proxies.length === 1 ? "1 proxy" : `${proxies.length} proxies`;
  const words = {
    leads: `leads ${count}, lease ${Math.floor(leftMs / 1_000)}s`,
    follows: `follows ${leader ?? "no proxy, since none leads"}, ${count}`,
    cut_off:
      `ETCD CANNOT BE REACHED${why}: the last decision, if it is known, is served, nothing is promoted`,
    alone: `ETCD CANNOT BE REACHED${why}: this proxy decides alone`,
  }[role];
  return [
    `  cluster: ${words}`,
    ...proxies.flatMap(({ instance, differs }) =>
      differs === null ? [] : [`  proxy ${instance} DIFFERS: ${differs}`]
    ),
  ];
}

/** What the service is doing, in a few words. */
function sentence(
  { active, candidate, admission, phase, epoch, upstreams, cluster }: ServiceState,
): string {
  if (candidate !== null) return `moving to ${candidate} (epoch ${epoch})`;
  if (active === null) {
    const why = cluster?.role === "cut_off"
      ? "NO UPSTREAM IS CHOSEN without etcd"
      : "NO UPSTREAM IS UP";
    return admission === "open"
      ? `${why}, clients are let through all the same`
      : `NOT SERVING (${phase}), new clients are ${admission === "closed" ? "refused" : "held"}`;
  }
  const upstream = upstreams.find(({ name }) => name === active);
  const isDown = upstream?.verdict === "down" ? ", which is DOWN" : "";
  return `${active} serves${isDown} (rank ${upstream?.rank ?? "?"}, epoch ${epoch})`;
}

function order({ by, reason, since_unix }: ReportedOrder, now: number): string {
  return `for ${age(since_unix, now)} by ${by}${reason === "" ? "" : ` (${reason})`}`;
}

function upstreamLine(upstream: UpstreamState, width: number, now: number): string {
  const { name, active, verdict, drained, since_unix, last_results } = upstream;
  const role = active ? "active" : drained === null ? "" : `drained by ${drained.by}`;
  const last = oneLine(last_results.at(-1)?.reason ?? "not checked yet");
  const state = `${verdict} for ${age(since_unix, now)}`.padEnd(16);
  const { barred = null } = upstream;
  const may = barred === null || active ? "" : `, MAY NOT BE CHOSEN: ${barred.reason}`;
  return `  ${active ? "*" : " "} ${name.padEnd(width)}  ${state} ${last}${lagWords(upstream)}${
    role && ` [${role}]`
  }${may}; ${upstream.what_would_change_it}`;
}

/** `, 1.5MB behind`, for a standby whose lag is known. */
function lagWords({ server }: UpstreamState): string {
  if (server?.role !== "standby") return "";
  const { lag_bytes: bytes, lag_seconds: seconds } = server;
  const lag = [
    ...bytes === null ? [] : [formatBytes(Math.round(bytes))],
    ...seconds === null ? [] : [formatDuration(Math.round(seconds * 1_000))],
  ];
  return lag.length === 0 ? "" : `, ${lag.join(" and ")} behind`;
}

/** Whether another upstream could take over now. */
function readiness({ upstreams, paused, cluster }: ServiceState): string {
  if (paused !== null) return "NOT READY: paused, so no failover begins by itself";
  if (cluster?.role === "cut_off") return "NOT READY: without etcd no failover begins";
  const next = upstreams.find(({ active, verdict, drained, barred = null }) =>
    !active && verdict === "up" && drained === null &&
    // It waits for somebody else who promotes it.
    (barred === null || barred.kind === "waits")
  );
  return next === undefined
    ? "NOT READY: no other upstream could take over"
    : `ready: ${next.name} could take over`;
}

function age(since: number, now: number): string {
  return formatDuration(Math.max(0, Math.round(now - since)) * 1_000);
}
