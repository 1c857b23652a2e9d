/**
 * The probe that asks the operator's check program. Its only argument is the upstream as the operator
 * wrote it; exit code 0 means usable.
 *
 * A program that passes every two seconds would fill the log: what it prints is passed on only when
 * its answer about an upstream is not the one it gave before.
 */
import type { CheckVariables } from "../base/program_variables.ts";
import type { Publish } from "../events/events.ts";
import type { Probe, ProbeResult } from "../failover/ports.ts";
import type { Ending, Programs } from "./program.ts";

export interface CheckSettings {
  readonly path: string;
  /** More than 0: a check always has a deadline. */
  readonly timeoutMs: number;
  /** Name of the service, told to the program. */
  readonly service: string;
}

/**
 * Makes the probe. The program finds `CheckVariables` in its environment.
 */
export function scriptProbe(settings: CheckSettings, programs: Programs, publish: Publish): Probe {
  const answers = new Map<string, string>();

  return async function probeByProgram(upstream, context, signal) {
    const lines: string[] = [];
    const ending = await programs.run({
      path: settings.path,
      args: [upstream.name],
      env: {
        FAILOVER_ACTIVE: context.lastChosen ?? "",
        FAILOVER_PHASE: context.phase,
        FAILOVER_EPOCH: String(context.epoch),
        FAILOVER_SERVICE: settings.service,
      } satisfies CheckVariables,
      timeoutMs: settings.timeoutMs,
      signal,
      // It runs every few seconds: what it leaves behind would pile up.
      leftovers: "end",
      say: (line) => lines.push(line),
    });
    if (ending.how !== "aborted" && answers.get(upstream.name) !== ending.reason) {
      answers.set(upstream.name, ending.reason);
      for (const line of lines) {
        publish({ type: "program.said", program: settings.path, upstream: upstream.name, line });
      }
    }
    return judge(ending, lines.at(-1));
  };
}

function judge(ending: Ending, lastLine: string | undefined): ProbeResult {
  const passed = ending.code === 0;
  const because = passed || lastLine === undefined ? "" : `: ${lastLine}`;
  return {
    passed,
    tookMs: ending.tookMs,
    reason: passed ? "check passed" : `check ${ending.reason}${because}`,
    evidence: passed ? "passed" : EVIDENCE[ending.how],
  };
}

/** Only a program that ran has said something about the upstream. */
const EVIDENCE = {
  exited: "denied",
  signalled: "denied",
  notStarted: "none",
  short: "none",
  timedOut: "silent",
  aborted: "silent",
} as const;
