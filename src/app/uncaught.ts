/**
 * The last error handler of the process. An uncaught exception or rejection is a bug in one exchange, session
 * or report. It must end only that and be reported; without this handler the runtime would end the process
 * with all other sessions, and print a stack trace.
 */

import { describe } from "../base/describe.ts";

/** Receives one line for each uncaught error, written for a person. Must not throw. */
export type ReportUncaught = (reason: string) => void;

/** Reports all uncaught errors and rejections of this thread, until the process ends. */
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
