/** The command `reload`: the running proxy reads its config again, and says what has changed or what is wrong. */
import type { Arguments } from "./arguments.ts";
import type { CommandIo } from "./commands.ts";
import type { Connection } from "./connection.ts";
import { printRefusal } from "./refusal.ts";

/** Exit code if the new config was refused, as of a start with it. */
const EXIT_REFUSED = 2;

/** What is said before the changes. */
const HEADS: Readonly<Record<string, string>> = {
  applied: "reload: done",
  unchanged: "reload: nothing has changed",
  possible: "reload: this would change",
};

/** Prints what the proxy answered; returns the exit code. */
export async function reloadCommand(
  { switches, json }: Pick<Arguments, "switches" | "json">,
  connection: Pick<Connection, "order">,
  io: Pick<CommandIo, "out" | "err">,
): Promise<number> {
  const query = switches.has("dry-run") ? "?dry_run=true" : "";
  const answer = await connection.order(`reload${query}`);
  const { status, body } = answer;
  const linesOf = (key: string) => (body[key] ?? []) as readonly string[];
  if (body.outcome === "refused") {
    if (json) io.out(JSON.stringify(body, null, 2));
    for (const line of linesOf("errors")) io.err(`failover: ${line}`);
    return EXIT_REFUSED;
  }
  if (status !== 200) return printRefusal(answer, io, json);
  if (json) io.out(JSON.stringify(body, null, 2));
  else {
    io.out(HEADS[String(body.outcome)] ?? `reload: ${body.outcome}`);
    for (const line of linesOf("changes")) io.out(`  ${line}`);
    for (const line of linesOf("warnings")) io.err(`failover: warning: ${line}`);
  }
  return 0;
}
