/** An upgrade over HTTP: `POST /__failover/upgrade?path=PATH`, at the control socket only. */
import type { Context } from "hono";
import { refusePages } from "./orders.ts";

const PARAMETERS = ["path", "wait"];
/** The longest path that Linux takes (PATH_MAX, linux/limits.h). */
const PATH_MAX = 4_095;

/** Who orders an upgrade, and the new executable; by default the one that runs. */
export interface UpgradeOrder {
  readonly by: string;
  readonly path?: string | undefined;
}

/** A process, for reports. */
export interface ProcessName {
  readonly version: string;
  readonly pid: number;
}

/** What became of an upgrade: who took over from whom; or why not, in lines for a person, and nothing has changed. */
export type UpgradeAnswer =
  | { readonly from: ProcessName; readonly to: ProcessName; readonly tookMs: number }
  | { readonly lines: readonly string[] };

/** Carries an upgrade out and answers when it has ended. */
export async function answerUpgrade(
  c: Context,
  upgrade: (order: UpgradeOrder) => Promise<UpgradeAnswer>,
  by: string,
): Promise<Response> {
  const wrong = refusePages(c);
  if (wrong !== undefined) return wrong;
  const query = c.req.query();
  const unknown = Object.keys(query).find((key) => !PARAMETERS.includes(key));
  if (unknown !== undefined) return c.json({ error: `upgrade has no parameter ${unknown}` }, 400);
  const { path } = query;
  const isPath = path === undefined ||
    (path.startsWith("/") && path.length <= PATH_MAX && !path.includes("\0"));
  if (!isPath) return c.json({ error: "path is not an absolute path" }, 400);
  const answer = await upgrade({ by, path });
  if ("lines" in answer) {
    const { lines } = answer;
    return c.json({ error: lines.join("; "), outcome: "refused", lines }, 409);
  }
  const { from, to, tookMs } = answer;
  return c.json({ outcome: "finished", from, to, took_ms: Math.round(tookMs) });
}
