/**
 * The incidents of all services of the process: the last ones in memory, and how many of each kind there were.
 * It subscribes to the events, and gets each step of each machine.
 */
import type { Clock } from "../base/clock.ts";
import type { Stamped } from "../events/stream.ts";
import type { Taken } from "../failover/controller.ts";
import { changeIn, recordOfChange } from "./change.ts";
import type { Incident } from "./incident.ts";
import { type IncidentCounters, type IncidentRecord, stampOf } from "./record.ts";
import { Recorder } from "./recorder.ts";
import type { CheckPace, Recorded } from "./recording.ts";
import type { Change } from "./timeline.ts";

/** One service, and what is written into its records. */
export interface IncidentService {
  readonly name: string;
  /** The upstream of rank 0. */
  readonly primary: string;
  readonly configHash: string;
}

/** Stores incidents beyond the end of the process: the state folder. */
export interface IncidentStorage {
  /** Those of earlier runs, oldest first. Never rejects. */
  load(): Promise<readonly IncidentRecord[]>;
  /** Writes one in the background; with `recorded`, also its inputs. */
  write(record: IncidentRecord, recorded: Recorded | undefined): void;
  /** The inputs of one. Never rejects. */
  inputs(id: string): Promise<Recorded | undefined>;
}

/** What the incidents of the process need from outside. */
export interface IncidentsPorts {
  readonly clock: Clock;
  /** Where they are kept beyond the end of the process; without it they are in memory only. */
  readonly storage?: IncidentStorage | undefined;
  /** The version of this program, for the records. */
  readonly version: string;
  /** The present counts of the data plane of a service. */
  readonly counters: (service: string) => IncidentCounters;
}

/** Receives the steps of the machine of one service. Never throws. */
export interface StepObserver {
  /** A machine begins, the first one of the service or that of a restarted service. */
  begin(pace: CheckPace): void;
  /** The same machine goes on, and gets check results at another pace. */
  setPace(pace: CheckPace): void;
  step(taken: Taken): void;
}

/** How many incidents of one kind a service had that have ended. */
export interface IncidentCount {
  readonly service: string;
  readonly kind: IncidentRecord["kind"];
  readonly count: number;
}

/** Records in memory. */
export const RECORDS_MAX = 1_000;
/** Of the newest of them the inputs are kept, too. */
export const RECORDINGS_MAX = 50;

interface KeptIncident {
  readonly record: IncidentRecord;
  /** Undefined for an older one, one of an earlier run, and a change. */
  incident: Incident | undefined;
}

/** All incidents of the process. `take` must be subscribed before the first service starts. */
export class Incidents {
  readonly #recorders = new Map<string, Recorder>();
  readonly #ports: IncidentsPorts;
  /** Oldest first. */
  readonly #kept: KeptIncident[] = [];
  readonly #counts = new Map<string, IncidentCount>();
  readonly #memory: IncidentStorage | undefined;
  #broken = 0;

  constructor(services: readonly IncidentService[], ports: IncidentsPorts) {
    this.#memory = ports.storage;
    this.#ports = ports;
    for (const service of services) this.setService(service);
  }

  /** A service comes, or further records say something else of it. */
  setService({ name, primary, configHash }: IncidentService): void {
    const { clock, counters, version } = this.#ports;
    const settings = { service: name, primary, version, configHash };
    const known = this.#recorders.get(name);
    if (known !== undefined) return known.configure(settings);
    const recorder = new Recorder(settings, {
      clock,
      counters: () => counters(name),
      newId: (wallMs) => this.#newId(name, wallMs),
      onChange: (incident, what) => this.#changed(incident, what),
    });
    this.#recorders.set(name, recorder);
  }

  /** A service is gone: so is its incident that is under way. Its records stay. */
  removeService(name: string): void {
    this.#recorders.get(name)?.stop();
    this.#recorders.delete(name);
  }

  /** How many faults of the recorders were caught; anything but 0 is a bug. */
  get broken(): number {
    return this.#broken;
  }

