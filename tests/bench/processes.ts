/** CPU time, memory and threads of a process and its descendants, as proc(5) shows them. */

/** CPU time in seconds, in user mode and in the kernel. */
export interface CpuTime {
  readonly user: number;
  readonly system: number;
}

/** The CPU time of one thread since it began. */
export interface ThreadTime extends CpuTime {
  /** `PID/TID` of this machine: one thread, as long as it lives. */
  readonly id: string;
  /** The first 15 bytes of its name. */
  readonly name: string;
}

/** What this module needs of one line of `/proc/PID/stat` or `/proc/PID/task/TID/stat`. */
export interface Stat extends CpuTime {
  readonly name: string;
  readonly parent: number;
}

/** USER_HZ, in which Linux counts CPU time on every machine (proc(5), time(7)). */
const TICKS_PER_SECOND = 100;

/** Reads one line of a `stat` file. The name of a program may contain blanks and parentheses. */
export function readStat(text: string): Stat {
  const end = text.lastIndexOf(")");
  const fields = text.slice(end + 2).split(" ");
  const seconds = (field: string | undefined) => Number(field) / TICKS_PER_SECOND;
  return {
    name: text.slice(text.indexOf("(") + 1, end),
    parent: Number(fields[1]),
    user: seconds(fields[11]),
    system: seconds(fields[12]),
  };
}

/** The value of a field such as `VmHWM:  123 kB`, in bytes; 0 if there is none, as for a zombie. */
export function readKb(text: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0) * 1024;
}

/** CPU time of the process `root` and its descendants, including threads that have ended. */
export function cpuTime(root: number): CpuTime {
  return total(tree(root).map(([, stat]) => stat));
}

export function total(times: readonly CpuTime[]): CpuTime {
  return {
    user: times.reduce((sum, { user }) => sum + user, 0),
    system: times.reduce((sum, { system }) => sum + system, 0),
  };
}

/** All threads of the process `root` and its descendants. */
export function threadTimes(root: number): ThreadTime[] {
  return tree(root).flatMap(([pid]) =>
    numbersIn(`/proc/${pid}/task`).flatMap((tid) => {
      const text = read(`/proc/${pid}/task/${tid}/stat`);
      return text === undefined ? [] : [{ id: `${pid}/${tid}`, ...readStat(text) }];
    })
  );
}

/** Memory resident now, in bytes. A page that several of these processes share counts for each. */
export function residentBytes(root: number): number {
  // `status` has it too, but lags behind (proc(5)).
  return sumOf(root, (pid) => readKb(read(`/proc/${pid}/smaps_rollup`) ?? "", "Rss"));
}

/** The most memory, in bytes, that each of them ever held (VmHWM, proc(5)), added up. */
export function peakBytes(root: number): number {
  return sumOf(root, (pid) => readKb(read(`/proc/${pid}/status`) ?? "", "VmHWM"));
}

function sumOf(root: number, sizeOf: (pid: number) => number): number {
  return tree(root).reduce((sum, [pid]) => sum + sizeOf(pid), 0);
}

/** A process and its descendants. */
function tree(root: number): [pid: number, Stat][] {
  const stats = new Map<number, Stat>();
  for (const pid of numbersIn("/proc")) {
    const text = read(`/proc/${pid}/stat`);
    if (text !== undefined) stats.set(pid, readStat(text));
  }
  const isUnder = (pid: number): boolean =>
    pid === root || (pid !== 0 && isUnder(stats.get(pid)?.parent ?? 0));
  return [...stats].filter(([pid]) => isUnder(pid));
}

/** Entries of a folder that are numbers; none if the process has ended. */
function numbersIn(folder: string): number[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => Number(name)).filter(Number.isInteger);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** The text of a file below /proc; undefined if the process or thread has ended (ENOENT, ESRCH). */
function read(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
}
