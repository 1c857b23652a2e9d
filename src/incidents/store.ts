/**
 * Writes incidents to the state folder in the background, so that nothing waits for the disk. A failed write is
 * reported once in the log and tried again later; nothing else depends on it.
 */
import { type Clock, sleep } from "../base/clock.ts";
import { inFileTime } from "../base/file_time.ts";
import type { Publish } from "../events/events.ts";
import { replaceFile, writeWhole } from "../state/replace_file.ts";
import { storageReason } from "../state/storage_reason.ts";
import { encode } from "./codec.ts";
import type { IncidentRecord } from "./record.ts";
import type { Recorded } from "./recording.ts";
import { incidentsFile, inputsOf, lineOf, linesOf, readIncidents, STORED_MAX } from "./stored.ts";

/** Incidents that wait to be written; with more, the oldest is dropped. */
export const WAITING_MAX = 100;
/** The pause before what could not be written is tried again, in milliseconds. */
const RETRY_MS = 30_000;
/** The file is written anew when it has more lines than this. */
const LINES_MAX = 4 * STORED_MAX;
/** Most bytes of the file after it was written anew; recorded inputs of the oldest incidents go first. */
const BYTES_MAX = 32 * 1024 * 1024;
/** How long the end of the process waits for the disk, in milliseconds. */
const CLOSE_MS = 2_000;
/** Permission bits of the folder and the files, whose contents are confidential. */
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;

interface WaitingWrite {
  readonly record: IncidentRecord;
  readonly recorded: Recorded | undefined;
}

/** The incidents of one state folder. One write at a time; at most `WAITING_MAX` incidents wait for it. */
export class IncidentStore implements AsyncDisposable {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #publish: Publish;
  /** By id, in the order in which they changed. */
  readonly #waiting = new Map<string, WaitingWrite>();
  /** The work that is under way, or was last. */
  #writing: Promise<void> | undefined;
  #draining: Promise<void> | undefined;
  /** Lines in the file; undefined until it has been read. */
  #lines: number | undefined;
  #isTorn = false;
  /** Why the last attempt failed, which was reported; undefined if it succeeded. */
  #trouble: string | undefined;
  #lost = 0;
  #cancelRetry = () => {};
  #isClosed = false;

  constructor(
    folder: string,
    { clock, publish }: { readonly clock: Clock; readonly publish: Publish },
  ) {
    this.#folder = folder;
    this.#clock = clock;
    this.#publish = publish;
  }

  /** Incidents whose changes were dropped because too many waited. */
  get lost(): number {
    return this.#lost;
  }

  /** True while something is being written, or waits for that. */
  get isBusy(): boolean {
    return this.#draining !== undefined || this.#waiting.size > 0;
  }

