/**
 * The state folder: what each service must remember over a restart, one file for each service. Only one process
 * uses the folder at a time. Only the triggers of a promotion wait for the disk; if the disk fails, that is
 * reported in the log and tried again, and everything else goes on.
 *
 * While the process runs, the epoch in a file is larger than the last one by `EPOCHS_AHEAD`: if power is
 * lost before the last decisions are on disk, the next run still begins with an epoch that no script has
 * seen. At an ordinary end of the process it is the last one exactly.
 */
import type { Clock } from "../base/clock.ts";
import { FILE_MS, inFileTime } from "../base/file_time.ts";
import type { Publish } from "../events/events.ts";
import type { Memory, MemoryPort } from "../failover/memory.ts";
import { FileTurns } from "./file_turns.ts";
import { memoryFrom, textOf } from "./memory_text.ts";
import { replaceFile } from "./replace_file.ts";
import { storageReason } from "./storage_reason.ts";

/** How many epochs the next run skips after a crash. */
export const EPOCHS_AHEAD = 10;
/**
 * Deadline for one file to be replaced while services run, in milliseconds: a network file system may never answer, and
 * triggers wait for it. Before a service starts nothing waits but the start, which is refused if it fails.
 */
const WRITE_MS = 2_000;
/** The pause before what could not be written is tried again, in milliseconds. */
const RETRY_MS = 5_000;
/** Permission bits of the folder. */
const FOLDER_MODE = 0o700;
const LOCK_FILE = "lock";

/** What the folder needs from outside. `publish` receives the reports of failed writes. */
export interface StatePorts {
  readonly clock: Clock;
  readonly publish: Publish;
}

/** What the file of a service needs: the files of a folder are read and written a few at a time. */
interface FilePorts extends StatePorts {
  readonly turns: FileTurns;
}

/** What keeps other processes out of the folder until it is closed. */
export interface StateLock {
  close(): void;
}

/** What another process hands over with the folder. */
export interface InheritedState {
  readonly memories: ReadonlyMap<string, Memory>;
  /** The lock of that process, which is shared now; missing if it had another folder. */
  readonly lock?: StateLock | undefined;
}

/** The open state folder. */
export class StateFolder implements AsyncDisposable {
  readonly #lock: StateLock;
  readonly #ports: FilePorts;
  readonly #files: Map<string, ServiceFile>;

  private constructor(
    folder: string,
    lock: StateLock,
    files: readonly ServiceFile[],
    ports: FilePorts,
  ) {
    this.folder = folder;
    this.#lock = lock;
    this.#ports = ports;
    this.#files = new Map(files.map((file) => [file.service, file]));
  }

  /** Where it is. */
  readonly folder: string;
  #isLeft = false;

  /**
   * Makes the folder if it is missing, takes it for this process, reads the file of each service and writes
   * it again. Resolves with the reasons why that is not possible, each with its path, if it is not. `inherited`: the
   * folder is another process's until now, and that one's memory is newer than the files.
   */
  static async open(
    folder: string,
    services: readonly string[],
    { clock, publish }: StatePorts,
    inherited?: InheritedState,
  ): Promise<StateFolder | readonly string[]> {
    const ports = { clock, publish, turns: new FileTurns(clock, WRITE_MS) };
    try {
      const lock = inherited?.lock ?? await inFileTime(takeFolder(folder), clock);
      if (typeof lock === "string") return [`${folder}: ${lock}`];
      const files = services.map((service) => new ServiceFile(folder, service, ports));
      const wrong = (await Promise.all(
        files.map((file) => file.load(inherited?.memories.get(file.service))),
      )).filter((reason) => reason !== undefined);
      if (wrong.length === 0) {
        return new StateFolder(folder, lock, files, ports);
      }
      lock.close();
      return wrong;
    } catch (error) {
      return [`${folder}: ${storageReason(error)}`];
    }
  }

