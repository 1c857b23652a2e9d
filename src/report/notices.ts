/**
 * Decides by the events when to notify people. What a notice calls an incident begins with the first failure
 * of the active upstream, or when traffic must go to a backup, and ends when traffic is on the primary again:
 * it may span several records of `incidents/`, which describe one move each. Each promotion makes one notice at
 * most; a trigger that runs beside the traffic and fails after its promotion makes a separate notice. Pure.
 */
import { formatDuration } from "../base/duration.ts";
import type { EventOf } from "../events/events.ts";
import type { Stamped } from "../events/stream.ts";

/**
 * Counts of clients since the start of the process, under the names of the metrics. A data plane omits
 * those that it does not count.
 */
export interface ClientCounts {
  /** Clients that waited for an upstream and then got one. */
  readonly released?: number;
  /** Attempts after the first of a request. */
  readonly retried?: number;
  /** Clients turned away, given up on or answered with an error of the proxy. */
  readonly lost?: number;
  /** Sessions or exchanges ended because their upstream went down. */
  readonly cut?: number;
}

/**
 * One notification: traffic moved to a backup, came back, or no upstream can take it; or a trigger that ran
 * beside the traffic failed after the notice of its promotion; or a second server takes writes; or a new config was
 * refused, which nobody may have seen who ordered the reload by a signal.
 */
export interface Notice {
  /** Unique, and the same in each attempt to send the notice. */
  readonly id: string;
  readonly kind:
    | "failover"
    | "recovery"
    | "outage"
    | "trigger_failed"
    | "stale_primary"
    | "config_refused"
    | "coordinator_lost";
  /** Empty for what concerns the whole process. */
  readonly service: string;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly from: string | undefined;
  /** Where traffic goes now; undefined in an outage. */
  readonly to: string | undefined;
  readonly reason: string;
  /** For how long new clients have found no upstream so far. */
  readonly interruptedMs: number;
  readonly incident: {
    /** Milliseconds since 1970. */
    readonly startedAt: number;
    /** The cause of its beginning. */
    readonly reason: string;
    readonly lastedMs: number;
    /** True when traffic is on the primary again. */
    readonly finished: boolean;
  };
  /** The id of the newest incident record of the service, for `failover history`; undefined if it has none. */
  readonly record: string | undefined;
  /** Counts of clients since the incident began. */
  readonly clients: ClientCounts;
}

interface NoticeIncident {
  readonly startedAt: number;
  readonly reason: string;
  readonly counts: ClientCounts;
  /** Since when clients find no upstream; undefined while they find one. */
  lostAt: number | undefined;
  isOutageReported: boolean;
}

interface ServiceRecord {
  primary: string;
  active: string | undefined;
  incident: NoticeIncident | undefined;
}

/** One round that finds no usable upstream may be chance; a notice is sent after this many. */
const OUTAGE_ROUND = 2;

/** Why an upstream may not be chosen, where it takes writes beside another one. */
const STALE_KINDS: ReadonlySet<string> = new Set(["stale", "rival", "ambiguous"]);

/** Decides for all services of the process. It sends nothing itself. */
export class Notices {
  readonly #services: Map<string, ServiceRecord>;
  readonly #counts: (service: string) => ClientCounts;
  readonly #recordOf: (service: string) => string | undefined;
  /** The services whose coordinator cannot be reached. */
  readonly #lost = new Set<string>();

  /**
   * `primaries`: the primary upstream of each service, by the service's name. `counts` reads the present
   * counts of a service, `recordOf` the id of its newest incident record.
   */
  constructor(
    primaries: Readonly<Record<string, string>>,
    counts: (service: string) => ClientCounts,
    recordOf: (service: string) => string | undefined = () => undefined,
  ) {
    const services = Object.entries(primaries).map(([name, primary]) =>
      [name, { primary, active: undefined, incident: undefined }] as const
    );
    this.#services = new Map(services);
    this.#counts = counts;
    this.#recordOf = recordOf;
  }

  /** A service comes, or another upstream is its primary from now on. */
  setService(name: string, primary: string): void {
    const known = this.#services.get(name);
    if (known === undefined) {
      this.#services.set(name, { primary, active: undefined, incident: undefined });
    } else known.primary = primary;
  }

  /** A service is gone. */
  removeService(name: string): void {
    this.#services.delete(name);
    this.#lost.delete(name);
  }

