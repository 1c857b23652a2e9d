/**
 * Two connected `Conn`s without a kernel, for tests: a bounded pipe each way, so that back-pressure,
 * half-close and resets happen exactly when a test orders them.
 */
import type { Conn, Reader, TryConn } from "../conn.ts";

class FakePipe {
  readonly #room: number;
  #bytes: number[] = [];
  #ended = false;
  #broken: Error | undefined;
  #wake: (() => void)[] = [];

  constructor(room: number) {
    this.#room = room;
  }

  /** Undefined if there is nothing to report yet. */
  readNow(buffer: Uint8Array): number | null | undefined {
    if (this.#broken !== undefined) throw this.#broken;
    if (this.#bytes.length === 0) return this.#ended ? null : undefined;
    const taken = this.#bytes.splice(0, buffer.length);
    buffer.set(taken);
    this.#changed();
    return taken.length;
  }

  /** True if there are bytes, or an end. */
  get isReadable(): boolean {
    return this.#broken !== undefined || this.#ended || this.#bytes.length > 0;
  }

  async readable(): Promise<void> {
    while (!this.isReadable) await this.#change();
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    for (;;) {
      const count = this.readNow(buffer);
      if (count !== undefined) return count;
      await this.#change();
    }
  }

  /** Writes what fits; returns the number of bytes. */
  tryWrite(bytes: Uint8Array): number {
    if (this.#broken !== undefined) throw this.#broken;
    if (this.#ended) throw new Error("Cannot write after the end");
    const count = Math.min(bytes.length, this.#room - this.#bytes.length);
    if (count > 0) {
      this.#bytes.push(...bytes.subarray(0, count));
      this.#changed();
    }
    return count;
  }

  async write(bytes: Uint8Array): Promise<number> {
    for (;;) {
      const count = this.tryWrite(bytes);
      if (count > 0) return count;
      await this.#change();
    }
  }

  end(): void {
    this.#ended = true;
    this.#changed();
  }

  break(error: Error): void {
    this.#broken ??= error;
    this.#changed();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** One end of a fake connection. */
export class FakeConn implements Conn {
  readonly #incoming: FakePipe;
  readonly #outgoing: FakePipe;
  /** How its owner ended it. */
  end: "open" | "closed" | "reset" = "open";

  constructor(incoming: FakePipe, outgoing: FakePipe) {
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  read(buffer: Uint8Array): Promise<number | null> {
    return this.#incoming.read(buffer);
  }

  write(bytes: Uint8Array): Promise<number> {
    return this.#outgoing.write(bytes);
  }

  closeWrite(): Promise<void> {
    this.#outgoing.end();
    return Promise.resolve();
  }

  close(): void {
    if (this.end === "open") this.end = "closed";
    this.#outgoing.end();
    this.#incoming.break(new Error("closed by us"));
  }

  reset(): void {
    if (this.end === "open") this.end = "reset";
    this.#outgoing.break(new Error("reset by peer"));
    this.#incoming.break(new Error("closed by us"));
  }

  /** Writes a whole text, one byte per character. */
  async sendText(text: string): Promise<void> {
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    for (let at = 0; at < bytes.length;) at += await this.write(bytes.subarray(at));
  }

  /** Reads until what was read ends with `text`; everything that was read. */
  async readUntil(text: string): Promise<string> {
    let received = "";
    const buffer = new Uint8Array(1);
    while (!received.endsWith(text)) {
      const count = await this.read(buffer);
      if (count === null) throw new Error(`Ended after ${JSON.stringify(received)}`);
      received += String.fromCharCode(buffer[0]!);
    }
    return received;
  }

  /** Reads to the end of the stream; a reset ends it with `(reset)`. */
  async readAllText(): Promise<string> {
    let received = "";
    const buffer = new Uint8Array(65536);
    try {
      for (let count = await this.read(buffer); count !== null; count = await this.read(buffer)) {
        received += String.fromCharCode(...buffer.subarray(0, count));
      }
    } catch {
      // Tests see a reset as the last part of the text.
      received += "(reset)";
    }
    return received;
  }
}

/** The same with the synchronous calls of `TryConn`, as the sockets of Linux have them. */
class FakeTryConn extends FakeConn implements TryConn {
  readonly #incoming: FakePipe;
  readonly #outgoing: FakePipe;

  constructor(incoming: FakePipe, outgoing: FakePipe) {
    super(incoming, outgoing);
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  readWith(reader: Reader): void {
    if (this.#incoming.isReadable) return this.#readNow(reader);
    this.#incoming.readable().then(() => this.#readNow(reader));
  }

  #readNow(reader: Reader): void {
    let count: number | null | undefined;
    try {
      count = this.#incoming.readNow(reader.room());
    } catch (error) {
      return reader.failed(error);
    }
    reader.arrived(count!);
  }

  /** Does nothing, as a pending read was notified already. */
  look(_isExact: boolean): void {}

  tryWrite(bytes: Uint8Array, length: number): number {
    return this.#outgoing.tryWrite(bytes.subarray(0, length));
  }
}

/** Both ends of a connection whose pipes hold `room` bytes each way. */
export type MakePair = (room?: number) => [FakeConn, FakeConn];

export const fakePair: MakePair = (room = 65536) => {
  const there = new FakePipe(room);
  const back = new FakePipe(room);
  return [new FakeConn(back, there), new FakeConn(there, back)];
};

const tryPair: MakePair = (room = 65536) => {
  const there = new FakePipe(room);
  const back = new FakePipe(room);
  return [new FakeTryConn(back, there), new FakeTryConn(there, back)];
};

/** Registers a test twice: for connections with promises only, and for those with synchronous calls. */
export function onConns(name: string, run: (pair: MakePair) => Promise<void>): void {
  Deno.test(`promises: ${name}`, () => run(fakePair));
  Deno.test(`try: ${name}`, () => run(tryPair));
}
