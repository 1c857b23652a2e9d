/** `failover page`: says how to open the page of a running proxy in a browser. */
import type { Arguments } from "./arguments.ts";
import type { CommandIo } from "./commands.ts";
import type { Connection } from "./connection.ts";

/** Where a browser finds the page if a port is forwarded to the control socket. */
const FORWARDED_PORT = 9911;

/** The listeners of the proxy, as `/__failover/listeners` has them. */
export interface Listeners {
  /** The address of `--admin`; null without that listener. */
  readonly admin: string | null;
  /** Whether orders are taken there, with a token. */
  readonly admin_takes_orders: boolean;
}

/** Asks the proxy where its page is, and prints that. */
export async function pageCommand(
  given: Arguments,
  connection: Connection,
  io: CommandIo,
): Promise<number> {
  const { body } = await connection.ask("listeners");
  const listeners = body as unknown as Listeners;
  io.out(
    given.json
      ? JSON.stringify({ ...listeners, control: connection.path }, null, 2)
      : pageText(listeners, connection.path),
  );
  return 0;
}

/** What to type. `control` is the path of the control socket. */
export function pageText({ admin, admin_takes_orders }: Listeners, control: string): string {
  const lines: string[] = [];
  if (admin !== null && !admin.startsWith("unix:")) {
    const buttons = admin_takes_orders ? "with buttons that need the token" : "without buttons";
    lines.push(`The page of --admin, ${buttons}:`, `  http://${admin}/__failover/`, "");
  }
  lines.push(
    "The page of the control socket, with buttons; from your own machine, as a user who may use the socket:",
    `  ssh -N -L ${FORWARDED_PORT}:${control} THIS-HOST`,
    "and then in a browser there:",
    `  http://localhost:${FORWARDED_PORT}/__failover/`,
  );
  return lines.join("\n");
}
