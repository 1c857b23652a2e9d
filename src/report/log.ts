/**
 * Writes events as lines to a sink, normally stderr. Lines wait in a bounded queue and are written in the
 * background, so that a paused terminal, a full pipe or a full disk never delays a decision. When the queue
 * is full, the oldest lines are dropped; a line with their number follows as soon as writing works again.
 */
import { countLines, NEWLINE } from "../base/bytes.ts";
import type { Stamped } from "../events/stream.ts";
import { type Level, LEVELS } from "./line_row.ts";
import { jsonLine, levelOf, personLine } from "./lines.ts";

/** Which lines are written, and in which format. */
export interface LogSettings {
  /** Lines below this level are not written. */
  readonly level: Level;
  /** One JSON object for each line; false: lines for people. */
  readonly json: boolean;
}

/** Where lines go: `Deno.stderr` fits. */
export interface Sink {
  write(bytes: Uint8Array): Promise<number>;
}

/** Lines that may wait for a slow reader. */
const QUEUE_MAX = 2_000;
/** Most lines joined into one write. */
const BATCH_MAX = 200;

/** The log of the process. */
export class Log {
  #settings: LogSettings;
  readonly #sink: Sink;
  readonly #queue: string[] = [];
  readonly #encoder = new TextEncoder();
  #lost = 0;
  /** How many of the lost lines a line has reported. */
  #reportedLost = 0;
  #writing: Promise<void> | undefined;
  /** The last line was written in part; its end is missing. */
  #isCutShort = false;

  constructor(settings: LogSettings, sink: Sink) {
    this.#settings = settings;
    this.#sink = sink;
  }

  /** Lines of further events are written in this way. */
  configure(settings: LogSettings): void {
    this.#settings = settings;
  }

  /** Lines dropped since the start because they could not be written in time. */
  get lost(): number {
    return this.#lost;
  }

  /** Queues one event. Returns at once and never throws, so it can subscribe to the event stream. */
  readonly take = (stamped: Stamped): void => {
    if (LEVELS.indexOf(levelOf(stamped.event)) < LEVELS.indexOf(this.#settings.level)) return;
    this.#add(this.#settings.json ? jsonLine(stamped) : personLine(stamped));
  };

  /** Resolves when every line so far was written or could not be. */
  async flushed(): Promise<void> {
    if (this.#queue.length > 0) this.#writing ??= this.#writeAll();
    await this.#writing;
  }

  #add(line: string): void {
    if (this.#queue.length >= QUEUE_MAX) {
      this.#queue.shift();
      this.#lost++;
    }
    this.#queue.push(line);
    this.#writing ??= this.#writeAll();
  }

  /** Writes until the queue is empty or the sink fails; the next line, or `flushed`, tries again. */
  async #writeAll(): Promise<void> {
    // By the end of this turn of the event loop, the lines of one burst are in the queue together.
    await Promise.resolve();
    let isWell = true;
    while (isWell && this.#queue.length > 0) {
      isWell = await this.#writeBatch(this.#queue.splice(0, BATCH_MAX));
    }
    this.#writing = undefined;
  }

  /** False if the sink failed. Lines that it did not take wait for the next attempt, or are lost. */
  async #writeBatch(lines: string[]): Promise<boolean> {
    const lost = this.#lost;
    if (lost > this.#reportedLost) lines.unshift(this.#lossLine(lost - this.#reportedLost));
    const reportsLoss = lost > this.#reportedLost;
    const bytes = this.#encoder.encode((this.#isCutShort ? "\n" : "") + lines.join("\n") + "\n");
    let written = 0;
    try {
      while (written < bytes.length) written += await this.#sink.write(bytes.subarray(written));
      this.#isCutShort = false;
      this.#reportedLost = lost;
      return true;
    } catch (error) {
      const done = countLines(bytes.subarray(0, written)) -
        (this.#isCutShort && written > 0 ? 1 : 0);
      if (written > 0) this.#isCutShort = bytes[written - 1] !== NEWLINE;
      if (reportsLoss && done > 0) this.#reportedLost = lost;
      this.#keep(lines.slice(reportsLoss ? Math.max(done, 1) : done), error);
      return false;
    }
  }

  /**
   * Handles lines that were not written: they are dropped if the reader is gone, and kept if a full disk
   * may have room later.
   */
  #keep(lines: readonly string[], error: unknown): void {
    const isGone = error instanceof Deno.errors.BrokenPipe;
    const room = isGone ? 0 : Math.max(0, QUEUE_MAX - this.#queue.length);
    const kept = lines.slice(Math.max(0, lines.length - room));
    this.#lost += lines.length - kept.length;
    this.#queue.unshift(...kept);
  }

  #lossLine(count: number): string {
    const message = `${count} log lines were lost: they could not be written in time`;
    return this.#settings.json
      ? JSON.stringify({ level: "warn", service: "", event: "log.lost", message, count })
      : `WARN ${message}`;
  }
}
