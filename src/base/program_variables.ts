/**
 * The environment variables of the operator's programs, the only list of them: `hooks/` sets exactly these, the
 * table in the documentation is made from them, and `config/` does not take them for options.
 */

interface VariableRow {
  /** Given to check programs. */
  readonly check: boolean;
  /** Given to triggers. */
  readonly trigger: boolean;
  /** The description in the documentation. */
  readonly help: string;
}

/** Each variable: which programs get it, and what it says. */
export const PROGRAM_VARIABLES = {
  FAILOVER_SERVICE: { check: true, trigger: true, help: "name of the service" },
  FAILOVER_EPOCH: {
    check: true,
    trigger: true,
    help:
      "number of the decision; only grows while the proxy runs, and with `--coordinator` it is that of all proxies",
  },
  FAILOVER_FENCE: {
    check: false,
    trigger: true,
    help:
      "with `--coordinator`: a number that only grows, over restarts and over all proxies; a resource that refuses a lower one than it has seen is safe from a proxy that was stopped and goes on",
  },
  FAILOVER_ACTIVE: {
    check: true,
    trigger: false,
    help:
      "the host to trust: the one being promoted, else the last whose promotion succeeded; empty before the first",
  },
  FAILOVER_PHASE: {
    check: true,
    trigger: false,
    help:
      "what the proxy does: `selecting`, `waiting` (for the next round), `promoting` or `serving`",
  },
  FAILOVER_EVENT: {
    check: false,
    trigger: true,
    help:
      "`start`, `failover`, `failback` or `switchover`; `resume` if another proxy has begun it and not finished; `drill` in a rehearsal, in which nothing moves",
  },
  FAILOVER_EVENT_ID: {
    check: false,
    trigger: true,
    help: "unique, also over restarts of the proxy",
  },
  FAILOVER_FROM: { check: false, trigger: true, help: "the host before this one; empty at start" },
  FAILOVER_TO: {
    check: false,
    trigger: true,
    help: "the host that was chosen, as in the argument",
  },
  FAILOVER_REASON: { check: false, trigger: true, help: "a sentence" },
} as const satisfies Record<string, VariableRow>;

type Table = typeof PROGRAM_VARIABLES;

/** The name of a variable. */
export type ProgramVariable = keyof Table;
type NamesFor<To extends "check" | "trigger"> = {
  [V in ProgramVariable]: Table[V] extends { readonly [K in To]: true } ? V : never;
}[ProgramVariable];

/** All that a check program is given. */
export type CheckVariables = Readonly<Record<NamesFor<"check">, string>>;
/** All that a trigger is given. */
export type TriggerVariables = Readonly<Record<NamesFor<"trigger">, string>>;
