/** The order to read the config again, over HTTP: `POST /__failover/reload?dry_run=true`. */
import type { Context } from "hono";
import { refusePages } from "./orders.ts";

/** What a reload has done, or would do. */
export interface ReloadAnswer {
  /**
   * `applied`: the changes are in force. `unchanged`: there were none. `possible`: they would be applied, and nothing
   * was touched. `refused`: nothing was changed, and `errors` says why, one line each.
   */
  readonly outcome: "applied" | "unchanged" | "possible" | "refused";
  /** One line for each difference. */
  readonly changes: readonly string[];
  readonly errors: readonly string[];
  /** Warnings about the new config. */
  readonly warnings: readonly string[];
}

/** Reads the config again and puts it into force, or with `dryRun` only says what would change. Never rejects. */
export type ReloadOrder = (
  order: { readonly dryRun: boolean; readonly by: string },
) => Promise<ReloadAnswer>;

/** Answers the order with 200, or with 409 if it was refused. */
export async function answerReload(c: Context, reload: ReloadOrder, by: string): Promise<Response> {
  const refusal = refusePages(c);
  if (refusal !== undefined) return refusal;
  const query = c.req.query();
  const unknown = Object.keys(query).find((key) => key !== "dry_run" && key !== "wait");
  if (unknown !== undefined) return c.json({ error: `reload has no parameter ${unknown}` }, 400);
  const answer = await reload({ dryRun: query.dry_run === "true", by });
  if (answer.outcome !== "refused") return c.json(answer);
  return c.json({ error: answer.errors.join("\n"), ...answer }, 409);
}
