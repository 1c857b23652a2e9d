/**
 * A client that downloads as much as it can: `bulk.ts PORT STREAMS SECONDS PATH` requests PATH again and
 * again on each of STREAMS kept connections, drops the bytes, and prints bytes per second as JSON.
 */
import { EAGAIN } from "../../src/linux/errno.ts";
import type { Tick, Watcher } from "../../src/linux/loop.ts";
import { checked, connectTo, drop, libc, loop, runUntil, sendAll } from "./epoll.ts";

/** Reads of one connection before the others are read. */
const READS_MAX = 4;
const HEAD_END = "\r\n\r\n";

const [port, streams, seconds] = Deno.args.slice(0, 3).map(Number) as [number, number, number];
const request = new TextEncoder().encode(`GET ${Deno.args[3]} HTTP/1.1\r\nHost: bench\r\n\r\n`);
let bytes = 0;

class Stream implements Watcher, Tick {
  queued = false;
  readonly #fd = connectTo(port);
  #isConnected = false;
  /** Bytes of the answer that have not arrived yet; undefined until its head has arrived. */
  #left: number | undefined;

  constructor() {
    checked(loop.watch(this.#fd, this));
  }

  ready(): void {
    if (!this.#isConnected) {
      checked(libc.takeError(this.#fd));
      this.#isConnected = true;
      sendAll(this.#fd, request);
    }
    this.run();
  }

  run(): void {
    for (let n = 0; n < READS_MAX; n++) {
      const read = this.#left === undefined ? libc.receive(this.#fd) : drop(this.#fd, this.#left);
      if (read === -EAGAIN) return;
      if (checked(read) === 0) throw new Error("The proxy closed a connection");
      bytes += read;
      this.#left ??= lengthOf(libc.scratch.subarray(0, read));
      this.#left -= read;
      if (this.#left > 0) continue;
      this.#left = undefined;
      sendAll(this.#fd, request);
    }
    loop.again(this);
  }
}

/** Length in bytes of the whole answer that begins with `chunk`. */
function lengthOf(chunk: Uint8Array): number {
  const text = new TextDecoder("latin1").decode(chunk.subarray(0, 4_096));
  const end = text.indexOf(HEAD_END);
  const length = /^content-length: (\d+)\r$/mi.exec(text.slice(0, end + 2))?.[1];
  if (!text.startsWith("HTTP/1.1 200") || length === undefined) {
    throw new Error(`Not an answer of known length: ${text.slice(0, 200)}`);
  }
  return Number(length) + end + HEAD_END.length;
}

for (let n = 0; n < streams; n++) new Stream();
const startedAt = performance.now();
const endAt = startedAt + 1_000 * seconds;
runUntil(() => performance.now() > endAt, 1_000 * seconds + 10_000, () => "the loop did not end");
console.log(JSON.stringify({ rate: bytes / (performance.now() - startedAt) * 1_000 }));
Deno.exit(0);
