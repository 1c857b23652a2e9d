/** The memory of a service as the text of a file, and back. Times in the file are UTC. Pure. */
import type { Clock } from "../base/clock.ts";
import { retryFailbackMs } from "../failover/failback.ts";
import type { Memory } from "../failover/memory.ts";
import type { StandingOrder } from "../failover/orders.ts";
import type { FailedMoves, SeenRole } from "../failover/state.ts";

/** The format of the file. A larger number was written by a later version of the program. */
const VERSION = 1;

const SEEN: readonly SeenRole[] = ["standby", "promoted", "rival"];

/** The text of the file. `offsetMs` is the wall clock minus the time of the machine, in milliseconds. */
export function textOf(service: string, memory: Memory, offsetMs: number): string {
  const time = (ms: number) => new Date(Math.round(ms + offsetMs)).toISOString();
  const standing = ({ by, reason, since }: StandingOrder) => ({ by, reason, since: time(since) });
  const { unfinished, failedMoves, paused, standing: now } = memory;
  const written = {
    version: VERSION,
    service,
    epoch: memory.epoch,
    served: memory.served ?? null,
    unfinished: unfinished === undefined
      ? null
      : { to: unfinished.to, from: unfinished.from ?? null },
    chosen: memory.lastChosen ?? null,
    pinned: memory.pinned ?? null,
    ...memory.fence === undefined ? {} : { fence: memory.fence },
    ...memory.standbys.size === 0 ? {} : { standbys: Object.fromEntries(memory.standbys) },
    paused: paused === undefined ? null : standing(paused),
    drained: Object.fromEntries([...memory.drained].map(([name, each]) => [name, standing(each)])),
    failbacks: memory.failbacks.map(time),
    failed_moves: failedMoves === undefined
      ? null
      : { to: failedMoves.to, count: failedMoves.count, until: time(failedMoves.until) },
    ...now === undefined ? {} : {
      standing: {
        active: now.active,
        since: time(now.since),
        verdicts: Object.fromEntries(
          [...now.verdicts].map(([name, { isUp, since }]) => [name, { isUp, since: time(since) }]),
        ),
      },
    },
  };
  return `${JSON.stringify(written, undefined, 2)}\n`;
}

/**
 * What the file says; a text that says why it cannot be used if it is damaged. The wall clock may have been set back
 * since it was written: what has happened has happened by now.
 */
export function memoryFrom(
  service: string,
  text: string,
  clock: Pick<Clock, "now" | "wall">,
): Memory | string {
  try {
    return read(service, JSON.parse(text), clock);
  } catch (error) {
    if (error instanceof Damaged) return error.message;
    return text.trim() === "" ? "it is empty" : "it is not JSON";
  }
}

class Damaged extends Error {}

function read(service: string, value: unknown, clock: Pick<Clock, "now" | "wall">): Memory {
  const now = clock.now();
  const file = new MemoryFields(value, "", { now, offsetMs: clock.wall() - now });
  const version = file.count("version");
  if (version > VERSION) throw new Damaged(`a later version of failover wrote it (${version})`);
  if (file.text("service") !== service) throw new Damaged("it is of another service");
  const unfinished = file.object("unfinished");
  const failed = file.object("failed_moves");
  const paused = file.object("paused");
  const standing = file.objectIfAny("standing");
  return {
    epoch: file.count("epoch"),
    served: file.textOrNull("served"),
    unfinished: unfinished && {
      to: unfinished.text("to"),
      from: unfinished.textOrNull("from"),
    },
    lastChosen: file.textOrNull("chosen"),
    pinned: file.textOrNull("pinned"),
    ...file.has("fence") ? { fence: file.count("fence") } : {},
    standbys: file.standbys("standbys"),
    paused: paused?.standing(),
    drained: file.standingByName("drained"),
    failbacks: file.timesOf("failbacks"),
    failedMoves: failed?.failedMoves(),
    ...standing === undefined ? {} : {
      standing: {
        active: standing.text("active"),
        since: standing.time("since"),
        verdicts: standing.verdicts("verdicts"),
      },
    },
  };
}

/** The time of the machine, and how far the wall clock is ahead of it, in milliseconds. */
interface Times {
  readonly now: number;
  readonly offsetMs: number;
}

/** The fields of one object in the file. */
class MemoryFields {
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(value: unknown, readonly path: string, readonly times: Times) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new Damaged(`${path === "" ? "it" : path} is not an object`);
    }
    this.#fields = value as Readonly<Record<string, unknown>>;
  }

  text(key: string): string {
    const value = this.#fields[key];
    return typeof value === "string" ? value : this.#wrong(key, "a text");
  }

  textOrNull(key: string): string | undefined {
    return this.#fields[key] === null ? undefined : this.text(key);
  }

  has(key: string): boolean {
    return this.#fields[key] !== undefined;
  }

  count(key: string): number {
    const value = this.#fields[key];
    const isCount = typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
    return isCount ? value : this.#wrong(key, "a whole number");
  }

  /** When something happened. */
  time(key: string): number {
    return Math.min(this.#timeOf(this.#fields[key], key), this.times.now);
  }

  timesOf(key: string): number[] {
    const value = this.#fields[key];
    if (!Array.isArray(value)) return this.#wrong(key, "a list of times");
    return value.map((each) => Math.min(this.#timeOf(each, key), this.times.now));
  }

  failedMoves(): FailedMoves {
    const count = this.count("count");
    const until = this.#timeOf(this.#fields.until, "until");
    return {
      to: this.text("to"),
      count,
      until: Math.min(until, this.times.now + retryFailbackMs(count)),
    };
  }

  object(key: string): MemoryFields | undefined {
    const value = this.#fields[key];
    return value === null ? undefined : new MemoryFields(value, this.#pathOf(key), this.times);
  }

  /** As `object`; the file may lack it. */
  objectIfAny(key: string): MemoryFields | undefined {
    return this.#fields[key] === undefined ? undefined : this.object(key);
  }

  verdicts(key: string): Map<string, { isUp: boolean; since: number }> {
    const all = this.object(key);
    if (all === undefined) return this.#wrong(key, "an object");
    return new Map(
      Object.keys(all.#fields).map((name) => {
        const each = all.object(name)!;
        return [name, { isUp: each.#fields.isUp === true, since: each.time("since") }];
      }),
    );
  }

  standing(): StandingOrder {
    return { by: this.text("by"), reason: this.text("reason"), since: this.time("since") };
  }

  standingByName(key: string): Map<string, StandingOrder> {
    const all = this.object(key);
    if (all === undefined) return this.#wrong(key, "an object");
    const names = Object.keys(all.#fields);
    return new Map(names.map((name) => [name, all.object(name)!.standing()]));
  }

  /** Missing where no check has learned the roles of servers. */
  standbys(key: string): Map<string, SeenRole> {
    if (this.#fields[key] === undefined) return new Map();
    const all = this.object(key);
    if (all === undefined) return this.#wrong(key, "an object");
    return new Map(
      Object.keys(all.#fields).map((name) => {
        const seen = all.text(name);
        return [name, SEEN.find((each) => each === seen) ?? all.#wrong(name, "known")];
      }),
    );
  }

  #timeOf(value: unknown, key: string): number {
    const ms = typeof value === "string" ? Date.parse(value) : NaN;
    return Number.isNaN(ms) ? this.#wrong(key, "a time") : ms - this.times.offsetMs;
  }

  #pathOf(key: string): string {
    return this.path === "" ? key : `${this.path}.${key}`;
  }

  #wrong(key: string, expected: string): never {
    throw new Damaged(`${this.#pathOf(key)} is not ${expected}`);
  }
}
