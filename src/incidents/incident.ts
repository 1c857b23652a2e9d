/** One incident: it begins, reaches its moments, ends, is observed for a while, and may still change after that. */
import type { Clock } from "../base/clock.ts";
import type { EventOf } from "../events/events.ts";
import type { Taken } from "../failover/controller.ts";
import {
  clientsSince,
  type Draft,
  type EvidenceItem,
  type IncidentCounters,
  type IncidentOutcome,
  type IncidentRecord,
  isoOf,
  type Moment,
} from "./record.ts";
import { type CheckPace, Recording } from "./recording.ts";
import type { InputRange } from "./input_log.ts";

/** Called with an incident when it begins, when it ends, and when a record that was complete has changed. */
export type OnChange = (
  incident: Incident,
  what: "begun" | "ended" | "settled" | "amended",
) => void;

/** Most entries in each list of a record. */
const LIST_MAX = 100;

interface IncidentFacts {
  readonly id: string;
  readonly service: string;
  readonly kind: IncidentRecord["kind"];
  readonly reason: string;
  readonly from: string | undefined;
  /** Milliseconds since 1970, as all times here. */
  readonly began: number;
  readonly version: string;
  readonly configHash: string;
}

interface Ports {
  readonly clock: Clock;
  readonly counters: () => IncidentCounters;
  readonly onChange: OnChange;
  readonly range: InputRange | undefined;
  readonly pace: CheckPace | undefined;
}

/** An incident while it changes. All `time` arguments are milliseconds since 1970. */
export class Incident {
  readonly recording: Recording | undefined;
  readonly #draft: Draft;
  readonly #clock: Clock;
  readonly #counters: () => IncidentCounters;
  readonly #onChange: OnChange;
  readonly #before: IncidentCounters;
  readonly #epochs = new Set<number>();
  readonly #beganAt: number;
  #began: number;
  #mostHeld = 0;
  #endedAt: number | undefined;
  /** Bytes that clients had received shortly before they were let in. */
  #received = 0;
  #isOpening = false;
  #isSettled = false;

