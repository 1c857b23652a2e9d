/**
 * The last guard of the process: an exception or rejection that nobody caught is a bug of ours in one
 * exchange, session or report. It must end just that and be told; without this the runtime would end the
 * process with all the other sessions, and write a stack trace to the log.
 */

import { describe } from "../base/describe.ts";

/** Given one line for each fault, made for a person. Must not throw. */
export type ReportUncaught = (reason: string) => void;

/** Reports whatever nobody catches in this thread, for as long as the process runs. */
export function catchUncaught(report: ReportUncaught): void {
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    report(describe(event.reason));
  });
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    report(describe(event.error ?? event.message));
  });
}
