/** A client that writes through one proxy, one write after another. */

/** How long one step of a write may take, in milliseconds. */
export const WRITE_MS = 3_000;

/** An answer that a client got. Times are milliseconds since 1970, by the clock of this process. */
export interface Answer {
  /** The number of the proxy. */
  readonly proxy: number;
  /** Who gave it, as the proxies know that server. */
  readonly server: string;
  /** When its connection was begun. */
  readonly since: number;
  readonly sentAt: number;
  readonly at: number;
}

/** A write that was acknowledged. */
export interface Write extends Answer {
  readonly id: string;
}

/** One connection through a proxy. */
export interface Link extends Disposable {
  /** Reads; resolves with the name of the server that answered. A stale primary answers, too. */
  read?(): Promise<string>;
  /** Writes a row; resolves with the name of the server that acknowledged it. */
  write(id: string): Promise<string>;
}

export interface WriterOptions {
  readonly proxy: number;
  readonly pauseMs: number;
  /** How many writes are made on one connection. */
  readonly perLink: number;
  open(): Promise<Link>;
}

/** Writes until it is disposed of. */
export class Writer implements AsyncDisposable {
  readonly writes: Write[] = [];
  readonly reads: Answer[] = [];
  readonly #options: WriterOptions;
  readonly #work: Promise<void>;
  #count = 0;
  #isOver = false;
  #lastAt = 0;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#work = this.#run();
  }

  /** The writes that were acknowledged. */
  get acknowledged(): readonly string[] {
    return this.writes.map(({ id }) => id);
  }

  /** Milliseconds since the last write that was acknowledged. */
  get silentMs(): number {
    return performance.now() - this.#lastAt;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#work;
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      try {
        await this.#onOneLink();
      } catch {
        // It was refused, cut, or given up.
      }
      await this.#pause();
    }
  }

  async #onOneLink(): Promise<void> {
    const { open, perLink, proxy } = this.#options;
    const since = Date.now();
    using link = await open();
    for (let left = perLink; left > 0 && !this.#isOver; left--) {
      const readAt = Date.now();
      const reader = await link.read?.();
      if (reader !== undefined) {
        this.reads.push({ proxy, server: reader, since, sentAt: readAt, at: Date.now() });
      }
      const id = `w${proxy}-${++this.#count}`;
      const sentAt = Date.now();
      const server = await link.write(id);
      this.writes.push({ id, proxy, server, since, sentAt, at: Date.now() });
      this.#lastAt = performance.now();
      if (left > 1) await this.#pause();
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, this.#options.pauseMs));
  }
}
