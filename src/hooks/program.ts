/**
 * Runs programs of the operator, each with a deadline and in a separate process group. A run always
 * resolves with a value in time, whether the program fails, hangs, ignores SIGTERM, prints without end or
 * does not exist.
 *
 * A program that exits by itself may leave a background job, which goes on unless `leftovers` is `end`;
 * only its output is no longer read. After the deadline or an abort the whole group is ended.
 */
import type { Clock } from "../base/clock.ts";
import { endAfter, NEVER_ABORTED, settlesWithin, whenAborted } from "../base/deadline.ts";
import { formatDuration } from "../base/duration.ts";
import { fileChange, fileState } from "./file_state.ts";
import { deadlineOf, type Guard, GUARDED, GuardLine, TOO_LATE, uptimeOffset } from "./guard.ts";
import { Output } from "./output.ts";
import { isProgramShortage } from "./shortage.ts";

/** A program with its arguments and limits. */
export interface Run {
  /** A file. It is never looked up in PATH. */
  readonly path: string;
  /** A NUL, which an argument cannot contain (execve(2)), is replaced by `␀`. */
  readonly args: readonly string[];
  /** Added to the environment of this process. A NUL is replaced as above. */
  readonly env: Readonly<Record<string, string>>;
  /** The deadline in milliseconds; 0 means none. */
  readonly timeoutMs: number;
  /** An abort ends the program and its process group. */
  readonly signal: AbortSignal;
  /** Whether background processes may continue after the program has exited by itself. */
  readonly leftovers: "stay" | "end";
  /** Receives each line that the program prints, see `Output`. */
  readonly onLine: (line: string) => void;
  /** Until when it may run at the longest, also if this process is stopped or dead then. */
  readonly guard?: Guard;
}

/** How a run ended. */
export interface Ending {
  /**
   * `notStarted`: the program cannot be started (missing, not executable, wrong format). `short`: it could
   * not be started now because a resource is exhausted, see `shortage.ts`.
   */
  readonly how: "exited" | "signalled" | "timedOut" | "aborted" | "notStarted" | "short";
  /** The exit code; set only if `how` is `exited`. */
  readonly code?: number;
  /**
   * Set if the program ended by itself and its file has changed since the start: then it is unknown whether
   * the program ran, and whether all of it did. One that succeeded and was removed meanwhile did run.
   */
  readonly isFileChanged?: true;
  /** Set if its guard ended it, or did not start it, because its deadline had passed. */
  readonly isCalledOff?: true;
  /** The last line, if the program printed more than is passed on as lines. */
  readonly lastLine?: string;
  readonly tookMs: number;
  /** For a person: the end of a sentence that begins with the program, such as `exited with 3`. */
  readonly reason: string;
}

/** Milliseconds between SIGTERM and SIGKILL, and again after SIGKILL until a process is given up. */
export const KILL_GRACE_MS = 2_000;
/**
 * How long, in milliseconds, output is awaited after the end of a program whose pipes are still open, and in how many
 * steps: if this process does not run for a while, only one step is over, and what has arrived is read in the others.
 */
const LINGER_MS = 250;
const LINGER_STEPS = 5;

/** Why a program was ended by its guard, which stands for a lease. */
const CALLED_OFF = "was called off: the lease of this proxy may have ended";

const HAS_GROUPS = Deno.build.os !== "windows";

