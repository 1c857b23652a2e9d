/**
 * A thread with bugs that clients trigger by what they send: `throw` throws in the handling of that session,
 * `die` makes the loop throw, and `spin` makes it hang.
 */
import { Libc } from "../../../linux/libc.ts";
// Imported statically: a message that arrives before the thread listens would be lost.
import "./thread_main.ts";

const { receive, poll } = Libc.prototype;
let isDying = false;

/** Longer than it takes to see that it hangs, in milliseconds. */
const SPINS_MS = 3_000;
const NAP = new Int32Array(new SharedArrayBuffer(4));

Libc.prototype.receive = function (this: Libc, fd: number): number {
  const count = receive.call(this, fd);
  const received = count > 0 ? new TextDecoder().decode(this.scratch.subarray(0, count)) : "";
  if (received === "throw") throw new Error("a bug in one session, made by a test");
  if (received === "die") isDying = true;
  if (received === "spin") {
    this.send(fd, new TextEncoder().encode("spinning"), 0, 8);
    for (const until = performance.now() + SPINS_MS; performance.now() < until;);
    // Nothing ends a loop that runs. It does not go on, and takes no core from later tests.
    for (;;) Atomics.wait(NAP, 0, 0, 1_000);
  }
  return count;
};

Libc.prototype.poll = function (this: Libc, timeoutMs: number): number {
  if (isDying) throw new Error("a bug, made by a test");
  return poll.call(this, timeoutMs);
};
