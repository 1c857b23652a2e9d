/**
 * The metrics of the process as Prometheus text. All values are read at the time of the scrape: states and
 * counters from the services, and counts of events from `EventCounts`. Pure.
 */
import { type ConfigState, lastReloadWorked } from "./config_state.ts";
import { isUp } from "../failover/health.ts";
import { type Lag, lagOf, reportOf } from "../failover/roles.ts";
import { activeOf, letsClientsThrough } from "../failover/state.ts";
import { clusterFamilies } from "./cluster.ts";
import { family, histogramFamily, type Sample } from "./exposition.ts";
import type { EventCounts } from "./event_counts.ts";
import type { IncidentCount } from "../incidents/incidents.ts";
import {
  barIn,
  COUNTER_ROWS,
  isOnBackup,
  isReady,
  type ServiceView,
  UPSTREAM_ROLES,
  upstreamRole,
} from "./view.ts";

/** Facts about the process itself. */
export interface ProcessFacts {
  readonly version: string;
  readonly config: ConfigState;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** The present time of the clock that the services use, in milliseconds. */
  readonly now: number;
  /** Open descriptors and their limit, where the system tells them. */
  readonly descriptors?: { readonly open: number; readonly max: number } | undefined;
  readonly memoryBytes: number;
  /** Log lines dropped because their reader was too slow. */
  readonly logLinesLost: number;
  /** Notifications dropped because the queue was full or the last attempt failed. */
  readonly notificationsLost: number;
  /** Event subscribers that failed and were dropped; anything but 0 is a bug. */
  readonly reportsBroken: number;
}

/** The whole answer to a scrape, in the format of `exposition.ts`. */
export function metricsText(
  views: readonly ServiceView[],
  eventCounts: EventCounts,
  incidents: readonly IncidentCount[],
  facts: ProcessFacts,
): string {
  for (const { name } of views) eventCounts.begin(name);
  return [
    ...stateFamilies(views),
    ...standbyFamilies(views),
    ...serverFamilies(views),
    ...clusterFamilies(views),
    ...countFamilies(views),
    family(
      "failover_promotions_total",
      "counter",
      "Promotions finished, by what moved the traffic.",
      eventCounts.promotions,
    ),
    family(
      "failover_incidents_total",
      "counter",
      "Incidents that have ended, by kind.",
      incidents.map(({ service, kind, count }) => [{ service, kind }, count]),
    ),
    ...durationFamilies(views, eventCounts, facts.now),
    family("failover_events_total", "counter", "Events, by type.", eventCounts.events),
    ...processFamilies(facts),
  ].join("");
}

function countFamilies(views: readonly ServiceView[]): string[] {
  const counts = views.map((view) => ({ service: view.name, counters: view.counters() }));
  return COUNTER_ROWS.flatMap(([, { metric, kind, help }], at) => {
    if (metric === undefined || metric === COUNTER_ROWS[at - 1]?.[1].metric) return [];
    const rows = COUNTER_ROWS.filter(([, row]) => row.metric === metric);
    const samples = counts.flatMap(({ service, counters }) =>
      rows.flatMap(([key, { labels }]): Sample[] => {
        const count = counters[key];
        return count === undefined ? [] : [[{ service, ...labels }, count]];
      })
    );
    return [family(`failover_${metric}`, kind!, help!, samples)];
  });
}

