/**
 * A client with a fixed pace: `pace.ts PORT REQUESTS_PER_SECOND SECONDS kept|new` sends small HTTP requests
 * at moments that are fixed beforehand, over 50 kept connections or over a new connection each, and prints
 * percentiles of the time to their answers in milliseconds, as JSON. Each counts from the moment it was due,
 * not from when it could be sent, so that a stall of the proxy counts for all requests that had to wait (no
 * coordinated omission). The first second is not counted.
 */
import { EAGAIN } from "../../src/linux/errno.ts";
import { WRITABLE } from "../../src/linux/kernel.ts";
import type { Watcher } from "../../src/linux/loop.ts";
import {
  checked,
  connectTo,
  each,
  lengthOfAnswer,
  libc,
  loop,
  runUntil,
  sendAll,
} from "./epoll.ts";
import { percentile } from "./table.ts";

/** Kept connections, or new ones at one time. */
const CONNECTIONS = 50;

const [port, perSecond, seconds] = Deno.args.slice(0, 3).map(Number) as [number, number, number];
const isKept = Deno.args[3] === "kept";
const request = new TextEncoder().encode(
  `GET / HTTP/1.1\r\nHost: bench\r\n${isKept ? "" : "Connection: close\r\n"}\r\n`,
);
const total = perSecond * (seconds + 1);
const tookMs = new Float64Array(total);
let next = 0;
let answered = 0;

function took(request: number): void {
  tookMs[request] = performance.now() - dueAt(request);
  answered++;
}

/** Sends one request at a time. */
interface Caller {
  ask(request: number): void;
}

/** Keeps its connection. */
class KeptCaller implements Caller, Watcher {
  readonly #fd = connectTo(port);
  readonly #answerBytes: number;
  #request = 0;
  #got = 0;

  constructor(answerBytes: number) {
    this.#answerBytes = answerBytes;
    checked(loop.watch(this.#fd, this));
  }

  ask(number: number): void {
    this.#request = number;
    this.#got = 0;
    sendAll(this.#fd, request);
  }

  ready(): void {
    const read = libc.receive(this.#fd);
    if (read === -EAGAIN) return; // another event: it is connected, or may send
    if (checked(read) === 0) throw new Error("The proxy closed a connection");
    this.#got += read;
    if (this.#got < this.#answerBytes) return;
    took(this.#request);
    free.push(this);
    sendDue();
  }
}

/** Makes a connection for each request; the answer is complete when the proxy has ended it. */
class NewCaller implements Caller, Watcher {
  #request = 0;
  #got = 0;
  #isSent = false;

  ask(number: number): void {
    this.#request = number;
    this.#got = 0;
    this.#isSent = false;
    checked(loop.watch(connectTo(port), this));
  }

  ready(fd: number, flags: number): void {
    if (!this.#isSent && (flags & WRITABLE) !== 0) {
      checked(libc.takeError(fd));
      sendAll(fd, request);
      this.#isSent = true;
    }
    let read = libc.receive(fd);
    for (; read > 0; read = libc.receive(fd)) this.#got += read;
    if (read === -EAGAIN) return;
    if (checked(read) === 0 && this.#got === 0) {
      throw new Error("A connection ended without answer");
    }
    loop.forget(fd);
    libc.close(fd);
    took(this.#request);
    free.push(this);
    sendDue();
  }
}

const answerBytes = await lengthOfAnswer(port, request);
const free: Caller[] = Array.from(
  { length: CONNECTIONS },
  () => isKept ? new KeptCaller(answerBytes) : new NewCaller(),
);
if (isKept) loop.tick(); // the connections are established

const startedAt = performance.now();
each(1_000 / perSecond, sendDue);
runUntil(() => answered === total, 3_000 * (seconds + 1), () => `${answered} of ${total} answers`);
const sorted = tookMs.subarray(perSecond).sort();
console.log(JSON.stringify({ p50: percentile(sorted, 50), p99: percentile(sorted, 99) }));
Deno.exit(0);

function dueAt(request: number): number {
  return startedAt + request * 1_000 / perSecond;
}

/** Sends what is due, as long as there are callers for it, one after another. */
function sendDue(): void {
  const now = performance.now();
  while (next < total && free.length > 0 && dueAt(next) <= now) free.shift()!.ask(next++);
}
