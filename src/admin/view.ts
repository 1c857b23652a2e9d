/**
 * What the admin endpoints see of one service: plain functions and values, so that they need not know the
 * data plane. Everything is read on request; nothing is copied in advance.
 */
import { HTTP2_RULES } from "../base/http2_rules.ts";
import type { Histogram } from "../base/histogram.ts";
import { isUp } from "../failover/health.ts";
import type { ClusterReport } from "../failover/cluster.ts";
import type { DrillResult } from "../failover/drill.ts";
import type { UpstreamHistory } from "../failover/history.ts";
import type { OperatorOrder, OrderOutcome, OrderSource } from "../failover/orders.ts";
import { type Bar, barOf } from "../failover/roles.ts";
import { activeOf, type Policy, type State } from "../failover/state.ts";

/** What a drill found. */
export interface DrillFindings {
  readonly result: DrillResult;
  /** How many programs run on each switch. */
  readonly triggers: number;
  /** How long each kind of fault would keep clients waiting, with what was measured; in milliseconds. */
  readonly faults: readonly DrillFault[];
}

/**
 * One kind of fault, as `failover explain` names it, and how long it keeps clients waiting: the sum of its
 * terms. All times are in milliseconds.
 */
export interface DrillFault {
  readonly name: string;
  readonly worstMs: number;
  readonly usualMs: number;
  readonly terms: readonly {
    readonly what: string;
    readonly worstMs: number;
    readonly usualMs: number;
  }[];
}

/** What a drill is to do. */
export interface DrillOrder extends OrderSource {
  readonly runTriggers: boolean;
}

/**
 * One service, as the admin endpoints see it. No function of it changes the service, except `order` and
 * `drill`.
 */
export interface ServiceView {
  /** Its name in the events; empty where there is only one. */
  readonly name: string;
  readonly mode: "tcp" | "http";
  readonly policy: Policy;
  state(): State;
  /** The recent results of an upstream's probes. */
  history(upstream: string): UpstreamHistory;
  /** How long the checks of an upstream took. */
  checkDurations?(upstream: string): Histogram | undefined;
  counters(): ServiceCounters;
  /** How long clients waited for an upstream, however that ended. */
  holdTimes(): Histogram;
  /** How long requests took; empty in TCP mode. */
  requestTimes(): readonly UpstreamRequestTimes[];
  /** Time of an upstream's next check in the clock's milliseconds; undefined if it is not known. */
  nextCheckAt?(upstream: string): number | undefined;
  /**
   * How long a fault of the active upstream goes unnoticed at worst, without clients, for each kind of fault that
   * the options cover.
   */
  worstDetection?(): Promise<readonly WorstDetection[]>;
  /** Carries out an order; `onOutcome` receives each outcome, at once or later. */
  order(
    order: OperatorOrder,
    source: OrderSource,
    onOutcome?: (outcome: OrderOutcome) => void,
  ): void;
  /** The proxies that share the decisions of the service; undefined if this one is alone. */
  cluster?(): ClusterReport | undefined;
  /** Makes a drill; resolves with the reason if it is refused. */
  drill?(order: DrillOrder): Promise<DrillFindings | string>;
}

/** How long one kind of fault goes unnoticed at worst. */
export interface WorstDetection {
  /** The kind of fault, as `failover explain` names it. */
  readonly fault: string;
  /** In milliseconds. */
  readonly ms: number;
}

/** The requests that had the same method, status and upstream. */
export interface UpstreamRequestTimes {
  readonly method: string;
  /** 0 if the client left before it got one; undefined in the count of all other combinations. */
  readonly status: number | undefined;
  readonly upstream: string;
  readonly times: Histogram;
}

/**
 * The counts of a data plane: some or all of the rows of `COUNTER_METRICS`. `RelayCounters` and `GatewayCounters`
 * have this type.
 */
export type ServiceCounters = { readonly [C in keyof typeof COUNTER_METRICS]?: number };

interface CounterRow {
  /** Metric name without the prefix `failover_`; undefined for a count that only the state shows. */
  readonly metric?: string;
  readonly kind?: "counter" | "gauge";
  readonly help?: string;
  /** Of a metric that several counts have in common, whose rows follow one another. */
  readonly labels?: Readonly<Record<string, string>>;
}

type Http2Rows = { readonly [C in keyof typeof HTTP2_RULES]: CounterRow };

/** One row for each rule of HTTP/2 that a client can break. */
const HTTP2_ROWS = Object.fromEntries(
  Object.entries(HTTP2_RULES).map(([key, rule]): [string, CounterRow] => [key, {
    metric: "http2_rules_broken_total",
    kind: "counter",
    help: "Rules of HTTP/2 that clients broke, so that a request or a connection was ended.",
    labels: { rule },
  }]),
) as Http2Rows;

/**
 * The counts that a data plane may keep, and their metrics. The keys in snake_case are those of the state
 * report.
 */
