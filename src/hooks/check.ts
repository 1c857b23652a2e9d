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

/** Lines of one run that are passed on, all at once: more would push the proxy's own out of the log. */
export const CHECK_LINES_MAX = 200;

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
  // One that was called off may take a moment to end; the next for the same upstream waits for it.
  const running = new Map<string, Promise<Ending>>();

  return async function probeByProgram(upstream, context, signal) {
    const startedBefore = running.get(upstream.name);
    if (startedBefore !== undefined) await startedBefore;
    const lines: string[] = [];
    let last: string | undefined;
    const run = programs.run({
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
      say: (line) => {
        if (lines.length < CHECK_LINES_MAX) lines.push(line);
        last = line;
      },
    });
    running.set(upstream.name, run);
    const ending = await run;
    if (ending.how !== "aborted" && answers.get(upstream.name) !== ending.reason) {
      answers.set(upstream.name, ending.reason);
      for (const line of lines) {
        publish({ type: "program.said", program: settings.path, upstream: upstream.name, line });
      }
    }
    return judge(ending, last);
  };
}

function judge(ending: Ending, lastLine: string | undefined): ProbeResult {
  const passed = ending.code === 0;
  // In the midst of a deploy a shell may find no script, or half of one: that is no answer.
  const evidence = ending.isFileChanged === true ? "none" : EVIDENCE[ending.how];
  const because = passed || lastLine === undefined ? "" : `: ${lastLine}`;
  return {
    passed,
    tookMs: ending.tookMs,
    reason: passed ? "check passed" : `check ${ending.reason}${because}`,
    evidence: passed ? "passed" : evidence,
  };
}

/** Only a program that ran has said something about the upstream. */
const EVIDENCE = {
  exited: "denied",
  signalled: "denied",
  notStarted: "none",
  short: "none",
  timedOut: "silent",
  aborted: "none",
} as const;
