/**
 * Ends a program at a deadline even if this process is stopped or dead then. The program is started by a shell,
 * which first starts a watcher in the same process group, and then becomes the program. The watcher gets
 * each later deadline as a line on a pipe, and ends the whole group by SIGKILL when the last one has passed.
 *
 * A deadline is a time of `/proc/uptime`, which all processes share and which counts while the machine is
 * suspended: a shell that starts too late, because this process was stopped in between, starts nothing.
 * On systems without that file a deadline is the time that is left, with a `+`.
 *
 * The watcher needs processes of its own, which the system may refuse at any time. Then the program ends at once, or at
 * the deadline that is already watched: a later one is watched before that, and whoever cannot sleep acts as if the
 * time were over.
 */
import type { Clock } from "../base/clock.ts";
import { inTime } from "../base/deadline.ts";

/** Until when a program may run. */
export interface Guard {
  /** The milliseconds that are left now; they may grow while the program runs. */
  leftMs(): number;
}

/** How often it is looked whether there is a later deadline, in milliseconds. */
const LOOK_MS = 250;
/** How long the time of the system may take to read, in milliseconds. */
const OFFSET_MS = 1_000;
/**
 * So long before a deadline the watcher may act on it, by the clock of this process: a pause while the time of the system
 * was read makes the deadline earlier, and a later one takes a moment to reach the watcher. In milliseconds.
 */
const EARLY_MS = 1_000;

/** The exit code of a program that was not started because its deadline had passed (sysexits.h, EX_TEMPFAIL). */
export const TOO_LATE = 75;

/** The arguments of `sh` before the deadline, the program and its arguments. */
export const GUARDED: readonly string[] = [
  "-c",
  `left() {
  case $1 in
    +*) left=\${1#+} ;;
    *) read -r up rest </proc/uptime; left=$(($1 - \${up%.*}\${up#*.})) ;;
  esac
}
arm() {
  left "$1"
  [ "$left" -gt 0 ] || kill -KILL 0
  fraction=$((left % 100 + 100))
  {
    trap 'kill -0 "$$" && kill -KILL 0' EXIT
    sleep "$((left / 100)).\${fraction#1}" || sleep "$((left / 100))"
  } &
  timer=$!
}
until=$1
shift
left "$until"
[ "$left" -gt 0 ] || exit ${TOO_LATE}
exec 3<&0 </dev/null
{
  trap 'kill -KILL 0' EXIT
  arm "$until"
  trap - EXIT
  while read -r until <&3; do
    before=$timer
    [ "$until" = over ] || arm "$until"
    kill -KILL "$before"
    [ "$until" != over ] || exit 0
  done
  wait
} >/dev/null 2>&1 &
exec 3<&-
exec "$@"`,
  "sh",
];

/**
 * How far `/proc/uptime` is ahead of the clock, in milliseconds; undefined where there is no such file. Deno
 * lets only a process with all permissions read it, so a shell does it otherwise. A pause of this process
 * meanwhile makes the result smaller, and with it each deadline earlier. Never rejects.
 */
export async function uptimeOffset(clock: Clock): Promise<number | undefined> {
  try {
    const text = await inTime(readUptime(), OFFSET_MS, clock, () => new Error("no answer"));
    const seconds = Number(text.split(" ")[0]);
    return seconds > 0 ? seconds * 1_000 - clock.now() : undefined;
  } catch {
    return undefined;
  }
}

async function readUptime(): Promise<string> {
  try {
    return Deno.readTextFileSync("/proc/uptime");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
  }
  const { stdout } = await new Deno.Command("/bin/sh", {
    args: ["-c", 'read -r up rest </proc/uptime && echo "$up"'],
    ...{ stdin: "null", stdout: "piped", stderr: "null" },
  }).output();
  return new TextDecoder().decode(stdout);
}

/** The deadline of a guard in the form that the shell takes. `offsetMs` is that of `uptimeOffset`. */
export function deadlineOf(guard: Guard, clock: Clock, offsetMs: number | undefined): string {
  const leftMs = Math.min(guard.leftMs(), 1e9);
  if (offsetMs === undefined) return `+${Math.floor(leftMs / 10)}`;
  return String(Math.floor((clock.now() + leftMs + offsetMs) / 10));
}

/** Tells the watcher of a program each later deadline, until it is disposed of. */
export class GuardLine implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #guard: Guard;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #offsetMs: number | undefined;
  #until = -Infinity;
  #wasLate = false;
  #cancel = () => {};
  #isOver = false;

  constructor(
    stdin: WritableStream<Uint8Array>,
    guard: Guard,
    clock: Clock,
    offsetMs: number | undefined,
  ) {
    this.#offsetMs = offsetMs;
    this.#clock = clock;
    this.#guard = guard;
    this.#writer = stdin.getWriter();
    this.#writer.closed.catch(() => {});
    this.#look();
  }

  /** Whether a deadline may have passed before the watcher heard of a later one, or has passed now. */
  get mayHaveEnded(): boolean {
    return this.#wasLate || this.#clock.now() >= this.#until - EARLY_MS;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    this.#cancel();
    // The watcher may have ended, with the program.
    await this.#write("over");
    await this.#writer.close().catch(() => {});
  }

  #look(): void {
    const until = this.#clock.now() + this.#guard.leftMs();
    if (until > this.#until + LOOK_MS) {
      this.#wasLate ||= this.#until !== -Infinity && this.mayHaveEnded;
      this.#until = until;
      void this.#write(deadlineOf(this.#guard, this.#clock, this.#offsetMs));
    }
    this.#cancel = this.#clock.after(LOOK_MS, () => {
      if (!this.#isOver) this.#look();
    });
  }

  async #write(line: string): Promise<void> {
    await this.#writer.write(new TextEncoder().encode(`${line}\n`)).catch(() => {});
  }
}
