/**
 * Runs programs of the operator: each with a deadline, in a process group of its own, so that whatever
 * it started ends with it. A result is always a value; a program can fail, hang, ignore SIGTERM, print
 * without end or not exist, and its caller is told so in time.
 *
 * A program that ends by itself may leave a job running in the background: that is left alone, only
 * its output is no longer read. Past the deadline, or called off, the whole group goes.
 */
import type { Clock } from "../base/clock.ts";
import { endAfter, whenAborted } from "../base/deadline.ts";
import { formatDuration } from "../base/duration.ts";
import { fileChange, fileState } from "./file_state.ts";
import { Output } from "./output.ts";
import { isShortage } from "./shortage.ts";

/** What to run, and within which limits. */
export interface Run {
  /** A file; never looked up in PATH. */
  readonly path: string;
  /** A NUL, which no argument can carry (execve(2)), is written as `␀`. */
  readonly args: readonly string[];
  /** Added to the environment of this process; NUL as above. */
  readonly env: Readonly<Record<string, string>>;
  /** 0 lets it run for as long as it likes. */
  readonly timeoutMs: number;
  /** Ends the program with its group. */
  readonly signal: AbortSignal;
  /** Whether processes that it leaves behind when it exits by itself may go on. */
  readonly leftovers: "stay" | "end";
  /** Given each line it prints, see `Output`. */
  readonly say: (line: string) => void;
}

/** How a run ended. */
export interface Ending {
  /**
   * `notStarted`: this program can never start (missing, not executable, wrong format). `short`: it
   * could not be started now, because this process or machine ran out of something.
   */
  readonly how: "exited" | "signalled" | "timedOut" | "aborted" | "notStarted" | "short";
  /** Set if, and only if, it exited by itself. */
  readonly code?: number;
  /**
   * Set if it failed by itself and its file is not what it was at the start: whether the program ran
   * at all, and which one, is then unknown.
   */
  readonly isFileChanged?: true;
  readonly tookMs: number;
  /** For a person, the end of a sentence about the program: `exited with 3`. */
  readonly reason: string;
}

/** Between SIGTERM and SIGKILL, and again after SIGKILL before a process is given up on. */
export const KILL_GRACE_MS = 2_000;
/** How long the output of an ended program is still waited for when somebody holds its pipes. */
const LINGER_MS = 250;

const HAS_GROUPS = Deno.build.os !== "windows";