export const COUNTER_METRICS = {
  accepted: { metric: "clients_accepted_total", kind: "counter", help: "Clients accepted." },
  overLimit: {
    metric: "clients_over_limit_total",
    kind: "counter",
    help: "Connections closed at once because their client had as many as it may have.",
  },
  handshakes: {
    metric: "tls_handshakes_total",
    kind: "counter",
    help: "TLS handshakes of clients that succeeded, where OpenSSL does them.",
  },
  resumed: {
    metric: "tls_handshakes_resumed_total",
    kind: "counter",
    help: "Those of them that resumed a session.",
  },
  handshakesFailed: {
    metric: "tls_handshakes_failed_total",
    kind: "counter",
    help: "TLS handshakes of clients that failed, where OpenSSL does them.",
  },
  unannounced: {
    metric: "proxy_headers_missing_total",
    kind: "counter",
    help: "Connections closed because they did not begin with a PROXY protocol header.",
  },
  active: { metric: "sessions", kind: "gauge", help: "Sessions or exchanges under way." },
  held: { metric: "clients_held", kind: "gauge", help: "Clients waiting for an upstream." },
  released: {
    metric: "clients_released_total",
    kind: "counter",
    help: "Clients that waited for a failover and then got an upstream.",
  },
  lost: {
    metric: "clients_lost_total",
    kind: "counter",
    help: "Clients turned away, given up on or answered with an error of ours.",
  },
  abandoned: {
    metric: "clients_abandoned_total",
    kind: "counter",
    help: "Clients that left by themselves while they waited.",
  },
  cut: {
    metric: "sessions_cut_total",
    kind: "counter",
    help: "Sessions or exchanges ended because their upstream went down.",
  },
  requests: { metric: "requests_total", kind: "counter", help: "HTTP requests taken." },
  refused: {
    metric: "requests_refused_total",
    kind: "counter",
    help:
      "HTTP requests answered by the proxy itself with 400, 408, 413, 431, or 503 at the limit.",
  },
  faulted: {
    metric: "exchanges_faulted_total",
    kind: "counter",
    help:
      "Exchanges or connections ended by an error of the proxy itself; anything but 0 is a bug.",
  },
  retried: {
    metric: "requests_retried_total",
    kind: "counter",
    help: "Attempts after the first of an HTTP request.",
  },
  accessLinesLost: {
    metric: "access_log_lines_lost_total",
    kind: "counter",
    help: "Lines of the access log that could not be written in time, or at all.",
  },
  clientSentBytes: {
    metric: "client_sent_bytes_total",
    kind: "counter",
    help: "Bytes sent from clients to upstreams.",
  },
  clientReceivedBytes: {
    metric: "client_received_bytes_total",
    kind: "counter",
    help: "Bytes sent from upstreams to clients.",
  },
  ...HTTP2_ROWS,
  /** The longest that any client waited for an upstream; the metrics have a histogram instead. */
  longestHoldMs: {},
} as const satisfies Record<string, CounterRow>;

/** The rows in order, as pairs of key and row. */
export const COUNTER_ROWS = Object.entries(COUNTER_METRICS) as [
  keyof typeof COUNTER_METRICS,
  CounterRow,
][];

/**
 * Whether a failover would find an upstream: one beside the active one that could take over. While the service is
 * paused there is no failover, nor while the coordinator of several proxies cannot be reached.
 */
export function isReady(view: ServiceView): boolean {
  const state = view.state();
  if (state.paused !== undefined || state.cluster?.role === "cutOff") return false;
  const active = activeOf(state)?.upstream.name;
  return state.upstreams.some(({ name }) => name !== active && couldTakeOver(view, name));
}

/** Whether an upstream could be chosen: it is up and not drained, and its role and its lag allow it. */
export function couldTakeOver({ state: read, policy }: ServiceView, name: string): boolean {
  const state = read();
  if (state.drained.has(name) || !isUp(state.health.get(name)!, policy)) return false;
  const bar = barOf(state, policy, name);
  // Somebody else makes it the primary when that is needed.
  return bar === undefined || bar.kind === "waits";
}

/** Why an upstream that is up may not be chosen; undefined if it may, or is not up. */
export function barIn({ state: read, policy }: ServiceView, name: string): Bar | undefined {
  const state = read();
  return isUp(state.health.get(name)!, policy) ? barOf(state, policy, name) : undefined;
}

/** What the proxy uses an upstream for. */
export type UpstreamRole = "active" | "candidate" | "standby" | "drained";

/** All roles, in the order of the metrics. */
export const UPSTREAM_ROLES: readonly UpstreamRole[] = [
  "active",
  "candidate",
  "standby",
  "drained",
];

/** The role of an upstream now; `active` and `candidate` have precedence over `drained`. */
export function upstreamRole(state: State, upstream: string): UpstreamRole {
  const { phase, drained } = state;
  if (activeOf(state)?.upstream.name === upstream) return "active";
  if (phase.name === "promoting" && phase.candidate.name === upstream) return "candidate";
  return drained.has(upstream) ? "drained" : "standby";
}

/** Whether the upstream that serves, or served last, is not the primary. */
export function isOnBackup(view: ServiceView): boolean {
  const { upstreams, lastServed } = view.state();
  return upstreams.some(({ name, rank }) => rank > 0 && name === lastServed?.to);
}
