/** `failover upgrade [PATH]`: a new process takes over from the running one. */
import type { Arguments } from "./arguments.ts";
import type { CommandIo } from "./commands.ts";
import type { Connection, ControlReply } from "./connection.ts";
import { printRefusal } from "./refusal.ts";

/** The exit code if the running process goes on. */
const EXIT_NOT_UPGRADED = 2;

/** A process in the answer. */
interface ProcessName {
  readonly version: string;
  readonly pid: number;
}

/** Waits until the new process serves, or until everything is as it was before; returns the exit code. */
export async function upgradeCommand(
  { operands: { PATH }, json }: Arguments,
  connection: Connection,
  io: CommandIo,
  cwd = Deno.cwd,
): Promise<number> {
  // The running process has another working directory.
  const path = PATH === undefined ? [] : [["path", absolute(PATH, cwd)]];
  const query = new URLSearchParams([["wait", "true"], ...path]);
  const answer = await connection.order(`upgrade?${query}`);
  if (answer.status !== 200) return notUpgraded(answer, io, json);
  if (json) io.out(JSON.stringify(answer.body, null, 2));
  else {
    const { from, to } = answer.body as unknown as { from: ProcessName; to: ProcessName };
    io.out(
      `upgrade: done, process ${to.pid} (${to.version}) has taken over from ${from.pid} (${from.version})`,
    );
  }
  return 0;
}

function notUpgraded(answer: ControlReply, io: CommandIo, json: boolean): number {
  const { lines } = answer.body;
  if (answer.status !== 409 || !Array.isArray(lines)) return printRefusal(answer, io, json);
  if (json) io.out(JSON.stringify(answer.body, null, 2));
  for (const line of lines) io.err(`failover: not upgraded: ${line}`);
  return EXIT_NOT_UPGRADED;
}

function absolute(path: string, cwd: () => string): string {
  return path.startsWith("/") ? path : `${cwd()}/${path.replace(/^(\.\/)+/, "")}`;
}
