/**
 * Ends a program at a deadline even if this process is stopped or dead then. The program is started by a shell,
 * which first starts a watcher in the same process group, and then becomes the program. The watcher gets
 * each later deadline as a line on a pipe, and ends the whole group by SIGKILL when the last one has passed.
 *
 * A deadline is a time of `/proc/uptime`, which all processes share and which counts while the machine is
 * suspended: a shell that starts too late, because this process was stopped in between, starts nothing.
 * On systems without that file a deadline is the time that is left, with a `+`.
 */
import type { Clock } from "../base/clock.ts";

/** Until when a program may run. */
export interface Guard {
  /** The milliseconds that are left now; they may grow while the program runs. */
  leftMs(): number;
}

/** How often it is looked whether there is a later deadline, in milliseconds. */
const LOOK_MS = 250;

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
    sleep "$((left / 100)).\${fraction#1}" || sleep "$((left / 100))"
    kill -0 "$$" && kill -KILL 0
  } &
  timer=$!
}
until=$1
shift
left "$until"
[ "$left" -gt 0 ] || exit ${TOO_LATE}
exec 3<&0 </dev/null
{
  arm "$until"
  while read -r until <&3; do
    kill "$timer"
    [ "$until" != over ] || exit 0
    arm "$until"
  done
  wait
} >/dev/null 2>&1 &
exec 3<&-
exec "$@"`,
  "sh",
];

/** The deadline of a guard in the form that the shell takes. */
export function deadlineOf(guard: Guard): string {
  // The time is read before what is left, so that a pause between the two makes the deadline earlier.
  const uptime = uptimeOf();
  const left = Math.floor(Math.min(guard.leftMs(), 1e9) / 10);
  return uptime === undefined ? `+${left}` : String(uptime + left);
}

/** The time of `/proc/uptime` in hundredths of a second; undefined where there is no such file. */
function uptimeOf(): number | undefined {
  try {
    const [seconds] = Deno.readTextFileSync("/proc/uptime").split(" ");
    return Math.floor(Number(seconds) * 100);
  } catch {
    return undefined;
  }
}

/** Tells the watcher of a program each later deadline, until it is disposed of. */
export class GuardLine implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #guard: Guard;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #until = -Infinity;
  #cancel = () => {};
  #isOver = false;

  constructor(stdin: WritableStream<Uint8Array>, guard: Guard, clock: Clock) {
    this.#clock = clock;
    this.#guard = guard;
    this.#writer = stdin.getWriter();
    this.#writer.closed.catch(() => {});
    this.#look();
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
      this.#until = until;
      void this.#write(deadlineOf(this.#guard));
    }
    this.#cancel = this.#clock.after(LOOK_MS, () => {
      if (!this.#isOver) this.#look();
    });
  }

  async #write(line: string): Promise<void> {
    await this.#writer.write(new TextEncoder().encode(`${line}\n`)).catch(() => {});
  }
}