/** Those that run right now; disposing of it ends them all, and later ones do not start. */
export class Programs implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #now: AbortSignal;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<Ending>>();

  /** Once `now` is aborted all that run end by SIGKILL without a grace, and none starts any more. */
  constructor(clock: Clock, now: AbortSignal = NEVER) {
    this.#clock = clock;
    this.#now = now;
  }

  /** How many are running. */
  get running(): number {
    return this.#running.size;
  }

  /** Runs one. Never rejects; resolves within the deadline and twice `KILL_GRACE_MS`. */
  async run(run: Run): Promise<Ending> {
    const signal = AbortSignal.any([run.signal, this.#stop.signal, this.#now]);
    const ending = runOne({ ...run, signal }, this.#clock, this.#now);
    this.#running.add(ending);
    try {
      return await ending;
    } finally {
      this.#running.delete(ending);
    }
  }

  /** Ends all that run, with their groups; takes twice `KILL_GRACE_MS` at most. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }
}

const NEVER = new AbortController().signal;

async function runOne(run: Run, clock: Clock, now: AbortSignal): Promise<Ending> {
  const startedAt = clock.now();
  const ended = (how: Ending["how"], reason: string): Ending => ({
    how,
    tookMs: clock.now() - startedAt,
    reason,
  });
  if (run.signal.aborted) return ended("aborted", "was called off");
  const path = asFile(run.path);
  const before = fileState(path);
  const child = start(run);
  if (child instanceof Error) {
    const how = isShortage(child) ? "short" : "notStarted";
    return ended(how, `could not be started: ${whyNotStarted(child)}`);
  }
  const output = new Output([child.stdout, child.stderr], run.say, clock);
  const cause = await firstOf(child, run, clock);
  if (cause === "ended") {
    if (run.leftovers === "end") signalGroup(child, "SIGKILL");
    await within(output.finished, LINGER_MS, clock);
    await output.close();
    const { code, signal } = await child.status;
    const change = code === 0 ? undefined : fileChange(path, before);
    const flaw = change === undefined ? {} : { isFileChanged: true as const };
    const also = change === undefined ? "" : `, and its file was ${change} meanwhile`;
    if (signal !== null) return { ...ended("signalled", `was ended by ${signal}${also}`), ...flaw };
    return { ...ended("exited", `exited with ${code}${also}`), code, ...flaw };
  }
  const gone = await endGroup(child, output, clock, now);
  await output.close();
  const what = cause === "aborted"
    ? "was called off"
    : `did not end within ${formatDuration(run.timeoutMs)}`;
  return ended(cause, gone ? what : `${what}, nor after SIGKILL`);
}

function start(run: Run): Deno.ChildProcess | Error {
  try {
    return new Deno.Command(asFile(run.path), {
      args: run.args.map(withoutNul),
      env: Object.fromEntries(
        Object.entries(run.env).map(([name, value]) => [name, withoutNul(value)]),
      ),
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      // A session and process group of its own, whose number is the child's pid. Started by root, it
      // also has root's supplementary groups no more.
      detached: HAS_GROUPS,
    }).spawn();
  } catch (error) {
    // Whatever the reason, it goes to the operator, who is the one that can do something about it.
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** A bare name would be looked up in PATH, and a wrong program run. */
function asFile(path: string): string {
  return path.includes("/") || path.includes("\\") ? path : `./${path}`;
}

function withoutNul(text: string): string {
  // No escape with a backslash: the echo of many shells would make a NUL of it again.
  return text.replaceAll("\0", "␀");
}

function whyNotStarted(error: Error): string {
  // The system does not tell these two apart.
  if (error instanceof Deno.errors.NotFound) return "it, or the interpreter it names, is missing";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  // `Failed to spawn '/path': Too many open files (os error 24)`: the path is known.
  return /: ([^:]+?)(?: \(os error \d+\))?$/.exec(error.message)?.[1] ?? error.message;
}

/** Waits for whatever comes first: the end, the deadline, the abort. */
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
 * Ends a process and all it started. False if even SIGKILL did not help, as with a process that hangs
 * in the kernel on a dead disk.
 */
async function endGroup(
  child: Deno.ChildProcess,
  output: Output,
  clock: Clock,
  now: AbortSignal,
): Promise<boolean> {
  if (!now.aborted) {
    signalGroup(child, "SIGTERM");
    // The end of the output shows that the others of the group are gone as well as the child.
    const allGone = Promise.all([child.status, output.finished]);
    await within(Promise.race([allGone, whenAborted(now)]), KILL_GRACE_MS, clock);
  }
  signalGroup(child, "SIGKILL");
  return await within(child.status, KILL_GRACE_MS, clock);
}

function signalGroup(child: Deno.ChildProcess, signal: "SIGTERM" | "SIGKILL"): void {
  try {
    if (HAS_GROUPS) Deno.kill(-child.pid, signal);
    else child.kill(signal);
  } catch (error) {
    // Gone already: no such process, or (macOS) only a zombie is left, or (Windows) it has ended.
    const gone = error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.PermissionDenied || error instanceof TypeError;
    if (!gone) throw error;
  }
}

/** True if `promise` settled within `ms`. */
function within(promise: Promise<unknown>, ms: number, clock: Clock): Promise<boolean> {
  return new Promise((resolve) => {
    const cancel = clock.after(ms, () => resolve(false));
    promise.then(() => {
      cancel();
      resolve(true);
    });
  });
}
