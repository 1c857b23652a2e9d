/**
 * The proxy with a fault in it: after SIGWINCH the next message to its worker is one that no worker
 * understands, so that an exception ends that thread.
 */
let armed = false;
Deno.addSignalListener("SIGWINCH", () => armed = true);
const post = MessagePort.prototype.postMessage as (this: MessagePort, ...args: unknown[]) => void;
MessagePort.prototype.postMessage = function (this: MessagePort, ...args: unknown[]): void {
  if (!armed) return post.apply(this, args);
  armed = false;
  post.call(this, undefined);
};
await import("../../src/main.ts");
