/**
 * What a program of the operator printed, as lines for a log, and never more of it than a log can
 * bear. Past the limit it goes on reading and throws away: a program must not stall because it says
 * much.
 */

/** Bytes of one run that become lines, standard output and error together. */
export const OUTPUT_MAX = 64 * 1024;
/** Lines of one run: more would push the proxy's own lines out of the log. */
export const LINES_MAX = 200;
/** Characters of one line that are kept. */
export const LINE_MAX = 1_000;

/** The pipes of one program, being read into lines from the moment it is made. */
export class Output {
  /** Resolves when nobody holds the other end of any pipe, or when `close` was called. */
  readonly finished: Promise<void>;
  readonly #say: (line: string) => void;
  readonly #readers: ReadableStreamDefaultReader<Uint8Array>[] = [];
  #left = OUTPUT_MAX;
  #linesLeft = LINES_MAX;
  #cut = false;

  /** `say` is given each line that is not blank, without its end, as soon as it is whole. */
  constructor(pipes: readonly ReadableStream<Uint8Array>[], say: (line: string) => void) {
    this.#say = say;
    this.finished = Promise.all(pipes.map((pipe) => this.#read(pipe))).then(() => {});
  }

  /** Stops reading and lets go of the pipes: who still writes into one gets SIGPIPE. */
  async close(): Promise<void> {
    await Promise.all(this.#readers.map((reader) => reader.cancel()));
    await this.finished;
  }

  async #read(pipe: ReadableStream<Uint8Array>): Promise<void> {
    const reader = pipe.getReader();
    this.#readers.push(reader);
    const decoder = new TextDecoder();
    let begun = "";
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      const kept = next.value.subarray(0, this.#left);
      this.#left -= kept.length;
      const lines = (begun + decoder.decode(kept, { stream: true })).split("\n");
      begun = lines.pop()!;
      for (const line of lines) this.#line(line);
      if (kept.length < next.value.length) {
        this.#line(begun);
        begun = "";
        this.#sayCut(`${OUTPUT_MAX / 1024} KB`);
      }
    }
    this.#line(begun + decoder.decode());
  }

  #line(text: string): void {
    const line = text.trimEnd();
    if (line === "") return;
    if (this.#linesLeft-- <= 0) return this.#sayCut(`${LINES_MAX} lines`);
    this.#say(line.length > LINE_MAX ? `${line.slice(0, LINE_MAX)} …` : line);
  }

  #sayCut(limit: string): void {
    if (this.#cut) return;
    this.#cut = true;
    this.#left = 0;
    this.#say(`(output cut after ${limit})`);
  }
}
