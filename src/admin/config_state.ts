/** The config that is in force, and what became of the last order to read it again. Pure. */
import type { ReloadAnswer } from "./reload.ts";

/** The last reload that was ordered; one that only asked what would change does not count. */
export interface LastReload {
  /** When it ended, in milliseconds since 1970. */
  readonly at: number;
  /** Who ordered it, for a person. */
  readonly by: string;
  readonly outcome: ReloadAnswer["outcome"];
  /** One line for each difference that was put into force. */
  readonly changes: readonly string[];
  /** Why it was refused, one line each. */
  readonly errors: readonly string[];
}

/** The config that is in force. */
export interface ConfigState {
  /** A short text that differs if an option does. */
  readonly hash: string;
  /** When it was read, in milliseconds since 1970. */
  readonly readAt: number;
  /** Undefined if the config of the start is in force and nobody has ordered a reload. */
  readonly lastReload?: LastReload | undefined;
}

/** False after a reload that was refused. */
export function lastReloadWorked({ lastReload }: ConfigState): boolean {
  return lastReload?.outcome !== "refused";
}

/** For `/__failover/state`. Times are whole seconds since 1970. For operators: lines of the config may be in it. */
export function configReport(
  { hash, readAt, lastReload }: ConfigState,
): Readonly<Record<string, unknown>> {
  return {
    hash,
    read_unix: Math.floor(readAt / 1_000),
    last_reload: lastReload === undefined ? null : {
      time_unix: Math.floor(lastReload.at / 1_000),
      by: lastReload.by,
      outcome: lastReload.outcome,
      changes: lastReload.changes,
      errors: lastReload.errors,
    },
  };
}
