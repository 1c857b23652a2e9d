/**
 * A thread with bugs. The client's bytes cause them: `throw` throws in the handling of that session, `die` makes
 * the loop throw, and `spin` makes the thread hang.
 */
import { Libc } from "../../../linux/libc.ts";
// Imported statically: a message that arrives before the thread listens would be lost.
import "./thread_main.ts";

const { receive, poll } = Libc.prototype;
let isDying = false;

Libc.prototype.receive = function (this: Libc, fd: number): number {
  const count = receive.call(this, fd);
  const said = count > 0 ? new TextDecoder().decode(this.scratch.subarray(0, count)) : "";
  if (said === "throw") throw new Error("a bug in one session, made by a test");
  if (said === "die") isDying = true;
  if (said === "spin") {
    this.send(fd, new TextEncoder().encode("so be it"), 0, 8);
    for (;;);
  }
  return count;
};

Libc.prototype.poll = function (this: Libc, timeoutMs: number): number {
  if (isDying) throw new Error("a bug, made by a test");
  return poll.call(this, timeoutMs);
};