  /** Reads the file of one more service, and writes it again. Resolves with the reason, with its path, if it cannot. */
  async add(service: string): Promise<string | undefined> {
    // One of this name may have been removed, and its last sessions be ending: from now on it writes nothing.
    await this.#files.get(service)?.close();
    const file = new ServiceFile(this.folder, service, this.#ports);
    const wrong = await file.load();
    if (wrong === undefined) this.#files.set(service, file);
    return wrong;
  }

  /**
   * A service has ended: what is not on disk yet is written. Its file stays, for the next time. Nothing is done if
   * `memory` is no longer that of the service, since another one of its name was added.
   */
  async remove(service: string, memory = this.memory(service)): Promise<void> {
    const file = this.#files.get(service);
    if (file === undefined || file !== memory) return;
    this.#files.delete(service);
    await file.close();
  }

  /** The memory of one of the services that the folder was opened for. */
  memory(service: string): MemoryPort {
    return this.#files.get(service)!;
  }

  /** Resolves when everything is on disk, or cannot be written. */
  async kept(): Promise<void> {
    await Promise.all([...this.#files.values()].map((file) => file.kept()));
  }

  /** This process writes nothing any more, because the folder is another one's now. */
  leave(): void {
    this.#isLeft = true;
    for (const file of this.#files.values()) file.leave();
  }

  /** The number of this process stands in the lock file from now on, for people. Never rejects. */
  async sign(): Promise<void> {
    await Deno.writeTextFile(`${this.folder}/${LOCK_FILE}`, `${Deno.pid}\n`).catch(() => {});
  }

  /** Writes what is not on disk yet, with the last epochs. The services must have stopped. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isLeft) {
      await Promise.all([...this.#files.values()].map((file) => file.close()));
    }
    this.#lock.close();
  }
}

/** Takes the folder for this process. Resolves with the reason if another process has it. */
async function takeFolder(folder: string): Promise<Deno.FsFile | string> {
  await Deno.mkdir(folder, { recursive: true, mode: FOLDER_MODE });
  const path = `${folder}/${LOCK_FILE}`;
  const lock = await Deno.open(path, { read: true, write: true, create: true, mode: 0o600 });
  try {
    if (!await lock.tryLock(true)) {
      lock.close();
      const pid = (await Deno.readTextFile(path)).trim();
      return `another process uses it${pid === "" ? "" : ` (pid ${pid})`}`;
    }
    await lock.truncate();
    await lock.write(new TextEncoder().encode(`${Deno.pid}\n`));
    return lock;
  } catch (error) {
    lock.close();
    throw error;
  }
}

/** The file of one service. */
class ServiceFile implements MemoryPort {
  remembered: Memory | undefined;
  readonly service: string;
  readonly #path: string;
  readonly #ports: FilePorts;
  /** The number of calls of `keep`, and of those whose memory is on the disk. */
  #given = 0;
  #saved = 0;
  /** The round of attempts that is under way. */
  #writing: Promise<void> | undefined;
  /** The last replacement: one that is late must end before the next begins, or it would undo that one. */
  #replacing: Promise<void> = Promise.resolve();
  /** Why the last attempt failed, which was reported; undefined if it succeeded. */
  #trouble: string | undefined;
  #isClosed = false;
  #isLeft = false;
  #cancelRetry = () => {};

  constructor(folder: string, service: string, ports: FilePorts) {
    this.service = service;
    this.#path = `${folder}/${service}.state.json`;
    this.#ports = ports;
  }

  get #offsetMs(): number {
    const { clock } = this.#ports;
    return clock.wall() - clock.now();
  }

  /**
   * Reads the file unless the memory is given, and writes it again to see that this is possible. Resolves with the
   * reason if not.
   */
  async load(given?: Memory): Promise<string | undefined> {
    this.remembered = given;
    try {
      const text = given === undefined
        ? await this.#ports.turns.run(() => readIfThere(this.#path), FILE_MS)
        : undefined;
      if (text !== undefined) {
        const memory = memoryFrom(this.service, text, this.#ports.clock);
        if (typeof memory === "string") {
          return `${this.#path}: it is damaged (${memory}); remove it to start without a memory`;
        }
        this.remembered = memory;
      }
      await this.#replace(EPOCHS_AHEAD, FILE_MS);
    } catch (error) {
      return `${this.#path}: ${storageReason(error)}`;
    }
  }

  keep(memory: Memory): void {
    this.remembered = memory;
    this.#given++;
    this.#start();
  }

  async kept(): Promise<void> {
    await this.#writing;
  }

  /** Writes nothing any more, also not what waits for its turn. */
  leave(): void {
    this.#isClosed = true;
    this.#isLeft = true;
    this.#cancelRetry();
  }

  /** Writes the last memory. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelRetry();
    await this.#writing;
    await this.#attempt(0);
  }

  #start(): void {
    if (this.#isClosed) return;
    this.#cancelRetry();
    this.#writing ??= this.#writeAll().finally(() => this.#writing = undefined);
  }

  /** Writes until the last memory is on disk, or there is trouble. */
  async #writeAll(): Promise<void> {
    while (this.#saved < this.#given) {
      const given = this.#given;
      if (!await this.#attempt(EPOCHS_AHEAD)) return this.#retryLater();
      this.#saved = given;
    }
  }

  async #attempt(ahead: number): Promise<boolean> {
    const { publish } = this.#ports;
    const path = this.#path;
    try {
      await this.#replace(ahead);
      if (this.#trouble !== undefined) publish({ type: "state.restored", path });
      this.#trouble = undefined;
      return true;
    } catch (error) {
      const reason = storageReason(error);
      if (reason !== this.#trouble) publish({ type: "state.failed", path, reason });
      this.#trouble = reason;
      return false;
    }
  }

  #retryLater(): void {
    if (this.#isClosed) return;
    this.#cancelRetry = this.#ports.clock.after(RETRY_MS, () => this.#start());
  }

  /** Replaces the file by the present memory. A service that remembers nothing yet has a file, too. */
  #replace(ahead: number, ms?: number): Promise<void> {
    return this.#ports.turns.run(() => {
      const mine = this.#replaceAfter(this.#replacing, ahead);
      this.#replacing = mine.catch(() => {});
      return mine;
    }, ms);
  }

  async #replaceAfter(before: Promise<void>, ahead: number): Promise<void> {
    await before;
    if (this.#isLeft) return;
    // What stands at the moment of a takeover is not true any more at the next start.
    const { standing: _, ...memory } = this.remembered ?? NOTHING;
    const written = { ...memory, epoch: memory.epoch + ahead };
    const text = textOf(this.service, written, this.#offsetMs);
    await replaceFile(this.#path, text);
  }
}

const NOTHING: Memory = {
  epoch: 0,
  served: undefined,
  unfinished: undefined,
  lastChosen: undefined,
  failbacks: [],
  failedMoves: undefined,
  paused: undefined,
  drained: new Map(),
  pinned: undefined,
  standbys: new Map(),
};

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
