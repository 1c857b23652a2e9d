/**
 * The proxy on a system that runs out of processes and threads at SIGWINCH, and has some again at the next one:
 * the real limit (RLIMIT_NPROC). It does not hold for root, so a proxy that root has started becomes
 * another user first. Not SIGUSR1: Deno opens its debugger then, for which it needs a thread.
 */
import { forbidProcesses, leaveRoot } from "./limits.ts";

let allow: (() => void) | undefined;

Deno.addSignalListener("SIGWINCH", () => {
  if (allow === undefined) {
    leaveRoot();
    allow = forbidProcesses();
    console.error("no process is left");
  } else {
    allow();
    allow = undefined;
    console.error("processes can be started");
  }
});

await import("../../src/main.ts");
