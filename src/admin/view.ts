/**
 * What the admin endpoints see of one service: plain functions and values, so that they need not know the
 * data plane. Everything is read on request; nothing is copied in advance.
 */
import type { Histogram } from "../base/histogram.ts";
import { isUp } from "../failover/health.ts";
import type { UpstreamHistory } from "../failover/history.ts";
import type { OperatorOrder, OrderOutcome, OrderSource } from "../failover/orders.ts";
import { activeOf, type Policy, type State } from "../failover/state.ts";

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
  /** Time of an upstream's next check in the clock's milliseconds; undefined if it is not known. */
  nextCheckAt?(upstream: string): number | undefined;
  /** Carries out an order; `onOutcome` receives each outcome, at once or later. */
  order(
    order: OperatorOrder,
    source: OrderSource,
    onOutcome?: (outcome: OrderOutcome) => void,
  ): void;
}

/**
 * The counts of a data plane: some or all of the rows of `COUNTER_METRICS`. `RelayCounters` and `GatewayCounters`
 * have this type.
 */
export type ServiceCounters = { readonly [C in keyof typeof COUNTER_METRICS]?: number };

interface CounterRow {
  /** Metric name without the prefix `failover_`. */
  readonly metric: string;
  readonly kind: "counter" | "gauge";
  readonly help: string;
  /** Factor from the count to the metric; 1 by default. */
  readonly scale?: number;
}

/**
 * The counts that a data plane may keep, and their metrics. The keys in snake_case are those of the state
 * report.
 */
export const COUNTER_METRICS = {
  accepted: { metric: "clients_accepted_total", kind: "counter", help: "Clients accepted." },
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
  longestHoldMs: {
    metric: "longest_hold_seconds",
    kind: "gauge",
    help: "The longest that any client waited for an upstream.",
    scale: 0.001,
  },
} as const satisfies Record<string, CounterRow>;

/** The rows in order, as pairs of key and row. */
export const COUNTER_ROWS = Object.entries(COUNTER_METRICS) as [
  keyof typeof COUNTER_METRICS,
  CounterRow,
][];

/** Whether a failover would find an upstream: one beside the active one that is up and not drained. */
export function isReady(view: ServiceView): boolean {
  const state = view.state();
  const active = activeOf(state)?.upstream.name;
  return state.upstreams.some(({ name }) =>
    name !== active && !state.drained.has(name) && isUp(state.health.get(name)!, view.policy)
  );
}

/** Whether the upstream that serves, or served last, is not the primary. */
export function isOnBackup(view: ServiceView): boolean {
  const { upstreams, lastServed } = view.state();
  return upstreams.some(({ name, rank }) => rank > 0 && name === lastServed?.to);
}
