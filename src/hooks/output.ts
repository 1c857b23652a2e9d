/**
 * What a program of the operator printed, as lines for a log, and never more of it than a log can
 * bear. Past the limit it goes on reading and throws away, since a program must not stall because it
 * says much; but no faster than a pace, since reading one that prints without end would take a core.
 */
import type { Clock } from "../base/clock.ts";

/** Bytes of one run that become lines, standard output and error together … */
export const OUTPUT_MAX = 64 * 1024;
/** … where a line counts as so many at least: a flood of short ones would push others out of the log. */
export const LINE_COST = 64;
/** Characters of one line that are kept. */
export const LINE_MAX = 1_000;
/** Bytes of one pipe that are thrown away between two pauses … */
export const THROWN_AT_ONCE = 4 * 1024 * 1024;
/** … and how long each lasts, in milliseconds: 32 MB a second. */
export const PAUSE_MS = 125;

/** Bytes taken by one read while they become lines. */
const KEPT_READ = 2 * 1024;
/** The same for bytes to throw away: what a pipe of Linux holds. */
const THROWN_READ = 64 * 1024;

/** The pipes of one program, being read into lines from the moment it is made. */
export class Output {
  /** Resolves when nobody holds the other end of any pipe, or when `close` was called. */
  readonly finished: Promise<void>;
  readonly #say: (line: string) => void;
  readonly #clock: Clock;
  readonly #readers: ReadableStreamBYOBReader[] = [];
  /** Ends each pause that lasts. */
  readonly #pauses = new Set<() => void>();
  #left = OUTPUT_MAX;
  #cut = false;
  #closed = false;

  /**
   * `say` is given each line that is not blank, without its end, as soon as it is whole. The pipes are
   * streams of bytes, as those of `Deno.ChildProcess` are.
   */
  constructor(
    pipes: readonly ReadableStream<Uint8Array>[],
    say: (line: string) => void,
    clock: Clock,
  ) {
    this.#say = say;
    this.#clock = clock;
    this.finished = Promise.all(pipes.map((pipe) => this.#read(pipe))).then(() => {});
  }

  /** Stops reading and lets go of the pipes: who still writes into one gets SIGPIPE. */
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
        this.#line(begun);
        this.#sayCut();
        begun = "";
      }
    }
    this.#line(begun + decoder.decode());
    await this.#throwAway(reader);
  }

  async #throwAway(reader: ReadableStreamBYOBReader): Promise<void> {
    let buffer = new Uint8Array(THROWN_READ);
    let thrown = 0;
    for (;;) {
      const next = await reader.read(buffer);
      if (next.done) return;
      this.#sayCut();
      buffer = new Uint8Array(next.value.buffer);
      thrown += next.value.length;
      if (thrown < THROWN_AT_ONCE) continue;
      thrown -= THROWN_AT_ONCE;
      await this.#pause();
    }
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
    if (this.#left < 0) return this.#sayCut();
    this.#left -= Math.max(0, LINE_COST - line.length);
    this.#say(line.length > LINE_MAX ? `${line.slice(0, LINE_MAX)} …` : line);
  }

  #sayCut(): void {
    if (this.#cut) return;
    this.#cut = true;
    this.#say(`(output cut after ${OUTPUT_MAX / 1024} KB)`);
  }
}
