/** Which connections may be closed for others, when there are no more places or descriptors. */
import type { ServerConnection } from "./server_connection.ts";

/** A new connection is closed for others only after this, in ms; its client may be about to send a request. */
const SILENT_MS = 1_000;
/** The same for a connection that was kept alive after a response. */
const KEPT_MS = 250;
/** A request may be refused for others if its head has been incomplete for so long, in ms. */
const HEAD_MS = 2_000;

/** True if it may be closed for others: its client has had time to send a request. */
export function isIdle(
  { idleSince, hasAsked }: Pick<ServerConnection, "idleSince" | "hasAsked">,
  now: number,
): boolean {
  return now - idleSince >= (hasAsked ? KEPT_MS : SILENT_MS);
}

/** True if the head of its request has been incomplete for too long, if others need its place. */
export function isSlow({ headSince }: Pick<ServerConnection, "headSince">, now: number): boolean {
  return now - headSince >= HEAD_MS;
}

/** Closes it if it may be closed for others; false if it stays. */
export function giveWay(connection: ServerConnection, now: number): boolean {
  if (isIdle(connection, now)) return connection.giveWay();
  if (!isSlow(connection, now)) return false;
  connection.giveUpHead();
  return true;
}
