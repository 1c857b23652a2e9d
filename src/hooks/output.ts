/**
 * Reads what a program of the operator prints and makes log lines of it, up to a limit. After that it
 * reads and discards, so that the program does not stall on a full pipe; but at a limited rate, since a
 * program that prints without end would otherwise use a whole core of the proxy.
 */
import type { Clock } from "../base/clock.ts";

/** The bytes of one run that become lines, standard output and standard error together. */
export const OUTPUT_MAX = 64 * 1024;
/** The minimum that each line counts in bytes: many short lines would displace others in the log. */
export const LINE_COST = 64;
/** The maximum length of a line in characters; the rest is cut. */
export const LINE_MAX = 1_000;
/** The bytes of one pipe that are discarded between two pauses. */
export const DISCARDED_AT_ONCE = 4 * 1024 * 1024;
/** The length of such a pause in milliseconds; so at most 32 MB a second are discarded. */
export const PAUSE_MS = 125;

/** The maximum of one read, in bytes, while they become lines. */
const KEPT_READ = 2 * 1024;
/** The maximum of one read of bytes to discard: the capacity of a pipe on Linux, see pipe(7). */
const DISCARDED_READ = 64 * 1024;

/** Reads the pipes of one program from the moment it is made. */
export class Output {
  /** Resolves when the other end of every pipe is closed, or after `close`. */
  readonly finished: Promise<void>;
  readonly #onLine: (line: string) => void;
  readonly #clock: Clock;
  readonly #readers: ReadableStreamBYOBReader[] = [];
  /** Functions that each end one pause. */
  readonly #pauses = new Set<() => void>();
  /** The end of what was discarded. */
  #tail = "";
  #left = OUTPUT_MAX;
  #cut = false;
  #closed = false;

  /**
   * `onLine` receives each line that is not blank, without its line end, as soon as it is complete. The
   * pipes must be byte streams, as those of `Deno.ChildProcess` are.
   */
  constructor(
    pipes: readonly ReadableStream<Uint8Array>[],
    onLine: (line: string) => void,
    clock: Clock,
  ) {
    this.#onLine = onLine;
    this.#clock = clock;
    this.finished = Promise.all(pipes.map((pipe) => this.#read(pipe))).then(() => {});
  }

  /** The last line that is not blank, if it was discarded. */
  get lastDiscarded(): string | undefined {
    const line = this.#tail.trimEnd().split("\n").at(-1)!.trim();
    return line === "" ? undefined : line.slice(0, LINE_MAX);
  }

  /** Stops reading and closes the pipes: a process that writes into one afterwards gets SIGPIPE. */
  async close(): Promise<void> {
    this.#closed = true;
    const cancelled = this.#readers.map((reader) => reader.cancel());
    for (const end of this.#pauses) end();
    await Promise.all(cancelled);
    await this.finished;
  }

  async #read(pipe: ReadableStream<Uint8Array>): Promise<void> {
    const reader = pipe.getReader({ mode: "byob" });
    this.#readers.push(reader);
    const decoder = new TextDecoder();
    let begun = "";
    let buffer = new Uint8Array(KEPT_READ);
    while (this.#left > 0) {
      const next = await reader.read(buffer);
      if (next.done) break;
      buffer = new Uint8Array(next.value.buffer);
      const kept = next.value.subarray(0, this.#left);
      this.#left -= kept.length;
      const lines = (begun + decoder.decode(kept, { stream: true })).split("\n");
      begun = lines.pop()!;
      for (const line of lines) this.#line(line);
      if (kept.length < next.value.length) {
        this.#keepTail(next.value);
        this.#line(begun);
        this.#noteCut();
        begun = "";
      }
    }
    this.#line(begun + decoder.decode());
    await this.#discard(reader);
  }

  async #discard(reader: ReadableStreamBYOBReader): Promise<void> {
    let buffer = new Uint8Array(DISCARDED_READ);
    let discarded = 0;
    for (;;) {
      const next = await reader.read(buffer);
      if (next.done) return;
      this.#noteCut();
      this.#keepTail(next.value);
      buffer = new Uint8Array(next.value.buffer);
      discarded += next.value.length;
      if (discarded < DISCARDED_AT_ONCE) continue;
      discarded -= DISCARDED_AT_ONCE;
      await this.#pause();
    }
  }

  #keepTail(bytes: Uint8Array): void {
    const text = new TextDecoder().decode(bytes.subarray(-LINE_MAX));
    this.#tail = (this.#tail + text).slice(-LINE_MAX);
  }

  #pause(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        this.#pauses.delete(end);
        cancel();
        resolve();
      };
      const cancel = this.#clock.after(PAUSE_MS, end);
      this.#pauses.add(end);
    });
  }

  #line(text: string): void {
    const line = text.trimEnd();
    if (line === "") return;
    if (this.#left < 0) return this.#noteCut();
    this.#left -= Math.max(0, LINE_COST - line.length);
    this.#onLine(line.length > LINE_MAX ? `${line.slice(0, LINE_MAX)} …` : line);
  }

  #noteCut(): void {
    if (this.#cut) return;
    this.#cut = true;
    this.#onLine(`(output cut after ${OUTPUT_MAX / 1024} KB)`);
  }
}
