/** A worker with a bug in it: a client that says `throw` makes its loop throw, one that says `spin` never end. */
import { Libc } from "../../../linux/libc.ts";
// Evaluated in one go with what follows: a message that comes before it listens would be lost.
import "../worker.ts";

const receive = Libc.prototype.receive;

Libc.prototype.receive = function (this: Libc, fd: number): number {
  const count = receive.call(this, fd);
  const said = count > 0 ? new TextDecoder().decode(this.scratch.subarray(0, count)) : "";
  if (said === "throw") throw new Error("a bug, made by a test");
  if (said === "spin") {
    this.send(fd, new TextEncoder().encode("so be it"), 0, 8);
    for (;;);
  }
  return count;
};
