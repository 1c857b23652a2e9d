/** The policy from which the tests of the machine start; each test replaces the settings that it tests. */
import type { Policy } from "../state.ts";

/** As in TCP mode, with the smallest thresholds at which one result decides nothing. */
export const POLICY: Policy = {
  rise: 2,
  fall: 3,
  holdMs: 10_000,
  holdWhile: "promoting",
  failOpen: false,
  failback: { kind: "never" },
  damping: true,
  maxBackoffMs: 60_000,
  sessionsOnDown: "cut",
  sessionsOnMove: "keep",
  graceMs: 1_000,
  triggers: "before",
  drainMs: 30_000,
  onTriggerFailure: "continue",
  instance: "test",
};
