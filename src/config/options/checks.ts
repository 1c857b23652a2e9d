import { statusRange } from "../http_kinds.ts";
import { choice, count, duration, list, path, pattern, sizeOrTime } from "../kinds.ts";
import { rows } from "../rows.ts";

const checks = rows({ group: "Checks", scope: "service", mode: "both" });

/** How upstreams are asked, and what decides that one is down or up again. */
export const CHECK_OPTIONS = {
  check: checks(
    choice("tcp", "postgres", "mysql", "redis"),
    "How an upstream is checked: tcp connects and closes; the others ask the database for its role on a connection that they keep",
    { mode: "tcp", default: "tcp", fixed: "the connections to the servers are kept" },
  ),
  checkUser: checks(
    pattern("NAME", /^[^\p{Cc}]{1,128}$/u, "the name of a user"),
    "Who asks the database; by default as its own variables say (PGUSER), or nobody: then roles are unknown",
    { mode: "tcp", fixed: "the connections to the servers are kept" },
  ),
  checkPasswordFile: checks(
    path,
    "File with that user's password, read for each new connection; by default the database's own variables (PGPASSWORD, PGPASSFILE, MYSQL_PWD, REDISCLI_AUTH)",
    { mode: "tcp", fixed: "the connections to the servers are kept" },
  ),
  checkTls: checks(
    choice("disable", "prefer", "require", "verify-ca", "verify-full"),
    "TLS toward the database, as PGSSLMODE has it; by default as PGSSLMODE says for PostgreSQL, prefer for MySQL and disable for Redis, or verify-full with check-ca-file",
    { mode: "tcp", fixed: "the connections to the servers are kept" },
  ),
  checkCaFile: checks(
    path,
    "Certificates of authorities to trust for the database (PEM), instead of the system's",
    { mode: "tcp", fixed: "the connections to the servers are kept" },
  ),
  maxLag: checks(
    sizeOrTime,
    "Most bytes (16MB) or longest time (10s) that a standby may be behind to be chosen; by default any",
    { mode: "tcp" },
  ),
  checkInterval: checks(duration(10), "Time between two checks of an upstream", {
    default: "2s",
  }),
  checkTimeout: checks(duration(1), "Time an upstream has to accept a connection, or answer", {
    default: { tcp: "1s", http: "2s" },
  }),
  checkHost: checks(path, "Program that decides whether a host is usable: exit code 0 is yes", {
    short: "c",
  }),
  checkScriptTimeout: checks(duration(1), "Time that program has", { default: "5s" }),
  checkPath: checks(
    pattern("PATH", /^\/[!-"$-~]*$/, "a path that begins with / and has no spaces"),
    "Path to ask for, instead of the upstream's own",
    { mode: "http" },
  ),
  checkStatus: checks(
    list(statusRange, "CODES"),
    "Status codes that pass; redirects aren't followed",
    {
      mode: "http",
      default: "200-399",
    },
  ),
  failThreshold: checks(count(1, 100), "Failed checks in a row until an upstream is down", {
    default: "3",
  }),
  recoverThreshold: checks(count(1, 100), "Passed checks in a row until it is up again", {
    default: "2",
  }),
};