/** The running programs. Disposal ends all of them, and no further one starts. */
export class Programs implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #now: AbortSignal;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<Ending>>();

  /** An abort of `now` ends all programs by SIGKILL without a grace, and no further one starts. */
  constructor(clock: Clock, now: AbortSignal = NEVER_ABORTED) {
    this.#clock = clock;
    this.#now = now;
  }

  /** The number of running programs. */
  get running(): number {
    return this.#running.size;
  }

  /** Runs a program. Never rejects; resolves within the deadline plus twice `KILL_GRACE_MS`. */
  async run(run: Run): Promise<Ending> {
    const signal = AbortSignal.any([run.signal, this.#stop.signal, this.#now]);
    // Windows has neither process groups nor the shell that guards them.
    const { guard, ...rest } = run;
    const guarded = guard === undefined || !HAS_GROUPS ? {} : { guard };
    const ending = runOne({ ...rest, ...guarded, signal }, this.#clock, this.#now);
    this.#running.add(ending);
    try {
      return await ending;
    } finally {
      this.#running.delete(ending);
    }
  }

  /** Ends all programs and their groups; takes at most twice `KILL_GRACE_MS`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }
}

async function runOne(run: Run, clock: Clock, now: AbortSignal): Promise<Ending> {
  const startedAt = clock.now();
  const ended = (how: Ending["how"], reason: string): Ending => ({
    how,
    tookMs: clock.now() - startedAt,
    reason,
  });
  if (run.signal.aborted) return ended("aborted", "was cancelled");
  const path = asFile(run.path);
  const before = fileState(path);
  const offsetMs = run.guard === undefined ? undefined : await uptimeOffset(clock);
  if (run.signal.aborted) return ended("aborted", "was cancelled");
  const child = start(run, clock, offsetMs);
  if (child instanceof Error) {
    const how = isProgramShortage(child) ? "short" : "notStarted";
    return ended(how, `could not be started: ${whyNotStarted(child)}`);
  }
  await using line = run.guard === undefined
    ? undefined
    : new GuardLine(child.stdin, run.guard, clock, offsetMs);
  const output = new Output([child.stdout, child.stderr], run.onLine, clock);
  const cause = await firstOf(child, run, clock);
  if (cause === "ended") {
    if (run.leftovers === "end") signalGroup(child, "SIGKILL");
    await lastWords(output, clock);
    await output.close();
    const mayBeLate = line?.mayHaveEnded === true;
    const { code, signal } = await child.status;
    const isCalledOff = mayBeLate && (signal === "SIGKILL" || code === TOO_LATE);
    if (isCalledOff) return { ...ended("signalled", CALLED_OFF), isCalledOff };
    const seen = fileChange(path, before);
    const change = code === 0 && seen === "removed" ? undefined : seen;
    const { lastDiscarded: lastLine } = output;
    const flaw = {
      ...change === undefined ? {} : { isFileChanged: true as const },
      ...lastLine === undefined ? {} : { lastLine },
    };
    const also = change === undefined ? "" : `, and its file was ${change} meanwhile`;
    if (signal !== null) return { ...ended("signalled", `was ended by ${signal}${also}`), ...flaw };
    return { ...ended("exited", `exited with ${code}${also}`), code, ...flaw };
  }
  const gone = await endGroup(child, output, clock, now);
  await output.close();
  const what = cause === "aborted"
    ? "was cancelled"
    : `did not end within ${formatDuration(run.timeoutMs)}`;
  return ended(cause, gone ? what : `${what}, nor after SIGKILL`);
}

/** Resolves when the output of a program that has ended is complete, or has been awaited long enough. */
async function lastWords(output: Output, clock: Clock): Promise<void> {
  for (let step = 0; step < LINGER_STEPS; step++) {
    if (await settlesWithin(output.finished, LINGER_MS / LINGER_STEPS, clock)) return;
  }
}

function start(
  run: Run,
  clock: Clock,
  offsetMs: number | undefined,
): Deno.ChildProcess | Error {
  try {
    const program = [asFile(run.path), ...run.args.map(withoutNul)];
    const [command, ...args] = run.guard === undefined
      ? program
      : ["/bin/sh", ...GUARDED, deadlineOf(run.guard, clock, offsetMs), ...program];
    return new Deno.Command(command!, {
      args,
      env: Object.fromEntries(
        Object.entries(run.env).map(([name, value]) => [name, withoutNul(value)]),
      ),
      // The guard gives the program an empty stdin, too.
      stdin: run.guard === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
      // Deno calls setsid(2): the number of the process group is the pid of the child. If this process
      // runs as root, the child also loses the supplementary groups.
      detached: HAS_GROUPS,
    }).spawn();
  } catch (error) {
    // Every reason goes to the log, since only the operator can correct it.
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Makes a path of a bare name, which would be looked up in PATH. */
function asFile(path: string): string {
  return path.includes("/") || path.includes("\\") ? path : `./${path}`;
}

function withoutNul(text: string): string {
  // An escape with a backslash would become a NUL again in the `echo` of many shells.
  return text.replaceAll("\0", "␀");
}

function whyNotStarted(error: Error): string {
  // execve(2) reports both cases by the same error, ENOENT.
  if (error instanceof Deno.errors.NotFound) return "it, or the interpreter it names, is missing";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  // From `Failed to spawn '/path': Too many open files (os error 24)` only the middle is of use.
  return /: ([^:]+?)(?: \(os error \d+\))?$/.exec(error.message)?.[1] ?? error.message;
}

/** Waits for the end of the program, the deadline or the abort, and returns which came first. */
function firstOf(
  child: Deno.ChildProcess,
  run: Run,
  clock: Clock,
): Promise<"ended" | "timedOut" | "aborted"> {
  return new Promise((resolve) => {
    const timeoutMs = run.timeoutMs > 0 ? run.timeoutMs : Infinity;
    const cancel = endAfter(
      run.signal,
      timeoutMs,
      clock,
      (cause) => resolve(cause === "late" ? "timedOut" : cause),
    );
    child.status.then(() => {
      cancel();
      resolve("ended");
    });
  });
}

/**
 * Ends a process and its group. Returns false if the process did not end after SIGKILL, as one that waits
 * in the kernel for a dead disk.
 */
async function endGroup(
  child: Deno.ChildProcess,
  output: Output,
  clock: Clock,
  now: AbortSignal,
): Promise<boolean> {
  if (!now.aborted) {
    signalGroup(child, "SIGTERM");
    // The end of the output shows that the other processes of the group have ended too.
    const allGone = Promise.all([child.status, output.finished]);
    await settlesWithin(Promise.race([allGone, whenAborted(now)]), KILL_GRACE_MS, clock);
  }
  signalGroup(child, "SIGKILL");
  return await settlesWithin(child.status, KILL_GRACE_MS, clock);
}

function signalGroup(child: Deno.ChildProcess, signal: "SIGTERM" | "SIGKILL"): void {
  try {
    if (HAS_GROUPS) Deno.kill(-child.pid, signal);
    else child.kill(signal);
  } catch (error) {
    // It has ended: no such process, or only a zombie (macOS), or an ended process (Windows).
    const gone = error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.PermissionDenied || error instanceof TypeError;
    if (!gone) throw error;
  }
}
