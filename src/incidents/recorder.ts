/**
 * Writes the incidents of one service: it sees each step of the machine and each event, and decides nothing.
 * An incident begins with the first failure of the active upstream, or when traffic begins to move, and ends
 * when clients are let in again. It is watched for a while longer, until a client has received an answer.
 */
import type { Clock } from "../base/clock.ts";
import type { Event, EventOf } from "../events/events.ts";
import type { Stamped } from "../events/stream.ts";
import type { Taken } from "../failover/controller.ts";
import { evidenceOf } from "./evidence.ts";
import { Incident, type OnChange } from "./incident.ts";
import type { EvidenceItem, IncidentCounters, IncidentKind, IncidentOutcome } from "./record.ts";
import type { CheckPace } from "./recording.ts";
import { InputLog } from "./input_log.ts";
import { Timeline } from "./timeline.ts";

/** What each record of the service says. */
export interface RecorderSettings {
  readonly service: string;
  /** The upstream of rank 0. */
  readonly primary: string;
  /** The version of this program. */
  readonly version: string;
  /** A hash of the options of the service, to see whether two incidents had the same. */
  readonly configHash: string;
}

/** What the recorder of a service needs from outside. */
export interface RecorderPorts {
  readonly clock: Clock;
  /** The present counts of the data plane. */
  readonly counters: () => IncidentCounters;
  /** Returns an id that no other incident has. */
  readonly newId: (wallMs: number) => string;
  readonly onChange: OnChange;
}

/** How long an incident is watched after its end, in milliseconds. */
const WATCHED_MS = 10_000;
/** The least time for that, in milliseconds: clients that waited are let in one after another. */
const COUNTED_MS = 1_000;
/** The pause between two looks at the counts, in milliseconds. */
const LOOK_MS = 100;
/**
 * After the end the pause is at least this part of the time since then. All services of a process begin with an
 * incident, their start, so that many of them are watched at the same time.
 */
const LATE_LOOK = 1 / 10;
/** The pause while an incident goes on that has lasted longer than a minute, in milliseconds. */
const SLOW_LOOK_MS = 1_000;
/** How long before the first failure the recorded inputs begin, in milliseconds. */
const LEAD_MS = 5_000;
/** Incidents that may still change after their end: by triggers beside the traffic, and by long drains. */
const LATE_MAX = 8;

/** The recorder of one service. It lives as long as the process, also if the service is restarted. */
export class Recorder {
  readonly timeline: Timeline;
  #settings: RecorderSettings;
  readonly #ports: RecorderPorts;
  readonly #log = new InputLog();
  /** Those that have ended and may still change, newest last. */
  readonly #past: Incident[] = [];
  /** Those away from the primary, which the return to it concerns. */
  #away: Incident[] = [];
  #current: Incident | undefined;
  #active: string | undefined;
  /** When new clients began to wait, and when a client's connection failed; undefined if that is over. */
  #heldAt: number | undefined;
  readonly #doubtedAt = new Map<string, number>();
  /** Who ordered the next promotion. */
  #by: string | undefined;
  /** When the decision of another proxy was learned, whose event comes when clients go there. */
  #followedAt: number | undefined;
  #pace: CheckPace | undefined;
  #cancelLook = () => {};
  #isStopped = false;

  constructor(settings: RecorderSettings, ports: RecorderPorts) {
    this.#settings = settings;
    this.#ports = ports;
    this.timeline = new Timeline(ports.clock);
  }

  /** What further records say of the service. */
  configure(settings: RecorderSettings): void {
    this.#settings = settings;
  }

