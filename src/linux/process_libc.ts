/**
 * What the kernel knows of this process and its threads, called through libc as in `libc.ts`. It opens nothing:
 * each object has only the functions themselves.
 */
import { LIBC_OF_PROCESS } from "./libc_table.ts";
import { unchangedFiles } from "./memory_map.ts";
import { openDescriptors } from "./open_descriptors.ts";

const MADV_DONTNEED = 4;
const RLIMIT_NOFILE = 7;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const CLOCK_MONOTONIC = 1;
const F_GETFD = 1;
const O_CLOEXEC = 0o2000000;
/** The longest path (PATH_MAX, linux/limits.h). */
const PATH_BYTES_MAX = 4_096;
/** Characters of the list of all mappings; a process with several hundred threads comes to about two million. */
const MEMORY_MAP_MAX = 16 * 1024 * 1024;
/** Older versions of glibc have no function `gettid`, so it is called by its number (gettid(2)). */
const SYS_GETTID = Deno.build.arch === "x86_64" ? 186n : 178n;
/** The size of a `cpu_set_t` in bytes, a bit for each of 8192 processors: more than any kernel knows. */
const CPU_SET_BYTES = 1_024;
/** The last bits of the number of a thread's clock of CPU time; the rest is the thread's number, inverted. */
const CLOCK_OF_THREAD = 0b110;

/** A process and its user. For a listening socket they are those of listen(2), else of connect(2). */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
}

/** The functions of libc that concern the process. Throws what `Deno.dlopen` throws. */
export class ProcessLibc {
  readonly #library = Deno.dlopen("libc.so.6", LIBC_OF_PROCESS);

  [Symbol.dispose](): void {
    this.#library.close();
  }

  /** Raises the soft limit of descriptors to the hard limit, and returns it (setrlimit(2)). */
  raiseDescriptorLimit(): number | undefined {
    const { getrlimit, setrlimit } = this.#library.symbols;
    const limits = new BigUint64Array(2); // soft and hard
    if (getrlimit(RLIMIT_NOFILE, limits) !== 0) return undefined;
    const raised = new BigUint64Array([limits[1]!, limits[1]!]);
    return Number(setrlimit(RLIMIT_NOFILE, raised) === 0 ? limits[1] : limits[0]);
  }

  /** The process at the other end of a unix socket; undefined for any other socket (SO_PEERCRED, unix(7)). */
  peerCredentials(fd: number): PeerCredentials | undefined {
    const credentials = new Int32Array(3); // pid, uid, gid
    const length = new Uint32Array([credentials.byteLength]);
    const { getsockopt } = this.#library.symbols;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, length) !== 0) return undefined;
    const [pid, uid] = credentials;
    // The system fills in -1 where there is no such process, as for a TCP socket.
    return pid! > 0 ? { pid: pid!, uid: uid! >>> 0 } : undefined;
  }

  /** True if this process has a descriptor of this number (fcntl(2)). */
  isOpen(fd: number): boolean {
    return this.#library.symbols.fcntl(fd, F_GETFD, 0) !== -1;
  }

  /** The time of the clock that nobody sets, in microseconds (CLOCK_MONOTONIC, clock_gettime(2)). */
  monotonicUsec(): bigint {
    const time = new BigInt64Array(2); // seconds and nanoseconds
    this.#library.symbols.clock_gettime(CLOCK_MONOTONIC, time);
    return time[0]! * 1_000_000n + time[1]! / 1_000n;
  }

  /** The number of the calling thread (gettid(2)). */
  threadId(): number {
    return Number(this.#library.symbols.syscall(SYS_GETTID));
  }

  /**
   * The CPU time that a thread of this process has used, in milliseconds; undefined if it has ended
   * (clock_getcpuclockid(3), which makes the same number for a process).
   */
  cpuMs(threadId: number): number | undefined {
    const time = new BigInt64Array(2); // seconds and nanoseconds
    const clock = (~threadId << 3) | CLOCK_OF_THREAD;
    if (this.#library.symbols.clock_gettime(clock, time) !== 0) return undefined;
    return Number(time[0]) * 1_000 + Number(time[1]) / 1e6;
  }

  /**
   * Gives memory back to the system that only the start needed: what malloc holds free (malloc_trim(3)), and pages of
   * the program's files, which are read again from the page cache as they are used (madvise(2)).
   */
  giveBackMemory(): void {
    const { malloc_trim, madvise } = this.#library.symbols;
    malloc_trim(0n);
    for (const { from, to } of unchangedFiles(this.textOf("/proc/self/smaps"))) {
      madvise(Deno.UnsafePointer.create(from), to - from, MADV_DONTNEED);
    }
  }

  /**
   * The text of a file below /proc (proc(5)), which Deno lets only a program read that may do everything; empty if
   * it cannot be read, and cut where it is longer than any such file.
   */
  textOf(path: string): string {
    const { open, read, close } = this.#library.symbols;
    const fd = open(new TextEncoder().encode(`${path}\0`), O_CLOEXEC);
    if (fd < 0) return "";
    const decoder = new TextDecoder();
    const part = new Uint8Array(64 * 1024);
    let text = "";
    while (text.length < MEMORY_MAP_MAX) {
      const count = read(fd, part, part.length);
      if (count <= 0) break;
      text += decoder.decode(part.subarray(0, count), { stream: true });
    }
    close(fd);
    return text;
  }

  /** The descriptor under which this process has a file open; undefined if it has none (proc_pid_fd(5)). */
  descriptorOf(path: string): number | undefined {
    const { readlink } = this.#library.symbols;
    const target = new Uint8Array(PATH_BYTES_MAX);
    for (const fd of openDescriptors((fd) => this.isOpen(fd))) {
      const link = new TextEncoder().encode(`/proc/self/fd/${fd}\0`);
      const length = readlink(link, target, target.length);
      if (length <= 0) continue;
      if (new TextDecoder().decode(target.subarray(0, length)) === path) return fd;
    }
  }

  /** How many processors this process may use (sched_getaffinity(2)); undefined if that is not known. */
  processors(): number | undefined {
    const set = new Uint8Array(CPU_SET_BYTES);
    if (this.#library.symbols.sched_getaffinity(0, set.length, set) !== 0) return undefined;
    let count = 0;
    for (const byte of set) for (let bits = byte; bits > 0; bits &= bits - 1) count++;
    return count;
  }
}