  /** The incidents in the folder, oldest first. Makes the folder. Resolves with an empty list if it cannot be read. */
  async load(): Promise<readonly IncidentRecord[]> {
    const records: IncidentRecord[] = [];
    await this.#alone(async () => {
      await Deno.mkdir(this.#folder, { recursive: true, mode: FOLDER_MODE });
      const { incidents, lines, damaged, isTorn } = await readIncidents(this.#folder);
      this.#lines = lines;
      this.#isTorn = isTorn;
      records.push(...[...incidents.values()].map(({ record }) => record));
      if (damaged > 0) {
        const path = incidentsFile(this.#folder);
        this.#publish({ type: "state.damaged", path, lines: damaged });
      }
    });
    return records;
  }

  /** Writes an incident soon; with `recorded`, also its inputs. */
  write(record: IncidentRecord, recorded: Recorded | undefined): void {
    if (this.#isClosed) return;
    const before = this.#waiting.get(record.id)?.recorded;
    this.#waiting.delete(record.id);
    this.#waiting.set(record.id, { record, recorded: recorded ?? before });
    if (this.#waiting.size > WAITING_MAX) {
      this.#waiting.delete(this.#waiting.keys().next().value!);
      this.#lost++;
    }
    this.#start();
  }

  /** The recorded inputs of an incident in the folder; undefined if there are none, or it cannot be read. */
  async inputs(id: string): Promise<Recorded | undefined> {
    try {
      const { incidents } = await this.#inTime(readIncidents(this.#folder));
      const stored = incidents.get(id);
      return stored === undefined ? undefined : inputsOf(stored);
    } catch {
      return undefined;
    }
  }

  /** Writes what waits, if the file system lets it within `CLOSE_MS`. Nothing is taken any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#cancelRetry();
    const stop = new AbortController();
    const late = sleep(this.#clock, CLOSE_MS, stop.signal).catch(() => {});
    await Promise.race([this.#draining, late]);
    stop.abort();
    this.#cancelRetry();
  }

  /** Writes until nothing waits, or there is trouble. */
  #start(): void {
    this.#draining ??= this.#alone(() => this.#writeAll()).finally(() => {
      this.#draining = undefined;
    });
  }

  /** Runs `work` when no other is under way. Trouble is published, and tried again later. */
  async #alone(work: () => Promise<void>): Promise<void> {
    const before = this.#writing;
    const mine = (async () => {
      await before;
      await work();
    })();
    // Work that never ends keeps later work from beginning; it waits in the bounded queue.
    this.#writing = mine.catch(() => {});
    try {
      await this.#inTime(mine);
      if (this.#trouble !== undefined) {
        this.#publish({ type: "state.restored", path: this.#folder });
      }
      this.#trouble = undefined;
    } catch (error) {
      const reason = storageReason(error);
      if (reason !== this.#trouble) {
        this.#publish({ type: "state.failed", path: this.#folder, reason });
      }
      this.#trouble = reason;
      // The file may be another one at the next attempt, so its lines are counted again.
      this.#lines = undefined;
      this.#retryLater();
    }
  }

  #retryLater(): void {
    this.#cancelRetry();
    if (this.#isClosed) return;
    this.#cancelRetry = this.#clock.after(RETRY_MS, () => this.#start());
  }

  async #writeAll(): Promise<void> {
    if (this.#lines === undefined) {
      await Deno.mkdir(this.#folder, { recursive: true, mode: FOLDER_MODE });
      const { lines, isTorn } = await readIncidents(this.#folder);
      this.#lines = lines;
      this.#isTorn = isTorn;
    }
    while (this.#waiting.size > 0) {
      const batch = [...this.#waiting.values()];
      const text = batch.map(({ record, recorded }) =>
        lineOf(record, recorded === undefined ? undefined : encode(recorded))
      ).join("");
      await this.#append(text);
      this.#lines += batch.length;
      for (const each of batch) {
        const { id } = each.record;
        if (this.#waiting.get(id) === each) this.#waiting.delete(id);
      }
    }
    if (this.#lines > LINES_MAX) await this.#writeAnew();
  }

  async #append(text: string): Promise<void> {
    const path = incidentsFile(this.#folder);
    using file = await Deno.open(path, { append: true, create: true, mode: FILE_MODE });
    const before = this.#isTorn ? "\n" : "";
    // Until all of it is written, the file may end within a line.
    this.#isTorn = true;
    await writeWhole(file, before + text);
    await file.sync();
    this.#isTorn = false;
  }

  /** Leaves out lines that later ones have replaced, and what is too much. */
  async #writeAnew(): Promise<void> {
    const { incidents } = await readIncidents(this.#folder);
    let bytes = 0;
    const newestFirst = [...incidents.values()].reverse().map((stored) => {
      const lines = bytes < BYTES_MAX ? linesOf(stored) : [lineOf(stored.record).trimEnd()];
      bytes += lines.reduce((sum, line) => sum + line.length, 0);
      return lines;
    });
    const lines = newestFirst.reverse().flat();
    await replaceFile(incidentsFile(this.#folder), lines.map((line) => `${line}\n`));
    this.#lines = lines.length;
    this.#isTorn = false;
  }

  #inTime<T>(work: Promise<T>): Promise<T> {
    return inFileTime(work, this.#clock);
  }
}
