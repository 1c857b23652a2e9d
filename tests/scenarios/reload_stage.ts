/** What the rows of `reload_options.ts` have in common: the process that is reloaded, and how it is seen from outside. */
import { assertEquals } from "@std/assert";
import { Folder } from "../harness/folder.ts";
import { type FileOptions, type ReloadedProxy } from "../harness/reloaded.ts";
import { ScriptedWeb } from "../harness/scripted_web.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { type Reply, type Sent, WebConnection } from "../harness/web_client.ts";

/** What a row sees the process with. */
export interface Stage {
  readonly proxy: ReloadedProxy;
  readonly listen: string;
  readonly admin: string;
  readonly one: ScriptedWeb;
  readonly two: ScriptedWeb;
  readonly folder: Folder;
  /** The number of lines of the log before the reload. */
  readonly index: number;
  ask(sent?: Partial<Sent>): Promise<Reply>;
  /** Another reload, with these options of the service. */
  reload(web: FileOptions): Promise<void>;
}

/** The first upstream is removed, so that there is a failover to the second one. */
export const moves = ({ two }: Pick<Stage, "two">): FileOptions => ({
  primary: two.url,
  backup: ["http://127.0.0.1:9"],
});
/** The first upstream is one that is down, so that there is a failover that people are told of. */
export const fails = ({ two }: Stage): FileOptions => ({
  primary: "http://127.0.0.1:9",
  backup: [two.url],
});
/** Resolves when an upstream is down after the reload. */
export const goesDown = ({ proxy, index }: Stage) =>
  proxy.event("upstream.down", { service: "web" }, { index });

/** The port from which the proxy asked. */
const portOf = async ({ ask }: Stage) => JSON.parse((await ask()).text).port as number;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
export const assertOtherConnections = async (stage: Stage) => {
  const first = await portOf(stage);
  const other = async () => {
    // Each request keeps the connection, so that it has time to be idle before the next one.
    do await pause(1_200); while (await portOf(stage) === first);
  };
  await withTestDeadline("another connection", other(), stage.proxy.lastLines);
};
export const sentBy = async ({ ask }: Stage, sent: Partial<Sent> = {}) =>
  JSON.parse((await ask(sent)).text).sent as Record<string, string>;
export const isStatus = (sent: Partial<Sent>, status: number) => async ({ ask }: Stage) =>
  assertEquals((await ask(sent)).status, status);

/** Sends this much of a request; resolves when the proxy has ended the connection. */
export async function endsAfter({ listen }: Stage, text: string): Promise<void> {
  const connection = await WebConnection.to(listen);
  try {
    await connection.conn.send(new TextEncoder().encode(text));
    await connection.conn.rest();
  } finally {
    connection.close();
  }
}

/** Whether the end of a connection at port `here` is established, which is seen without reading (proc_net_tcp(5)). */
export function isConnected(here: number, there: number): boolean {
  const end = (port: number) => `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return Deno.readTextFileSync("/proc/net/tcp").includes(` ${end(here)} ${end(there)} 01 `);
}

/** Two clients at the same time. */
export async function twoClients({ listen }: Stage, see: () => Promise<unknown>): Promise<void> {
  const connections = [await WebConnection.to(listen), await WebConnection.to(listen)];
  try {
    await see();
  } finally {
    for (const connection of connections) connection.close();
  }
}

/** A request that the first upstream answers with 503 is sent to the other one. */
export async function isRetried(stage: Stage, sent: Partial<Sent> = {}): Promise<void> {
  await stage.ask({ ...sent, target: "/503" });
  await stage.two.isAsked("/503");
}
