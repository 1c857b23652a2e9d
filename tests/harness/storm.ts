/** Connections that end at once and by a reset, as port scanners and health checks make them. */
import { untilStopped } from "./child.ts";
import { withTestDeadline } from "./test_deadline.ts";
import { connectAndReset } from "../../src/net/testing/resets.ts";

/**
 * Resets `count` connections while they wait to be accepted: the process `pid` is stopped meanwhile,
 * so that each of them is reset before it is accepted.
 */
export async function resetInQueue(pid: number, port: number, count: number): Promise<void> {
  Deno.kill(pid, "SIGSTOP");
  await untilStopped(pid);
  try {
    for (let i = 0; i < count; i++) {
      await withTestDeadline("a connection to be reset", connectAndReset(port));
    }
  } finally {
    Deno.kill(pid, "SIGCONT");
  }
}