  readonly take = (stamped: Stamped): void => {
    const change = changeIn(stamped.event);
    if (change !== undefined) {
      const { time } = stamped;
      const id = this.#newId(change.kind, time);
      const record = recordOfChange(change, { id, time, version: this.#ports.version });
      this.#memory?.write(record, undefined);
      this.#keep({ record, incident: undefined });
    } else if (stamped.event.type === "proxy.stopping") this.#stop("stopped");
    else if (stamped.event.type === "upgrade.handedOver") this.#stop("handed_over");
    else this.#recorders.get(stamped.service)?.take(stamped);
  };

  /** Receives the steps of the machine of a service. A bug in a recorder never disturbs that machine. */
  observer(service: string): StepObserver {
    const recorder = this.#recorders.get(service);
    return {
      begin: (pace) => recorder?.begin(pace),
      setPace: (pace) => recorder?.setPace(pace),
      step: (taken) => {
        try {
          recorder?.step(taken);
        } catch {
          this.#broken++;
        }
      },
    };
  }

  /**
   * The incidents of a service, or of all, oldest first; those under way are among them. Changes of the process are
   * among all, and alone if the name is empty.
   */
  list(service?: string): readonly IncidentRecord[] {
    for (const recorder of this.#recorders.values()) recorder.refresh();
    const records = this.#kept.map(({ record }) => record);
    return service === undefined ? records : records.filter((each) => each.service === service);
  }

  /** The incident with this id, or the newest one of which this is the id of a promotion. */
  find(id: string): IncidentRecord | undefined {
    const records = this.list();
    return records.find((record) => record.id === id) ??
      records.findLast((record) => record.promotions.includes(id));
  }

  /** What `replay` needs of an incident. In memory that is kept of the newest ones only. */
  async inputs(id: string): Promise<Recorded | undefined> {
    const kept = this.#kept.find(({ record }) => record.id === id);
    return kept?.incident?.recording?.recorded ?? await this.#memory?.inputs(id);
  }

  /**
   * Takes over the incidents of earlier runs. `isHandedOver`: another process has just handed over to this one, and
   * records by itself how those end that are still under way.
   */
  async load(isHandedOver = false): Promise<void> {
    const records = await this.#memory?.load() ?? [];
    // What this process has recorded meanwhile may be on the disk already.
    const own = new Set(this.#kept.map(({ record }) => record.id));
    const newestFirst = records.filter(({ id }) => !own.has(id))
      .toSorted((a, b) => a.began < b.began ? 1 : -1);
    for (const record of newestFirst) {
      if (this.#kept.length >= RECORDS_MAX) return;
      // The process has not recorded the outcome, or not yet.
      const outcome = isHandedOver ? "handed_over" : "killed";
      const ended = record.outcome === null ? { ...record, outcome } as const : record;
      if (record.outcome === null && !isHandedOver) this.#memory?.write(ended, undefined);
      this.#kept.unshift({ record: ended, incident: undefined });
    }
  }

  /** What a service did in the last 24 hours. */
  timeline(service: string): readonly Change[] {
    return this.#recorders.get(service)?.timeline.changes ?? [];
  }

  /** The incidents that have ended, counted since the start of the process. */
  get counts(): readonly IncidentCount[] {
    return [...this.#counts.values()];
  }

  #stop(outcome: "stopped" | "handed_over"): void {
    for (const recorder of this.#recorders.values()) recorder.stop(outcome);
  }

  #keep(kept: KeptIncident): void {
    this.#kept.push(kept);
    if (this.#kept.length > RECORDS_MAX) this.#kept.shift();
    const old = this.#kept.at(-1 - RECORDINGS_MAX);
    if (old !== undefined) old.incident = undefined;
  }

  /** `of`: the name of a service, or the kind of a change. */
  #newId(of: string, wallMs: number): string {
    const id = of === "" ? stampOf(wallMs) : `${stampOf(wallMs)}-${of}`;
    const isTaken = (id: string) => this.#kept.some(({ record }) => record.id === id);
    if (!isTaken(id)) return id;
    for (let number = 2;; number++) if (!isTaken(`${id}-${number}`)) return `${id}-${number}`;
  }

  #changed(incident: Incident, what: "begun" | "ended" | "settled" | "amended"): void {
    const { record } = incident;
    this.#memory?.write(record, what === "settled" ? incident.recording?.recorded : undefined);
    if (what === "begun") this.#keep({ record, incident });
    if (what !== "ended") return;
    const { service, kind } = record;
    const count = this.#counts.get(`${service} ${kind}`)?.count ?? 0;
    this.#counts.set(`${service} ${kind}`, { service, kind, count: count + 1 });
  }
}
