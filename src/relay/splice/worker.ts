/**
 * The main file of a worker: one loop, one data plane, orders in and reports out. While it runs it never
 * yields to the event loop of this thread. It ends when the data plane has stopped and everything it opened
 * is closed, or with a bug, which it reports to the main thread.
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
    // If it were thrown again, Deno would print it with its stack on stderr.
    last = { is: "died", reason: describe(error) };
  }
  scope.postMessage(last);
};

/** Runs until stopped; returns the last report, which is sent when everything is closed. */
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