function stateFamilies(views: readonly ServiceView[]): string[] {
  const perService = (read: (view: ServiceView) => number): Sample[] =>
    views.map((view) => [{ service: view.name }, read(view)]);
  const perUpstream = (read: (view: ServiceView, upstream: string) => number): Sample[] =>
    views.flatMap((view) =>
      view.state().upstreams.map(({ name, rank }): Sample => [
        { service: view.name, upstream: name, rank },
        read(view, name),
      ])
    );
  const checks = (result: "passed" | "failed" | "noVerdict", as: string = result): Sample[] =>
    views.flatMap((view) =>
      view.state().upstreams.map(({ name }): Sample => [
        { service: view.name, upstream: name, result: as },
        view.history(name)[result],
      ])
    );
  return [
    family(
      "failover_upstream_up",
      "gauge",
      "1 if the verdict on the upstream is up.",
      perUpstream((view, name) => Number(isUp(view.state().health.get(name)!, view.policy))),
    ),
    family(
      "failover_upstream_active",
      "gauge",
      "1 if new clients go to the upstream now.",
      perUpstream((view, name) => {
        return Number(activeOf(view.state())?.upstream.name === name);
      }),
    ),
    family(
      "failover_epoch",
      "gauge",
      "Number of the last promotion begun; it only grows.",
      perService((view) => view.state().epoch),
    ),
    family(
      "failover_serving",
      "gauge",
      "1 if new clients are let through to an upstream.",
      perService((view) => Number(letsClientsThrough(view.state()))),
    ),
    family(
      "failover_paused",
      "gauge",
      "1 while no automatic decision is made, by order of the operator.",
      perService((view) => Number(view.state().paused !== undefined)),
    ),
    family(
      "failover_upstream_drained",
      "gauge",
      "1 while the upstream is no candidate, by order of the operator.",
      perUpstream((view, name) => Number(view.state().drained.has(name))),
    ),
    roleFamily(views),
    family(
      "failover_checks_total",
      "counter",
      "Checks by result; no_verdict: this machine could not make the check, so it proves nothing.",
      [...checks("passed"), ...checks("failed"), ...checks("noVerdict", "no_verdict")],
    ),
  ];
}

function roleFamily(views: readonly ServiceView[]): string {
  return family(
    "failover_upstream_role",
    "gauge",
    "1 for what the upstream is used for now: active, candidate, standby or drained.",
    views.flatMap((view) => {
      const state = view.state();
      return state.upstreams.flatMap(({ name }) => {
        const present = upstreamRole(state, name);
        return UPSTREAM_ROLES.map((role): Sample => [
          { service: view.name, upstream: name, role },
          Number(role === present),
        ]);
      });
    }),
  );
}

/** Only of services whose checks learn what role a server has. */
function serverFamilies(views: readonly ServiceView[]): string[] {
  const known = views.filter(({ policy }) => policy.roles !== undefined);
  if (known.length === 0) return [];
  const perUpstream = (read: (view: ServiceView, upstream: string) => readonly Sample[]) =>
    known.flatMap((view) => view.state().upstreams.flatMap(({ name }) => read(view, name)));
  const lag = (unit: keyof Lag): Sample[] =>
    perUpstream((view, upstream) => {
      const value = lagOf(view.state(), upstream)[unit];
      return value === undefined ? [] : [[{ service: view.name, upstream }, value]];
    });
  return [
    family(
      "failover_server_role",
      "gauge",
      "1 for the role that the server says it has: primary, standby or unknown; all 0 while it does not answer.",
      perUpstream((view, upstream) => {
        const present = reportOf(view.state(), upstream)?.role;
        return (["primary", "standby", "unknown"] as const).map((role): Sample => [
          { service: view.name, upstream, role },
          Number(role === present),
        ]);
      }),
    ),
    family(
      "failover_upstream_barred",
      "gauge",
      "1 while the upstream is up, but may not be chosen because of its role or its lag.",
      perUpstream((view, upstream) => {
        const bar = barIn(view, upstream);
        return [[
          { service: view.name, upstream },
          Number(bar !== undefined && bar.kind !== "waits"),
        ]];
      }),
    ),
    family(
      "failover_server_lag_bytes",
      "gauge",
      "How many bytes the standby is behind; missing where nobody knows.",
      lag("bytes"),
    ),
    family(
      "failover_server_lag_seconds",
      "gauge",
      "How old the newest change of the standby is, 0 if it lacks none; missing where nobody knows.",
      lag("seconds"),
    ),
  ];
}

function standbyFamilies(views: readonly ServiceView[]): string[] {
  const perService = (read: (view: ServiceView) => boolean): Sample[] =>
    views.map((view) => [{ service: view.name }, Number(read(view))]);
  return [
    family(
      "failover_ready",
      "gauge",
      "1 if a failover would find somebody: an upstream beside the active one is up, not drained and not barred, and the service is not paused.",
      perService(isReady),
    ),
    family(
      "failover_on_backup",
      "gauge",
      "1 if the upstream that serves, or served last, is not the primary.",
      perService(isOnBackup),
    ),
  ];
}

