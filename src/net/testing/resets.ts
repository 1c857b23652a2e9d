/** Connections that end by a reset, which only node:net can send from JavaScript. */
import { connect } from "node:net";

/** One connection, which is reset as soon as it is established. Resolves when it is closed. */
export function connectAndReset(port: number, host = "127.0.0.1"): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, host, () => socket.resetAndDestroy());
    socket.on("error", () => {});
    socket.on("close", () => resolve());
  });
}
