/**
 * A client that keeps a pace: `pace.ts PORT REQUESTS_PER_SECOND SECONDS` sends small HTTP requests over
 * 50 kept connections at moments that are fixed beforehand, and prints the 99th percentile of the time
 * to their answers in milliseconds. Each counts from the moment it was due, not from when it could be
 * sent: a proxy that stands still pays for all that had to wait (no coordinated omission).
 *
 * It runs on the relay's own loop over epoll and is woken by a timerfd, exact to some 10 µs. The first
 * second is not counted.
 */
import { EAGAIN } from "../../src/linux/errno.ts";
import { Libc } from "../../src/linux/libc.ts";
import { Loop, type Watcher } from "../../src/linux/loop.ts";
import { ipSockaddr } from "../../src/linux/sockaddr.ts";

const CONNECTIONS = 50;
const REQUEST = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: bench\r\n\r\n");
const CLOCK_MONOTONIC = 1;
const TFD_NONBLOCK = 0o4000;

const [port, perSecond, seconds] = Deno.args.map(Number) as [number, number, number];
const warmUp = perSecond;
const total = warmUp + perSecond * seconds;
const answerBytes = await lengthOfAnswer();

const timer = Deno.dlopen("libc.so.6", {
  timerfd_create: { parameters: ["i32", "i32"], result: "i32" }, // int clock, int flags
  timerfd_settime: { parameters: ["i32", "i32", "buffer", "pointer"], result: "i32" }, // int, int, const itimerspec*, itimerspec*
});
const libc = new Libc();
const loop = new Loop(libc);
const tookMs = new Float64Array(total);
let next = 0;
let answered = 0;
let startedAt = 0;

/** One connection: at most one request is under way on it. */
class Caller implements Watcher {
  readonly #fd: number;
  #request = 0;
  #got = 0;

  constructor() {
    this.#fd = checked(libc.connect(ipSockaddr("127.0.0.1", port)!, { userTimeoutMs: 0 }));
    checked(loop.watch(this.#fd, this));
  }

  ask(request: number): void {
    this.#request = request;
    this.#got = 0;
    const sent = checked(libc.send(this.#fd, REQUEST, 0, REQUEST.length));
    if (sent !== REQUEST.length) throw new Error("The connection took half a request");
  }

  ready(): void {
    const read = libc.receive(this.#fd);
    if (read === -EAGAIN) return; // the report was of something else: that it is connected, or may send
    if (checked(read) === 0) throw new Error("The proxy closed a connection");
    this.#got += read;
    if (this.#got < answerBytes) return;
    tookMs[this.#request] = performance.now() - dueAt(this.#request);
    answered++;
    free.push(this);
    sendDue();
  }
}

const free: Caller[] = Array.from({ length: CONNECTIONS }, () => new Caller());
loop.tick(); // the connections stand

startedAt = performance.now();
startTimer();
const deadline = startedAt + 3_000 * (seconds + 1);
while (answered < total) {
  loop.tick();
  if (loop.now > deadline) throw new Error(`${answered} of ${total} answers came in time`);
}
const sorted = tookMs.subarray(warmUp).sort();
console.log(sorted[Math.floor(sorted.length * 0.99)]);

function dueAt(request: number): number {
  return startedAt + request * 1_000 / perSecond;
}

/** Sends what is due, as long as there are connections for it; each has its turn. */
function sendDue(): void {
  const now = performance.now();
  while (next < total && free.length > 0 && dueAt(next) <= now) free.shift()!.ask(next++);
}

/** Wakes the loop once per request, for `sendDue`. */
function startTimer(): void {
  const fd = checked(timer.symbols.timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  const pause = BigInt(Math.floor(1e9 / perSecond));
  const spec = new BigInt64Array([0n, pause, 0n, pause]); // interval, first: seconds and nanoseconds
  checked(timer.symbols.timerfd_settime(fd, 0, spec, null));
  const ready = () => {
    libc.settle(fd); // one that is not read does not go on (timerfd_create(2))
    sendDue();
  };
  checked(loop.watch(fd, { ready }));
}

async function lengthOfAnswer(): Promise<number> {
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  await conn.write(REQUEST);
  const buffer = new Uint8Array(4_096);
  const length = await conn.read(buffer);
  if (!new TextDecoder().decode(buffer).startsWith("HTTP/1.1 200")) throw new Error("No answer");
  return length!;
}

function checked(result: number): number {
  if (result < 0) throw new Error(`A call failed with error ${-result}`);
  return result;
}
