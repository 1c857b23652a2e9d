/** Why the proxy did not do what a command asked for. */
import { EXIT_USAGE } from "../config/commands.ts";
import type { CommandIo } from "./commands.ts";
import type { ControlReply } from "./connection.ts";

/** Prints why something was not done; returns the exit code. */
export function printRefusal(
  { status, body }: ControlReply,
  io: Pick<CommandIo, "out" | "err">,
  json: boolean,
): number {
  if (json) io.out(JSON.stringify(body, null, 2));
  const names = Array.isArray(body.services) ? ` (services: ${body.services.join(", ")})` : "";
  const what = body.outcome === "refused"
    ? "refused: "
    : body.outcome === "failed"
    ? "failed: "
    : "";
  io.err(`failover: ${what}${body.error ?? `the proxy answered ${status}`}${names}`);
  return status === 400 || status === 404 ? EXIT_USAGE : 1;
}
