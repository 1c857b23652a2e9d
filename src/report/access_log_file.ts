/**
 * A file that lines are appended to, or stdout. Batches are written one after another in the background. The file is
 * opened again when it was moved or removed, as logrotate does, and when that is asked for.
 */
import { countLines, NEWLINE } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import type { LinesOutcome } from "../base/lines_outcome.ts";

/** The common part of `Deno.FsFile` and `Deno.stdout`. */
interface LogTarget {
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}

/** Permission bits of a file that is made: its lines contain personal data. */
const MODE = 0o640;
/** The interval, in milliseconds, at which we check whether the path still leads to the same file. */
const LOOK_MS = 1_000;

const ALL_WRITTEN: LinesOutcome = { lost: 0, reason: "" };

/** One open file. */
export class AccessLogFile implements Disposable {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #onKept: (reason: string) => void;
  #output: LogTarget;
  /** Identifies the file (device and inode); undefined if it is no regular file and so is never moved. */
  #identity: string | undefined;
  #lookedAt: number;
  #isToReopen = false;
  /** The last line was written in part; its end is missing. */
  #isCutShort = false;
  #last: Promise<unknown> = Promise.resolve();

  /**
   * Opens the file, which is made if there is none; `-` is stdout. Rejects as `Deno.open` does. `onKept` is called
   * with the reason, for a person, if the file could not be opened again, so that the old one stays in use.
   */
  static async open(
    path: string,
    clock: Clock,
    onKept: (reason: string) => void,
  ): Promise<AccessLogFile> {
    if (path === "-") return new AccessLogFile(path, clock, onKept, STDOUT, undefined);
    const { file, identity } = await openFile(path);
    return new AccessLogFile(path, clock, onKept, file, identity);
  }

  private constructor(
    path: string,
    clock: Clock,
    onKept: (reason: string) => void,
    output: LogTarget,
    identity: string | undefined,
  ) {
    this.#path = path;
    this.#clock = clock;
    this.#onKept = onKept;
    this.#output = output;
    this.#identity = identity;
    this.#lookedAt = clock.now();
  }

  /** The next batch is written to the file that its path names then. */
  reopen(): void {
    if (this.#path === "-") return;
    this.#isToReopen = true;
    this.#after(() => this.#follow());
  }

  /** Appends whole lines. Never rejects. */
  write(lines: Uint8Array): Promise<LinesOutcome> {
    return this.#after(async () => {
      await this.#follow();
      return await this.#append(lines);
    });
  }

  [Symbol.dispose](): void {
    this.#output.close();
  }

  /** One step after another. */
  #after<T>(step: () => Promise<T>): Promise<T> {
    const next = this.#last.then(step);
    this.#last = next;
    return next;
  }

  async #append(lines: Uint8Array): Promise<LinesOutcome> {
    const bytes = this.#isCutShort ? withNewline(lines) : lines;
    let written = 0;
    try {
      while (written < bytes.length) written += await this.#output.write(bytes.subarray(written));
      this.#isCutShort = false;
      return ALL_WRITTEN;
    } catch (error) {
      if (written > 0) this.#isCutShort = bytes[written - 1] !== NEWLINE;
      const lost = countLines(bytes.subarray(written));
      return { lost, reason: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Opens the file again if that was asked for, or if its path names another one. */
  async #follow(): Promise<void> {
    if (!this.#isToReopen && !await this.#hasMoved()) return;
    this.#isToReopen = false;
    try {
      const { file, identity } = await openFile(this.#path);
      this.#output.close();
      this.#output = file;
      this.#identity = identity;
      this.#isCutShort = false;
    } catch (error) {
      this.#onKept(error instanceof Error ? error.message : String(error));
    }
  }

  async #hasMoved(): Promise<boolean> {
    const now = this.#clock.now();
    if (this.#identity === undefined || now - this.#lookedAt < LOOK_MS) return false;
    this.#lookedAt = now;
    try {
      return identityOf(await Deno.stat(this.#path)) !== this.#identity;
    } catch (error) {
      return error instanceof Deno.errors.NotFound;
    }
  }
}

const STDOUT: LogTarget = { write: (bytes) => Deno.stdout.write(bytes), close: () => {} };

async function openFile(
  path: string,
): Promise<{ readonly file: Deno.FsFile; readonly identity: string | undefined }> {
  // A named pipe that is opened for writing alone waits for a reader, which may never come.
  const isPipe = await Deno.stat(path).then(({ isFifo }) => isFifo === true, () => false);
  const file = await Deno.open(path, { append: true, read: isPipe, create: !isPipe, mode: MODE });
  const info = await file.stat();
  return { file, identity: info.isFile ? identityOf(info) : undefined };
}

function identityOf({ dev, ino }: Deno.FileInfo): string {
  return `${dev}:${ino}`;
}

function withNewline(lines: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(lines.length + 1);
  bytes[0] = NEWLINE;
  bytes.set(lines, 1);
  return bytes;
}
