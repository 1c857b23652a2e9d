/**
 * Writes events as lines to a sink, normally stderr. Lines queue up to a maximum and are written in the
 * background, so that a terminal that was paused or a full pipe never delays a decision; when the queue
 * is full the oldest lines go, and a line says how many.
 */
import type { Stamped } from "../events/stream.ts";
import { jsonLine, type Level, levelOf, LEVELS, personLine } from "./lines.ts";

export interface LogSettings {
  /** Lines below this level are left out. */
  readonly level: Level;
  readonly json: boolean;
}

/** Where lines go: `Deno.stderr` fits. */
export interface Sink {
  write(bytes: Uint8Array): Promise<number>;
}

/** Lines that may wait for a slow reader. */
const QUEUE_MAX = 2_000;
/** Lines joined into one write. */
const BATCH_MAX = 200;

export class Log {
  readonly #settings: LogSettings;
  readonly #sink: Sink;
  readonly #queue: string[] = [];
  readonly #encoder = new TextEncoder();
  #lost = 0;
  #writing: Promise<void> | undefined;
  #broken = false;

  constructor(settings: LogSettings, sink: Sink) {
    this.#settings = settings;
    this.#sink = sink;
  }

  /** Lines given up since the start because the reader was too slow. */
  get lost(): number {
    return this.#lost;
  }

  /** Queues one event. Returns at once and never throws: made to be subscribed to the stream. */
  readonly take = (stamped: Stamped): void => {
    if (LEVELS.indexOf(levelOf(stamped.event)) < LEVELS.indexOf(this.#settings.level)) return;
    this.#add(this.#settings.json ? jsonLine(stamped) : personLine(stamped));
  };

  /** Resolves when every line so far is written, or when the reader is gone. */
  async flushed(): Promise<void> {
    await this.#writing;
  }

  #add(line: string): void {
    if (this.#broken) return;
    if (this.#queue.length >= QUEUE_MAX) {
      this.#queue.shift();
      this.#lost++;
    }
    this.#queue.push(line);
    this.#writing ??= this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    let told = this.#lost;
    try {
      // Lines of one burst are joined by the time this turn ends.
      await Promise.resolve();
      while (this.#queue.length > 0) {
        const lines = this.#queue.splice(0, BATCH_MAX);
        if (this.#lost > told) lines.unshift(this.#lossLine(this.#lost - told));
        told = this.#lost;
        await this.#write(lines.join("\n") + "\n");
      }
    } catch {
      // Nobody reads our log any more. Traffic goes on; there is nobody left to tell.
      this.#broken = true;
      this.#queue.length = 0;
    } finally {
      this.#writing = undefined;
    }
  }

  #lossLine(count: number): string {
    const message = `${count} log lines were lost: their reader is too slow`;
    return this.#settings.json
      ? JSON.stringify({ level: "warn", service: "", event: "log.lost", message, count })
      : `WARN ${message}`;
  }

  async #write(text: string): Promise<void> {
    let rest = this.#encoder.encode(text);
    while (rest.length > 0) rest = rest.subarray(await this.#sink.write(rest));
  }
}
