/** Connections that end at once and by a reset, as port scanners and health checks make them. */
import { connect } from "node:net";
import { withTestDeadline } from "./test_deadline.ts";

/** One connection, which is reset as soon as it is established. Resolves when it is closed. */
export function connectAndReset(port: number, host = "127.0.0.1"): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, host, () => socket.resetAndDestroy());
    socket.on("error", () => {});
    socket.on("close", () => resolve());
  });
}

/**
 * Resets `count` connections while they wait to be accepted: the process `pid` is stopped meanwhile,
 * so that each of them is reset before it is accepted.
 */
export async function resetInQueue(pid: number, port: number, count: number): Promise<void> {
  Deno.kill(pid, "SIGSTOP");
  try {
    for (let i = 0; i < count; i++) {
      await withTestDeadline("a connection to be reset", connectAndReset(port));
    }
  } finally {
    Deno.kill(pid, "SIGCONT");
  }
}