  /** Takes one event; returns the notice to send, if any. */
  take(stamped: Stamped): Notice | undefined {
    const { event, time } = stamped;
    if (event.type === "config.refused") return this.#takeRefusal(stamped, event);
    const service = this.#services.get(stamped.service);
    if (service === undefined) return undefined;
    switch (event.type) {
      case "upstream.down":
        if (event.upstream !== service.active) return undefined;
        this.#open(
          service,
          stamped,
          time - event.failingMs,
          `${event.upstream} is down: ${event.reason}`,
        );
        service.incident!.lostAt ??= time;
        return undefined;
      case "selection.failed":
        return this.#takeNobody(service, stamped, event);
      case "promotion.finished":
        return this.#takePromotion(service, stamped, event);
      case "promotion.flawed":
        return this.#takeFlaw(service, stamped, event);
      case "upstream.barred":
        return this.#takeBarred(service, stamped, event);
      case "service.continued":
        return this.#takeRestart(service, stamped, event);
      case "decision.followed":
        return this.#takeFollowed(service, stamped, event);
      case "coordinator.lost":
        return this.#takeLost(service, stamped, event);
      case "coordinator.reached":
        this.#lost.delete(stamped.service);
        return undefined;
      default:
        return undefined;
    }
  }

  /** A reload was refused: the old config serves on, and the next start would fail. */
  #takeRefusal(stamped: Stamped, { by, errors }: EventOf<"config.refused">): Notice {
    const { seq, time, service } = stamped;
    const reason = `ordered by ${by}: ${errors.join(". ")}`;
    return {
      ...{ id: `${time}-${seq}`, kind: "config_refused", service, time, reason },
      ...{ from: undefined, to: undefined, interruptedMs: 0, record: undefined, clients: {} },
      incident: { startedAt: time, reason, lastedMs: 0, finished: true },
    };
  }

  /** A trigger that ran beside the traffic failed after the move. */
  #takeFlaw(
    service: ServiceRecord,
    stamped: Stamped,
    { to, reason }: EventOf<"promotion.flawed">,
  ): Notice {
    return this.#notice(stamped, service.incident ?? this.#begin(stamped, reason), {
      kind: "trigger_failed",
      from: service.active === to ? undefined : service.active,
      to,
      reason,
      interruptedMs: 0,
      finished: service.incident === undefined,
    });
  }

  /** Two servers take writes: clients get one of them, but somebody must look after the other. */
  #takeBarred(
    service: ServiceRecord,
    stamped: Stamped,
    { upstream, kind, reason }: EventOf<"upstream.barred">,
  ): Notice | undefined {
    if (!STALE_KINDS.has(kind)) return undefined;
    return this.#notice(stamped, service.incident ?? this.#begin(stamped, reason), {
      kind: "stale_primary",
      from: undefined,
      to: service.active,
      reason: `${upstream}: ${reason}`,
      interruptedMs: 0,
      finished: service.incident === undefined,
    });
  }

  /** The proxy that has decided it tells people of the move; here it only counts for later notices. */
  #takeFollowed(
    service: ServiceRecord,
    stamped: Stamped,
    { to, tookMs, reason }: EventOf<"decision.followed">,
  ): undefined {
    service.active = to;
    service.incident = undefined;
    if (to !== service.primary) this.#open(service, stamped, stamped.time - tookMs, reason);
  }

  /** All services have the same coordinator, so the first one that loses it speaks for all. */
  #takeLost(
    service: ServiceRecord,
    stamped: Stamped,
    { reason }: EventOf<"coordinator.lost">,
  ): Notice | undefined {
    const isFirst = this.#lost.size === 0;
    this.#lost.add(stamped.service);
    if (!isFirst) return undefined;
    return this.#notice(stamped, service.incident ?? this.#begin(stamped, reason), {
      kind: "coordinator_lost",
      from: undefined,
      to: service.active,
      reason,
      interruptedMs: 0,
      finished: service.incident === undefined,
    });
  }

  #open(
    service: ServiceRecord,
    stamped: Stamped,
    startedAt: number,
    reason: string,
  ): NoticeIncident {
    return service.incident ??= this.#begin(stamped, reason, startedAt);
  }

  #begin({ time, service }: Stamped, reason: string, startedAt = time): NoticeIncident {
    const counts = this.#counts(service);
    return { startedAt, reason, counts, lostAt: undefined, isOutageReported: false };
  }

  #takeNobody(
    service: ServiceRecord,
    stamped: Stamped,
    event: EventOf<"selection.failed">,
  ): Notice | undefined {
    const { time } = stamped;
    const reason = event.reasons.map((r) => `${r.upstream}: ${r.reason}`).join("; ");
    const incident = this.#open(service, stamped, time, "no upstream is usable");
    incident.lostAt ??= time;
    if (event.round < OUTAGE_ROUND || incident.isOutageReported) return undefined;
    incident.isOutageReported = true;
    return this.#notice(stamped, incident, {
      kind: "outage",
      from: service.active,
      to: undefined,
      reason: `no upstream is usable (${reason})`,
      interruptedMs: time - incident.lostAt,
      finished: false,
    });
  }

  #takePromotion(
    service: ServiceRecord,
    stamped: Stamped,
    event: EventOf<"promotion.finished">,
  ): Notice | undefined {
    const { move, to, tookMs, triggersFailed } = event;
    const reason = triggersFailed === undefined
      ? event.reason
      : `${event.reason} (serving, trigger failed: ${triggersFailed})`;
    const isForced = move === "failover" || move === "start";
    return this.#served(service, stamped, { to, tookMs, reason, isForced });
  }

  #served(
    service: ServiceRecord,
    stamped: Stamped,
    { to, tookMs, reason, isForced }: {
      readonly to: string;
      readonly tookMs: number;
      readonly reason: string;
      readonly isForced: boolean;
    },
  ): Notice | undefined {
    const from = service.active;
    const finished = to === service.primary;
    service.active = to;
    if (service.incident === undefined && finished) return undefined;
    const incident = this.#open(service, stamped, stamped.time - tookMs, reason);
    incident.lostAt = undefined;
    incident.isOutageReported = false;
    if (finished) service.incident = undefined;
    const kind = !finished && isForced && from !== to ? "failover" : "recovery";
    return this.#notice(stamped, incident, {
      kind,
      from,
      to,
      reason,
      interruptedMs: tookMs,
      finished,
    });
  }

  /**
   * The upstream that served before a restart serves again. There is a notice only if there was one about an
   * outage since then.
   */
  #takeRestart(
    service: ServiceRecord,
    stamped: Stamped,
    { upstream: to, tookMs, reason }: EventOf<"service.continued">,
  ): Notice | undefined {
    if (service.incident?.isOutageReported === true) {
      return this.#served(service, stamped, { to, tookMs, reason, isForced: false });
    }
    service.active = to;
    service.incident = undefined;
    if (to !== service.primary) this.#open(service, stamped, stamped.time - tookMs, reason);
    return undefined;
  }

  #notice(
    { seq, time, service }: Stamped,
    { startedAt, reason, counts }: NoticeIncident,
    { finished, ...facts }:
      & Pick<Notice, "kind" | "from" | "to" | "reason" | "interruptedMs">
      & Pick<Notice["incident"], "finished">,
  ): Notice {
    return {
      id: `${time}-${seq}`,
      service,
      time,
      ...facts,
      incident: { startedAt, reason, lastedMs: time - startedAt, finished },
      record: this.#recordOf(service),
      clients: difference(this.#counts(service), counts),
    };
  }
}