  /** A machine begins, the first one of the service or that of a restarted service. */
  begin(pace: CheckPace): void {
    // The inputs of another machine are no continuation.
    for (const incident of [...this.#past, this.#current]) incident?.recording?.end();
    this.#pace = pace;
  }

  /** The same machine goes on, and gets check results at another pace. */
  setPace(pace: CheckPace): void {
    this.#pace = pace;
  }

  /** Takes one step of the machine. */
  step(taken: Taken): void {
    const { input, step } = taken;
    this.#log.add(taken);
    this.#current?.addStep(taken);
    this.#past.at(-1)?.addStep(taken);
    this.timeline.note(step.state);
    const says = (type: Event["type"]) =>
      step.effects.some((effect) => effect.do === "publish" && effect.event.type === type);
    if (says("decision.followed")) {
      const { clock } = this.#ports;
      this.#followedAt = clock.wall() - (clock.now() - step.state.now);
    }
    if (input.type === "ordered" && says("promotion.started")) this.#by = input.by;
  }

  /** Takes one event of the service. */
  take(stamped: Stamped): void {
    if (this.#isStopped) return;
    const { event, time } = stamped;
    switch (event.type) {
      case "upstream.doubted":
        this.#doubtedAt.set(event.upstream, time);
        break;
      case "upstream.up":
        this.#takeUp(event, time);
        break;
      case "upstream.down":
        this.#takeDown(event, time);
        break;
      case "clients.held":
        this.#heldAt = time;
        this.#current?.reach("held", time);
        break;
      case "clients.refused":
        this.#current?.reach("refused", time);
        break;
      case "selection.started":
        this.#begin(event.reason === "start" ? "start" : "failover", event.reason, time);
        break;
      case "selection.failed":
        this.#begin("outage", "no upstream is usable", time).takeNobody(time);
        break;
      case "service.failedOpen":
        this.#current?.reach("failed_open", time);
        break;
      case "service.died":
        this.#active = undefined;
        this.#end("died", time);
        break;
      case "sessions.cut":
        (this.#current ?? this.#past.at(-1))?.takeCut(event);
        break;
      default:
        this.#takeMove(stamped);
    }
  }

  /** The process ends or is replaced: so does the incident that is under way, and later events are ignored. */
  stop(outcome: "stopped" | "handed_over" = "stopped"): void {
    this.#isStopped = true;
    this.#end(outcome, this.#ports.clock.wall());
    this.#settle();
  }

  /** Brings the counts of an incident that is under way up to date. */
  refresh(): void {
    this.#current?.look();
    this.#past.at(-1)?.look();
  }

  #takeMove({ event, time }: Stamped): void {
    switch (event.type) {
      case "promotion.started": {
        const incident = this.#begin(event.move, event.reason, time);
        incident.takePromotion(event, this.#by);
        this.#by = undefined;
        break;
      }
      case "promotion.abandoned":
        this.#ofEpoch(event.epoch)?.takeAbandoned(event);
        break;
      case "promotion.finished":
        this.#takeFinished(event, time);
        break;
      case "service.returned":
        this.#active = event.upstream;
        this.#current?.takeReturned(event);
        this.#end("returned", time);
        break;
      case "decision.followed":
        this.#takeFollowed(event, time);
        break;
      case "service.continued":
        this.#active = event.upstream;
        this.#end("served", time);
        break;
      case "trigger.started":
        this.#ofEpoch(event.epoch)?.reach("triggers_begin", time);
        break;
      case "trigger.finished":
      case "trigger.failed":
        this.#ofEpoch(event.epoch)?.takeTrigger(event, time);
        break;
    }
  }

  #takeDown({ upstream, reason, failingMs }: EventOf<"upstream.down">, time: number): void {
    if (upstream !== this.#active) return;
    const doubtedAt = this.#doubtedAt.get(upstream);
    const failedAt = Math.min(time - failingMs, doubtedAt ?? Infinity);
    const incident = this.#begin("failover", `${upstream} is down: ${reason}`, failedAt);
    incident.reach("first_failure", failedAt);
    if (doubtedAt !== undefined) incident.reach("doubt", doubtedAt);
    incident.reach("down", time);
  }

  /** The active upstream passes its checks again, and nobody has decided anything: the service is paused. */
  #takeUp({ upstream }: EventOf<"upstream.up">, time: number): void {
    this.#doubtedAt.delete(upstream);
    if (upstream === this.#active && this.#current?.isUndecided === true) {
      this.#end("recovered", time);
    }
  }

  #takeFinished(event: EventOf<"promotion.finished">, time: number): void {
    const incident = this.#begin(event.move, event.reason, time);
    incident.takeFinished(event);
    this.#served(incident, event.to, time);
  }

  #takeFollowed(event: EventOf<"decision.followed">, time: number): void {
    // A further decision for the upstream that serves moves nothing.
    const incident = event.to === this.#active
      ? this.#current
      : this.#begin(event.move, event.reason, this.#followedAt ?? time);
    this.#followedAt = undefined;
    incident?.takeFollowed(event);
    this.#served(incident, event.to, time);
  }

  /** A decision has ended the incident, if there is one, and `to` serves. */
  #served(incident: Incident | undefined, to: string, time: number): void {
    this.#active = to;
    this.#doubtedAt.clear();
    this.#end("served", time);
    if (incident === undefined) return;
    if (to !== this.#settings.primary) {
      this.#away = [...this.#away, incident].slice(-LATE_MAX);
      return;
    }
    for (const away of this.#away) away.reach("recovered", time);
    this.#away = [];
  }

  /** The incident under way, or a new one that began at `wallMs`. */
  #begin(kind: IncidentKind, reason: string, wallMs: number): Incident {
    if (this.#current !== undefined) return this.#current;
    this.#settle();
    const { clock, counters, newId, onChange } = this.#ports;
    const began = Math.min(wallMs, this.#heldAt ?? Infinity);
    const range = this.#log.since(clock.now() - (clock.wall() - began) - LEAD_MS);
    const { service, version, configHash } = this.#settings;
    const facts = {
      ...{ id: newId(began), service, version, configHash, kind, reason },
      ...{ from: this.#active, began },
    };
    const incident = new Incident(facts, {
      clock,
      counters,
      onChange,
      range,
      pace: this.#pace,
    });
    if (this.#heldAt !== undefined) incident.reach("held", this.#heldAt);
    this.#current = incident;
    this.#look(incident);
    return incident;
  }

  #end(outcome: IncidentOutcome, time: number): void {
    const incident = this.#current;
    this.#heldAt = undefined;
    this.#by = undefined;
    if (incident === undefined) return;
    this.#current = undefined;
    this.#past.push(incident);
    if (this.#past.length > LATE_MAX) this.#past.shift();
    incident.end(outcome, time, this.#evidenceOf(incident));
    this.#look(incident);
  }

  /** The recorded inputs of a long incident may end before it does. */
  #evidenceOf({ recording, began }: Incident): readonly EvidenceItem[] {
    if (recording === undefined) return [];
    const { entries, wallOffset } = recording;
    const lastAt = entries.at(-1)?.at ?? -Infinity;
    const later = this.#log.since(lastAt)?.entries.filter(({ at }) => at > lastAt) ?? [];
    return evidenceOf([...entries, ...later], began, wallOffset);
  }

  /** Reads the counts at intervals, until `WATCHED_MS` after the end. */
  #look(incident: Incident): void {
    this.#cancelLook();
    const { clock } = this.#ports;
    incident.look();
    const { endedMs, hasSucceeded } = incident;
    if (endedMs > (hasSucceeded ? COUNTED_MS : WATCHED_MS)) return this.#settle();
    const leastMs = incident.lastedMs > 60_000 ? SLOW_LOOK_MS : LOOK_MS;
    const pauseMs = Math.max(leastMs, endedMs * LATE_LOOK);
    this.#cancelLook = clock.after(pauseMs, () => this.#look(incident));
  }

  /** The last incident that ended is complete, unless a late event changes it. */
  #settle(): void {
    this.#cancelLook();
    this.#past.at(-1)?.settle();
  }

  /** The incident whose promotion has this epoch. */
  #ofEpoch(epoch: number): Incident | undefined {
    return [...this.#past, this.#current].findLast((each) => each?.hasEpoch(epoch) === true);
  }
}
