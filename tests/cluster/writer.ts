/** A client that writes through one proxy, one write after another, each on a connection of its own. */
import { linesOf } from "../harness/child.ts";

/** Pause between two writes, in milliseconds. */
const PAUSE_MS = 50;
/** How long one write may take, in milliseconds. */
const WRITE_MS = 3_000;

/** Writes until it is disposed of. */
export class Writer implements AsyncDisposable {
  /** The writes that were acknowledged. */
  readonly acknowledged: string[] = [];
  readonly #port: number;
  readonly #name: string;
  readonly #work: Promise<void>;
  #count = 0;
  #isOver = false;
  #lastAt = 0;

  constructor(address: string, name: string) {
    this.#port = Number(address.split(":")[1]);
    this.#name = name;
    this.#work = this.#run();
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
      const id = `${this.#name}-${++this.#count}`;
      if (await this.#write(id)) {
        this.acknowledged.push(id);
        this.#lastAt = performance.now();
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  async #write(id: string): Promise<boolean> {
    let conn: Deno.TcpConn | undefined;
    const timer = setTimeout(() => close(conn), WRITE_MS);
    try {
      conn = await Deno.connect({ hostname: "127.0.0.1", port: this.#port });
      await conn.write(new TextEncoder().encode(`${id}\n`));
      for await (const line of linesOf(conn.readable)) return line === `ok ${id}`;
    } catch {
      // It was refused, cut, or given up.
    } finally {
      clearTimeout(timer);
      close(conn);
    }
    return false;
  }
}

function close(conn: Deno.TcpConn | undefined): void {
  try {
    conn?.close();
  } catch {
    // It is closed already.
  }
}
