/**
 * The worker's main: one loop, one data plane, orders in and reports out. Once it runs it never yields
 * to this thread's event loop; it ends when the plane has stopped, with everything it opened
 * closed, or with a bug, which the main thread is told.
 */
import type { MessagePort } from "node:worker_threads";
import { describe } from "../../base/describe.ts";
import { Loop } from "../../linux/loop.ts";
import { Mailbox } from "../../linux/mailbox.ts";
import { TrackedLibc } from "../../linux/tracked_libc.ts";
import { COUNT } from "./counters.ts";
import type { Envelope, Report, Start } from "./messages.ts";
import { WorkerRelay } from "./worker_relay.ts";

// The part of a worker's global scope that is used here; the document's own `self` is typed in its stead.
const scope = self as unknown as {
  onmessage: ((event: MessageEvent<Start>) => void) | null;
  postMessage(report: Report): void;
};

scope.onmessage = ({ data }) => {
  scope.onmessage = null;
  let last: Report;
  try {
    last = serve(data);
  } catch (error) {
    // Thrown on, it would come out on stderr with its stack.
    last = { is: "died", reason: describe(error) };
  }
  scope.postMessage(last);
};

/** Runs until stopped; returns the last word, to be said when all is closed. */
function serve(start: Start): Report {
  using libc = new TrackedLibc(start.marks);
  const loop = new Loop(libc);
  const { counters, settings, reusePort } = start;
  let last: Report = { is: "stopped", cut: 0 };
  const plane = new WorkerRelay(loop, counters, settings, reusePort, (report) => {
    if (report.is === "stopped") last = report;
    else scope.postMessage(report);
  });
  const port = start.port as unknown as MessagePort; // the same object; node's types know it under their name
  new Mailbox<Envelope>(libc, loop, start.eventfd, port, ({ id, order }) => {
    plane.obey(order);
    scope.postMessage({ is: "done", id });
  });
  loop.run(() => counters[COUNT.beat]!++);
  return last;
}
