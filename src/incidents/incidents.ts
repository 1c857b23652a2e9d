/**
 * The incidents of all services of the process: the last ones in memory, and how many of each kind there were.
 * It subscribes to the events, and each machine shows it its steps.
 */
import type { Clock } from "../base/clock.ts";
import type { Stamped } from "../events/stream.ts";
import type { Taken } from "../failover/controller.ts";
import type { Policy } from "../failover/state.ts";
import type { Incident } from "./incident.ts";
import {
  type IncidentCounters,
  type IncidentKind,
  type IncidentRecord,
  stampOf,
} from "./record.ts";
import { Recorder } from "./recorder.ts";
import type { Recorded } from "./recording.ts";
import type { Change } from "./timeline.ts";

/** One service, and what is written into its records. */
export interface IncidentService {
  readonly name: string;
  /** The upstream of rank 0. */
  readonly primary: string;
  readonly configHash: string;
}

export interface IncidentsPorts {
  readonly clock: Clock;
  readonly version: string;
  /** The present counts of the data plane of a service. */
  readonly counters: (service: string) => IncidentCounters;
}

/** What the machine of one service shows. Never throws. */
export interface Witness {
  /** A machine begins, the first one of the service or that of a restarted service. */
  begin(policy: Policy): void;
  step(taken: Taken): void;
}

/** How many incidents of one kind a service had that have ended. */
export interface IncidentCount {
  readonly service: string;
  readonly kind: IncidentKind;
  readonly count: number;
}

/** An incident with what `replay` needs; that is not kept of older ones. */
export interface Found {
  readonly record: IncidentRecord;
  readonly recorded: Recorded | undefined;
}

/** Records in memory. */
export const RECORDS_MAX = 1_000;
/** Of the newest of them the inputs are kept, too. */
export const RECORDINGS_MAX = 50;

interface Kept {
  readonly record: IncidentRecord;
  incident: Incident | undefined;
}

export class Incidents {
  readonly #recorders: ReadonlyMap<string, Recorder>;
  /** Oldest first. */
  readonly #kept: Kept[] = [];
  readonly #counts = new Map<string, IncidentCount>();
  #broken = 0;

  constructor(
    services: readonly IncidentService[],
    { clock, version, counters }: IncidentsPorts,
  ) {
    this.#recorders = new Map(services.map(({ name, primary, configHash }) => {
      const settings = { service: name, primary, version, configHash };
      const recorder = new Recorder(settings, {
        clock,
        counters: () => counters(name),
        newId: (wallMs) => this.#newId(name, wallMs),
        onChange: (incident, what) => this.#changed(incident, what),
      });
      return [name, recorder];
    }));
  }

  /** How many faults of the recorders were caught; anything but 0 is a bug. */
  get broken(): number {
    return this.#broken;
  }

  readonly take = (stamped: Stamped): void => {
    if (stamped.event.type === "proxy.stopping") this.#stop();
    else this.#recorders.get(stamped.service)?.take(stamped);
  };

  /** Where the machine of a service shows its steps. A fault here never disturbs it. */
  witness(service: string): Witness {
    const recorder = this.#recorders.get(service);
    return {
      begin: (policy) => recorder?.begin(policy),
      step: (taken) => {
        try {
          recorder?.step(taken);
        } catch {
          this.#broken++;
        }
      },
    };
  }

  /** The incidents of a service, or of all, oldest first; those under way are among them. */
  list(service?: string): readonly IncidentRecord[] {
    for (const recorder of this.#recorders.values()) recorder.refresh();
    const records = this.#kept.map(({ record }) => record);
    return service === undefined ? records : records.filter((each) => each.service === service);
  }

  /** The incident with this id, or the newest one of which this is the id of a promotion. */
  find(id: string): Found | undefined {
    const kept = this.#kept.find(({ record }) => record.id === id) ??
      this.#kept.findLast(({ record }) => record.promotions.includes(id));
    if (kept === undefined) return undefined;
    for (const recorder of this.#recorders.values()) recorder.refresh();
    return { record: kept.record, recorded: kept.incident?.recording?.recorded };
  }

  /** What a service did in the last 24 hours. */
  timeline(service: string): readonly Change[] {
    return this.#recorders.get(service)?.timeline.changes ?? [];
  }

  /** The incidents that have ended, counted since the start of the process. */
  get counts(): readonly IncidentCount[] {
    return [...this.#counts.values()];
  }

  #stop(): void {
    for (const recorder of this.#recorders.values()) recorder.stop();
  }

  #newId(service: string, wallMs: number): string {
    const id = service === "" ? stampOf(wallMs) : `${stampOf(wallMs)}-${service}`;
    const isTaken = (id: string) => this.#kept.some(({ record }) => record.id === id);
    if (!isTaken(id)) return id;
    for (let number = 2;; number++) if (!isTaken(`${id}-${number}`)) return `${id}-${number}`;
  }

  #changed(incident: Incident, what: "begun" | "ended" | "settled" | "amended"): void {
    const { record } = incident;
    if (what === "begun") {
      this.#kept.push({ record, incident });
      if (this.#kept.length > RECORDS_MAX) this.#kept.shift();
      const old = this.#kept.at(-1 - RECORDINGS_MAX);
      if (old !== undefined) old.incident = undefined;
    }
    if (what !== "ended") return;
    const { service, kind } = record;
    const count = this.#counts.get(`${service} ${kind}`)?.count ?? 0;
    this.#counts.set(`${service} ${kind}`, { service, kind, count: count + 1 });
  }
}