  constructor({ began, from, configHash, ...facts }: IncidentFacts, ports: Ports) {
    const { clock, counters, onChange, range, pace } = ports;
    this.#clock = clock;
    this.#counters = counters;
    this.#onChange = onChange;
    this.#before = copyOf(counters());
    this.#began = began;
    this.#beganAt = clock.now();
    this.recording = range && pace && new Recording(range, pace, clock.wall() - clock.now());
    this.#draft = {
      ...facts,
      ...{ outcome: null, epoch: null, promotions: [], from: from ?? null, to: null, by: null },
      ...{ began: isoOf(began), t: {}, interrupted_ms: null, rounds_failed: 0, evidence: [] },
      ...{ failed_promotions: [], triggers: [], sessions: { cut: 0, kept: 0 } },
      clients: clientsSince({}, {}, 0),
      config_hash: configHash,
    };
    onChange(this, "begun");
  }

  /** The record. The object is the same as long as the incident does not change. */
  get record(): IncidentRecord {
    return this.#draft;
  }

  /** When it began, in milliseconds since 1970. */
  get began(): number {
    return this.#began;
  }

  /** True while no promotion has begun and no other upstream is looked for. */
  get isUndecided(): boolean {
    return this.#draft.promotions.length === 0 && this.#draft.t.held === undefined &&
      this.#draft.t.refused === undefined && this.#draft.rounds_failed === 0;
  }

  /** For how long it has gone on, in milliseconds. */
  get lastedMs(): number {
    return this.#clock.now() - this.#beganAt;
  }

  /** How long ago it ended, in milliseconds; 0 while it goes on. */
  get endedMs(): number {
    return this.#endedAt === undefined ? 0 : this.#clock.now() - this.#endedAt;
  }

  /** True if a client has received an answer since clients were let in. */
  get hasSucceeded(): boolean {
    return this.#draft.t.first_success !== undefined;
  }

  /** True if the promotion with this epoch belongs to it. */
  hasEpoch(epoch: number): boolean {
    return this.#epochs.has(epoch);
  }

  /** Notes a moment, if it is the first of its kind. */
  reach(moment: Moment, time: number): void {
    const { t } = this.#draft;
    if (t[moment] !== undefined) return;
    t[moment] = isoOf(time);
    if (time < this.#began) {
      this.#began = time;
      this.#draft.began = isoOf(time);
    }
    this.#amend();
  }

  /** Takes one step of the machine, before anything follows from it. */
  addStep(taken: Taken): void {
    if (this.#isSettled) return;
    this.recording?.add(taken);
    if (!taken.step.effects.some((effect) => effect.do === "open")) return;
    // Bytes that clients receive from now on show that they are served again.
    this.look();
    this.#isOpening = true;
  }

  /** A round of selection has found nobody. */
  takeNobody(time: number): void {
    this.#draft.rounds_failed++;
    this.reach("nobody", time);
  }

  takePromotion(
    { id, epoch, move, from, to, reason }: EventOf<"promotion.started">,
    by: string | undefined,
  ): void {
    this.#epochs.add(epoch);
    const { promotions } = this.#draft;
    if (promotions.length < LIST_MAX) promotions.push(id);
    if (by !== undefined) Object.assign(this.#draft, { by, reason });
    Object.assign(this.#draft, { kind: move, epoch, to, from: from ?? this.#draft.from });
  }

  takeAbandoned({ to, epoch, reason }: EventOf<"promotion.abandoned">): void {
    const { failed_promotions: failed } = this.#draft;
    if (failed.length < LIST_MAX) failed.push({ to, epoch, reason });
    this.#amend();
  }

  takeFinished(event: EventOf<"promotion.finished">): void {
    const { move, epoch, from, to, tookMs } = event;
    const kind = move === "failover" && from === to ? "outage" : move;
    this.#epochs.add(epoch);
    Object.assign(this.#draft, {
      kind,
      epoch,
      to,
      from: from ?? null,
      interrupted_ms: round(tookMs),
    });
  }

  /** Another proxy has decided where clients go. */
  takeFollowed({ move, epoch, to, by, reason, tookMs }: EventOf<"decision.followed">): void {
    const { kind, from } = this.#draft;
    // Whoever starts finds a decision that was made before.
    const moved = move === "failover" && from === to ? "outage" : move;
    Object.assign(this.#draft, {
      ...{ kind: kind === "start" ? kind : moved, epoch, to, interrupted_ms: round(tookMs) },
      reason: `decided by ${by}: ${reason}`,
    });
  }

  takeReturned({ upstream, epoch, tookMs }: EventOf<"service.returned">): void {
    Object.assign(this.#draft, { to: upstream, epoch, interrupted_ms: round(tookMs) });
  }

  takeTrigger(event: EventOf<"trigger.finished"> | EventOf<"trigger.failed">, time: number): void {
    const { program, epoch, tookMs } = event;
    const { triggers, t } = this.#draft;
    const reason = event.type === "trigger.failed" ? event.reason : null;
    if (triggers.length < LIST_MAX) {
      triggers.push({ program, epoch, reason, took_ms: round(tookMs) });
    }
    t.triggers_end = isoOf(time);
    this.#amend();
  }

  /** Adds the sessions that were cut. */
  takeCut({ count, kept }: EventOf<"sessions.cut">): void {
    const { sessions } = this.#draft;
    sessions.cut += count;
    sessions.kept = kept;
    this.#amend();
  }

  /** Reads the counts of the data plane. Has no effect when the record is complete. */
  look(): void {
    if (this.#isSettled) return;
    const now = this.#counters();
    this.#mostHeld = Math.max(this.#mostHeld, now.held ?? 0);
    this.#draft.clients = clientsSince(this.#before, now, this.#mostHeld);
    const received = now.clientReceivedBytes ?? 0;
    if (!this.#isOpening) this.#received = received;
    if (this.#draft.t.open === undefined) return;
    if (received > this.#received) this.reach("first_success", this.#clock.wall());
  }

  /** Ends it. It is observed further until `settle`. */
  end(outcome: IncidentOutcome, time: number, evidence: readonly EvidenceItem[]): void {
    this.#draft.outcome = outcome;
    this.#draft.evidence = [...evidence];
    if (outcome === "served" || outcome === "returned") this.reach("open", time);
    this.#endedAt = this.#clock.now();
    this.#onChange(this, "ended");
  }

  /** The record is complete, as far as can be known. */
  settle(): void {
    if (this.#isSettled) return;
    this.look();
    this.#isSettled = true;
    this.recording?.end();
    this.#onChange(this, "settled");
  }

  #amend(): void {
    if (this.#isSettled) this.#onChange(this, "amended");
  }
}

/** The counts of this moment: those of a histogram go on changing. */
function copyOf({ holdTimes, ...counters }: IncidentCounters): IncidentCounters {
  if (holdTimes === undefined) return counters;
  const { bounds, counts } = holdTimes;
  return { ...counters, holdTimes: { bounds, counts: Array.from(counts) } };
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
