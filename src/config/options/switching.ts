import { choice, duration, failback, flag, onOff, path } from "../kinds.ts";
import { rows } from "../rows.ts";

const switching = rows({ group: "Switching", scope: "service", mode: "both" });

/** What happens when traffic moves to another upstream, and when it goes back. */
export const SWITCHING_OPTIONS = {
  onFailover: switching(path, "Program to run on each switch, or a folder of them", { short: "f" }),
  triggerTimeout: switching(duration(), "Time each of those programs has; 0 is no limit", {
    default: "0s",
  }),
  triggerMode: switching(
    choice("before", "beside"),
    "Whether clients wait for those programs or not",
    { default: { tcp: "before", http: "beside" } },
  ),
  onTriggerFailure: switching(
    choice("continue", "retry", "next"),
    "When such a program fails: let clients in nevertheless, run it again, or take the next upstream",
    { default: "continue" },
  ),
  promote: switching(
    flag,
    "Make the chosen server the primary, before such programs run (with --check postgres or redis)",
    { mode: "tcp", default: "off", fixed: "it says what a promotion is" },
  ),
  promoteTimeout: switching(duration(100), "Time one attempt to do so has", {
    mode: "tcp",
    default: "60s",
    fixed: "it says what a promotion is",
  }),
  maxBackoff: switching(
    duration(1),
    "Longest pause between two rounds of looking for an upstream",
    {
      short: "B",
      env: "MAX_BACKOFF",
      default: "60s",
    },
  ),
  failback: switching(
    failback,
    "Go back to a better upstream: never, auto (when it is up), manual, or when up for this long",
    { default: { tcp: "never", http: "auto" } },
  ),
  failbackDamping: switching(onOff, "Go back later each time when that happens often", {
    default: "on",
  }),
};
