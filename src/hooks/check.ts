/**
 * The probe that runs the operator's check program. Its only argument is the upstream as it is written in
 * the configuration; exit code 0 means that the upstream may be used.
 *
 * A program that runs every two seconds would fill the log, so its output is logged only when its answer
 * about an upstream is new; see `Answers`.
 */
import type { CheckVariables } from "../base/program_variables.ts";
import type { Publish } from "../events/events.ts";
import type { Probe, ProbeResult } from "../failover/ports.ts";
import type { Ending, Programs } from "./program.ts";

/** The maximum number of lines of one run that are logged; more would displace the proxy's own lines. */
export const CHECK_LINES_MAX = 200;
/** The maximum number of different failures of one upstream that are logged until the outcome changes. */
export const FAILURES_MAX = 16;

/** Which program checks upstreams, and how long it may take. */
export interface CheckSettings {
  readonly path: string;
  /** The deadline of one run in milliseconds; more than 0. */
  readonly timeoutMs: number;
  /** The name of the service, which the program gets in its environment. */
  readonly service: string;
}

/** Makes the probe. The program gets `CheckVariables` in its environment. */
export function scriptProbe(settings: CheckSettings, programs: Programs, publish: Publish): Probe {
  const answers = new Map<string, Answers>();
  // A run that was cancelled takes a moment to end; the next one for the same upstream waits for it.
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
      // It runs every few seconds, so processes that it leaves behind would accumulate.
      leftovers: "end",
      onLine: (line) => {
        if (lines.length < CHECK_LINES_MAX) lines.push(line);
        last = line;
      },
    });
    running.set(upstream.name, run);
    const ending = await run;
    last = ending.lastLine ?? last;
    const known = answers.get(upstream.name) ?? new Answers();
    answers.set(upstream.name, known);
    if (ending.how !== "aborted" && known.isNew(ending, last)) {
      for (const line of lines) {
        publish({ type: "program.said", program: settings.path, upstream: upstream.name, line });
      }
    }
    return judge(ending, last);
  };
}

/** The answers about one upstream that have been logged since the outcome of its check last changed. */
class Answers {
  #outcome: string | undefined;
  readonly #failures = new Set<string>();

  /**
   * Whether an answer must be logged; it counts as logged from then on. Answers differ by the outcome of the
   * run (`Ending.reason`). After a failure they also differ by the last line, because a server that was silent
   * may now say that it is stale, with the same exit code. Numbers in that line are ignored, since they may be
   * different each time (a delay, a process id). No failure is logged twice.
   */
  isNew(ending: Ending, lastLine = ""): boolean {
    const changed = ending.reason !== this.#outcome;
    if (changed) this.#failures.clear();
    this.#outcome = ending.reason;
    if (ending.code === 0) return changed;
    const failure = lastLine.replace(/\d+(\.\d+)*/g, "0");
    if (this.#failures.has(failure) || this.#failures.size >= FAILURES_MAX) return false;
    this.#failures.add(failure);
    return true;
  }
}

function judge(ending: Ending, lastLine: string | undefined): ProbeResult {
  // During a deploy a shell may find no script, or half of one. Then its exit code is no answer, and neither
  // is a zero: half a script that tests nothing yet succeeds.
  const evidence = ending.isFileChanged === true ? "no_verdict" : EVIDENCE[ending.how];
  const passed = ending.code === 0 && ending.isFileChanged !== true;
  const because = passed || lastLine === undefined ? "" : `: ${lastLine}`;
  return {
    passed,
    tookMs: ending.tookMs,
    reason: passed ? "check passed" : `check ${ending.reason}${because}`,
    evidence: passed ? "passed" : evidence,
  };
}

/** Only a program that ran has tested the upstream. */
const EVIDENCE = {
  exited: "denied",
  signalled: "denied",
  notStarted: "no_verdict",
  short: "no_verdict",
  timedOut: "silent",
  aborted: "no_verdict",
} as const;
