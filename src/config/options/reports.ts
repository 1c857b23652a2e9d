import { reportUrl } from "../http_kinds.ts";
import { choice, flag, list, listener, path, pathOrOff, pathOrStdout, pattern } from "../kinds.ts";
import { rows } from "../rows.ts";

const reports = rows({ group: "Reports", scope: "process", mode: "both" });

/** What tells people and programs how it is: webhook, admin listener, logs. */
export const REPORT_OPTIONS = {
  webhookUrl: reports(reportUrl, "Tell this URL of failovers and recoveries", { secret: true }),
  webhookFormat: reports(
    choice("auto", "slack", "discord", "json"),
    "What it understands; auto goes by the URL",
    { default: "auto" },
  ),
  admin: reports(listener, "Serve state and metrics here", {
    fixed: "a port that is open stays open",
  }),
  publicState: reports(
    choice("brief", "full", "off"),
    "What the main port shows in HTTP mode: brief: four fields of the state; full: the whole state and the metrics; off: health and readiness only, as by default with --admin",
    { default: "brief", mode: "http" },
  ),
  adminHosts: reports(
    list(
      pattern("NAME", /^[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?$/, "the name of a host, without a port"),
      "NAMES",
    ),
    "Names, separated by commas, by which requests may call that listener, beside addresses and localhost; others are refused, because a web page may have made its own name lead here",
  ),
  adminTokenFile: reports(
    path,
    "File with the bearer token that orders need there; without it they are refused there",
  ),
  control: reports(
    pathOrOff,
    "Unix socket for commands; default failover.sock in $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR or /run/failover",
    { fixed: "commands come that way" },
  ),
  accessLog: reports(
    pathOrStdout,
    "Write a line for each request to this file, or to stdout (-); a file that was moved is made again, at SIGHUP at once",
    { default: "off", scope: "service", mode: "http" },
  ),
  accessLogFormat: reports(
    choice("combined", "json"),
    "Lines as those of Apache and nginx, with upstream and times behind them, or JSON objects",
    { default: "combined", scope: "service", mode: "http" },
  ),
  jsonLogs: reports(flag, "Log one JSON object a line", { default: "off" }),
  logLevel: reports(choice("debug", "info", "warn", "error"), "Least important thing to log", {
    default: "info",
  }),
};
