/**
 * A `Libc` that marks its open descriptors in memory that another thread can read. Descriptors belong to the
 * process, so they stay open when a thread dies; the thread that notices it closes those that are marked.
 *
 * Descriptors beyond the length of the marks are not marked; `newMarks` has room for all that are possible.
 */
import type { ListenOptions, Pipe, SockAddr, SocketOptions } from "./kernel.ts";
import { Libc } from "./libc.ts";

/** One byte for each descriptor: 1 while it is open. The last byte says whether the thread may go on. */
export type Marks = Uint8Array<SharedArrayBuffer>;

/** The default of `fs.nr_open`, beyond which no limit of descriptors can be set (proc_sys_fs(5)). */
const FDS_MAX = 1024 * 1024;
/** In the last byte: the thread is over. */
const OVER = 2;

/** Reserves 1 MiB of address space; memory is used only where descriptors were open. */
export function newMarks(): Marks {
  return new Uint8Array(new SharedArrayBuffer(FDS_MAX + 1));
}

/**
 * The thread must end. `Worker.terminate` does not interrupt a loop that runs: without this a thread that hung, was
 * replaced and goes on later would use descriptors that belong to somebody else by then.
 */
export function markOver(marks: Marks): void {
  marks[FDS_MAX] = OVER;
}

/**
 * The marks for a thread that takes the place of one that is over: only descriptors that were given to it before its
 * start are marked. Those of a thread that is not over stay as they are.
 */
export function marksForNext(marks: Marks): Marks {
  if (marks[FDS_MAX] !== OVER) return marks;
  const next = newMarks();
  for (let fd = marks.indexOf(1); fd !== -1; fd = marks.indexOf(1, fd + 1)) next[fd] = 1;
  return next;
}

/** The kernel, for a thread whose descriptors must be closed if it dies. */
export class TrackedLibc extends Libc {
  readonly #marks: Marks;

  constructor(marks: Marks) {
    super();
    this.#marks = marks;
    this.#opened(this.epoll);
  }

  override [Symbol.dispose](): void {
    if (this.#isOver) return;
    this.#marks[this.epoll] = 0;
    super[Symbol.dispose]();
  }

  /** Throws when the thread is over. */
  override poll(timeoutMs: number): number {
    if (this.#isOver) throw new Error("this thread was replaced");
    return super.poll(timeoutMs);
  }

  override bind(address: SockAddr, options: Omit<ListenOptions, "backlog">): number {
    return this.#opened(super.bind(address, options));
  }

  override accept(listener: number): number {
    return this.#opened(super.accept(listener));
  }

  override connect(address: SockAddr, options: SocketOptions): number {
    return this.#opened(super.connect(address, options));
  }

  override pipe(): Pipe | number {
    const pipe = super.pipe();
    if (typeof pipe === "number") return pipe;
    this.#opened(pipe.read);
    this.#opened(pipe.write);
    return pipe;
  }

  // The mark is removed first: after the close another thread may get the same number.
  override close(fd: number): void {
    if (this.#isOver) return;
    this.#marks[fd] = 0;
    super.close(fd);
  }

  override reset(fd: number): void {
    if (this.#isOver) return;
    this.#marks[fd] = 0;
    super.reset(fd);
  }

  /** Its descriptors were closed for it: their numbers may be somebody else's. */
  get #isOver(): boolean {
    return this.#marks[FDS_MAX] === OVER;
  }

  #opened(fd: number): number {
    if (fd >= 0 && fd < FDS_MAX) this.#marks[fd] = 1;
    return fd;
  }
}

/** Closes the descriptors that a dead thread left open. The thread must not run any more, or is told to end. */
export function closeMarked(libc: Libc, marks: Marks): void {
  markOver(marks);
  for (let fd = marks.indexOf(1); fd !== -1; fd = marks.indexOf(1, fd + 1)) {
    marks[fd] = 0;
    libc.close(fd);
  }
}
