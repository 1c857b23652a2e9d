/**
 * A client that waits for its answers, as a person or an application with one connection does:
 * `interactive.ts PORT PAUSE_MS SECONDS` sends a small HTTP request at each tick of PAUSE_MS milliseconds,
 * unless the answer to the last one is still under way, and prints percentiles of the time from sending a
 * request until its answer has arrived, in milliseconds, as JSON. The first second is not counted.
 */
import { EAGAIN } from "../../src/linux/errno.ts";
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

const REQUEST = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: bench\r\n\r\n");
const WARM_UP_MS = 1_000;
/** How long an answer may take; the client fails after it. */
const ANSWER_MAX_MS = 20_000;

const [port, pauseMs, seconds] = Deno.args.map(Number) as [number, number, number];
const answerBytes = await lengthOfAnswer(port, REQUEST);
const tookMs: number[] = [];
let sentAt: number | undefined;
let got = 0;

const fd = connectTo(port);
checked(loop.watch(fd, {
  ready() {
    const read = libc.receive(fd);
    if (read === -EAGAIN || sentAt === undefined) return;
    if (checked(read) === 0) throw new Error("The proxy closed the connection");
    got += read;
    if (got < answerBytes) return;
    if (sentAt - startedAt >= WARM_UP_MS) tookMs.push(performance.now() - sentAt);
    sentAt = undefined;
  },
}));
loop.tick(); // the connection is established

const startedAt = performance.now();
const endAt = startedAt + WARM_UP_MS + 1_000 * seconds;
each(pauseMs, () => {
  if (sentAt !== undefined || performance.now() > endAt) return;
  got = 0;
  sentAt = performance.now();
  sendAll(fd, REQUEST);
});
runUntil(
  () => performance.now() > endAt && sentAt === undefined,
  WARM_UP_MS + 1_000 * seconds + ANSWER_MAX_MS,
  () => "an answer did not arrive",
);
const sorted = tookMs.toSorted((a, b) => a - b);
const [p50, p90, p99] = [50, 90, 99].map((percent) => percentile(sorted, percent));
console.log(JSON.stringify({ p50, p90, p99, answers: sorted.length }));
Deno.exit(0);