function difference(now: ClientCounts, before: ClientCounts): ClientCounts {
  const since = (key: keyof ClientCounts) =>
    now[key] === undefined ? {} : { [key]: now[key] - (before[key] ?? 0) };
  return { ...since("released"), ...since("retried"), ...since("lost"), ...since("cut") };
}

/** The notice as one or two sentences. */
export function noticeSentence(notice: Notice): string {
  const { service, kind, from, to, reason, interruptedMs, incident, clients } = notice;
  if (kind === "config_refused") return `reload refused, the old config stays in force, ${reason}`;
  const what = kind === "outage"
    ? `no service${from === undefined ? "" : ` since ${from} failed`}`
    : kind === "trigger_failed"
    ? `serving ${to}, trigger failed`
    : kind === "coordinator_lost"
    ? `${to === undefined ? "" : `${to} serves on, and `}NOTHING IS PROMOTED, etcd cannot be used`
    : kind === "stale_primary"
    ? `${to === undefined ? "" : `${to} serves, and `}another server takes writes`
    : `${kind}${from === undefined || from === to ? "" : ` from ${from}`} to ${to}`;
  const facts = [
    `clients found no upstream for ${duration(interruptedMs)}`,
    ...(incident.finished
      ? [`the incident (${incident.reason}) lasted ${duration(incident.lastedMs)}`]
      : []),
    ...Object.entries(clients).map(([how, count]) => `${count} ${how}`),
  ];
  const more = notice.record === undefined ? "" : ` More: failover history ${notice.record}`;
  return `[${service}] ${what}: ${reason}. ${facts.join(", ")}.${more}`;
}

function duration(ms: number): string {
  return formatDuration(Math.max(0, Math.round(ms)));
}
