/** What checks that ask a database notice, how long a promotion takes, and the traps of these options. Pure. */
import type { ServiceConfig, TcpConfig } from "../config/options.ts";
import { type CheckTimes, type FaultKind, SLACK_MS, type Term } from "./explain.ts";

const MYSQL_PORT = 3306;

/** Whether the checks of a service know the protocol of a database. */
export function asksDatabase(config: ServiceConfig): config is TcpConfig {
  return config.mode === "tcp" && config.check !== "tcp";
}

/** The faults of a database server. */
export function databaseFaults(
  { checkTimeout }: TcpConfig,
  { hasProgram, longestMs }: CheckTimes,
): FaultKind[] {
  const worstMs = hasProgram ? longestMs : checkTimeout + SLACK_MS;
  const atOnce = { worstMs, usualMs: 0 };
  const late = { worstMs, usualMs: checkTimeout };
  return [
    {
      ...{ name: "refused", check: atOnce, endsConnection: true },
      meaning: "the server ended, and its machine refuses connections",
      note:
        "without an account for the check no connection is kept, and the next check has to notice it",
    },
    {
      ...{ name: "silent", check: late },
      meaning: "the machine or its network is gone, and nothing answers",
    },
    {
      ...{ name: "reset", check: atOnce },
      meaning: "connections are accepted, and reset at once",
    },
    {
      ...{ name: "frozen", check: late },
      meaning: "the server stands still, and its machine accepts connections",
    },
    {
      ...{ name: "no primary", check: atOnce },
      meaning:
        "the server says that it is a standby, takes no writes, is starting or shutting down",
      note: "one answer is enough if another server is known to be the primary by then",
    },
  ];
}

/** The promotion of the chosen server by this program; empty if it makes none. */
export function promotionTerm(config: ServiceConfig): Term[] {
  if (config.mode !== "tcp" || !config.promote) return [];
  return [{
    what: "one attempt to promote the server (promote-timeout; usually as long as it takes)",
    worstMs: config.promoteTimeout,
    usualMs: 0,
  }];
}

/** Combinations of options that do not do what they seem to. */
export function databaseTraps(config: ServiceConfig): string[] {
  if (config.mode !== "tcp") return [];
  const { check, hosts, promote, failback, onFailover } = config;
  const isMysql = hosts.some(({ address }) =>
    address.kind === "tcp" && address.port === MYSQL_PORT
  );
  const goesBack = failback.kind === "auto" || failback.kind === "after";
  return [
    ...check === "tcp" && isMysql
      ? [
        "check tcp with port 3306: MySQL and MariaDB count each check as an error of this machine, and refuse its clients after max_connect_errors of them; use check mysql",
      ]
      : [],
    ...promote && goesBack
      ? [
        "promote with failback: each return leaves a primary that must be made a standby by hand before it can take over again",
      ]
      : [],
    ...asksDatabase(config) && !promote && onFailover === undefined
      ? [
        "nothing here promotes a standby (promote, on-failover): when the primary is gone, clients wait until somebody else has promoted one",
      ]
      : [],
  ];
}
