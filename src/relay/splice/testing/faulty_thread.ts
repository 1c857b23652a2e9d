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
const SPINS_MS = 5_000;

Libc.prototype.receive = function (this: Libc, fd: number): number {
  const count = receive.call(this, fd);
  const received = count > 0 ? new TextDecoder().decode(this.scratch.subarray(0, count)) : "";
  if (received === "throw") throw new Error("a bug in one session, made by a test");
  if (received === "die") isDying = true;
  if (received === "spin") {
    this.send(fd, new TextEncoder().encode("spinning"), 0, 8);
    // Nothing ends a loop that runs: one without end would take a core from all later tests.
    for (const until = performance.now() + SPINS_MS; performance.now() < until;);
  }
  return count;
};

Libc.prototype.poll = function (this: Libc, timeoutMs: number): number {
  if (isDying) throw new Error("a bug, made by a test");
  return poll.call(this, timeoutMs);
};