function durationFamilies(
  views: readonly ServiceView[],
  eventCounts: EventCounts,
  now: number,
): string[] {
  const checks = views.flatMap((view) =>
    view.state().upstreams.flatMap(({ name }) => {
      const histogram = view.checkDurations?.(name);
      return histogram === undefined
        ? []
        : [[{ service: view.name, upstream: name }, histogram] as const];
    })
  );
  const requests = views.flatMap((view) =>
    view.requestTimes().map(({ method, status = "_OTHER", upstream, times }) =>
      [{ service: view.name, method, status, upstream }, times] as const
    )
  );
  return [
    histogramFamily(
      "failover_hold_duration_seconds",
      "How long clients waited for an upstream, however that ended.",
      views.map((view) => [{ service: view.name }, view.holdTimes()]),
    ),
    histogramFamily(
      "http_server_request_duration_seconds",
      "From the head of a request to the end of its response. status 0: the client left before it; upstream none: the proxy answered; _OTHER: not told apart.",
      requests,
    ),
    histogramFamily(
      "failover_check_duration_seconds",
      "Duration of checks with a verdict.",
      checks,
    ),
    histogramFamily(
      "failover_promotion_duration_seconds",
      "From the loss of the last upstream, or the start, until clients were admitted.",
      eventCounts.promotionTimes,
    ),
    histogramFamily(
      "failover_trigger_duration_seconds",
      "Duration of triggers, by result.",
      eventCounts.triggerTimes,
    ),
    ...eventCounts.serverPromotionTimes.length === 0 ? [] : [
      histogramFamily(
        "failover_server_promotion_duration_seconds",
        "How long it took to make a standby the primary (--promote), by result.",
        eventCounts.serverPromotionTimes,
      ),
    ],
    family(
      "failover_last_promotion_timestamp_seconds",
      "gauge",
      "When the last promotion finished, Unix time.",
      eventCounts.lastPromotions,
    ),
    family(
      "failover_outage_seconds_total",
      "counter",
      "How long no chosen upstream served, the time before the first choice included.",
      views.map((view): Sample => {
        const { admission } = view.state();
        const ms = admission.is === "open" ? 0 : now - admission.outSince;
        return [{ service: view.name }, eventCounts.outageMs(view.name, ms) / 1_000];
      }),
    ),
  ];
}

function processFamilies(facts: ProcessFacts): string[] {
  return [
    family("failover_log_lines_lost_total", "counter", "Log lines nobody could read in time.", [
      [{}, facts.logLinesLost],
    ]),
    family("failover_notifications_lost_total", "counter", "Notifications given up.", [
      [{}, facts.notificationsLost],
    ]),
    family("failover_reports_broken_total", "counter", "Event subscribers dropped by a bug.", [
      [{}, facts.reportsBroken],
    ]),
    family("failover_build_info", "gauge", "Always 1; the version is a label.", [
      [{ version: facts.version }, 1],
    ]),
    family("failover_config_info", "gauge", "Always 1; the hash of the config is a label.", [
      [{ hash: facts.config.hash }, 1],
    ]),
    family(
      "failover_config_reload_success",
      "gauge",
      "1 if the config was put into force when it was read last, 0 if it was refused.",
      [[{}, Number(lastReloadWorked(facts.config))]],
    ),
    family(
      "failover_config_last_reload_timestamp_seconds",
      "gauge",
      "When the config that is in force was read, Unix time.",
      [[{}, facts.config.readAt / 1_000]],
    ),
    family("process_start_time_seconds", "gauge", "When the process started, Unix time.", [
      [{}, facts.startedAt / 1_000],
    ]),
    ...descriptorFamilies(facts),
    family("process_resident_memory_bytes", "gauge", "Memory in use.", [[{}, facts.memoryBytes]]),
  ];
}

function descriptorFamilies({ descriptors }: ProcessFacts): string[] {
  if (descriptors === undefined) return [];
  const { open, max } = descriptors;
  return [
    family("process_open_fds", "gauge", "Open descriptors.", [[{}, open]]),
    family("process_max_fds", "gauge", "Most descriptors that may be open.", [[{}, max]]),
  ];
}
