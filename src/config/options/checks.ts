import { statusRange } from "../http_kinds.ts";
import { count, duration, list, path, pattern } from "../kinds.ts";
import { rows } from "../rows.ts";

const checks = rows({ group: "Checks", scope: "service", mode: "both" });

/** How upstreams are asked, and what decides that one is down or up again. */
export const CHECK_OPTIONS = {
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
