/**
 * libc that marks, in memory which another thread can read, the descriptors that it holds open. A thread that
 * dies takes nothing with it: descriptors belong to the process. Whoever finds it dead closes what is marked.
 *
 * Descriptors above the marks' length go unmarked; `newMarks` has a place for each one there can be here.
 */
import type { ListenOptions, Pipe, SockAddr, SocketOptions } from "./kernel.ts";
import { Libc } from "./libc.ts";

/** One byte for each descriptor: 1 while it is open. */
export type Marks = Uint8Array<SharedArrayBuffer>;

/** The default of `fs.nr_open`, beyond which no limit of descriptors can be set (proc_sys_fs(5)). */
const FDS_MAX = 1024 * 1024;

/** Costs address space; memory only where descriptors were open. */
export function newMarks(): Marks {
  return new Uint8Array(new SharedArrayBuffer(FDS_MAX));
}

export class TrackedLibc extends Libc {
  readonly #marks: Marks;

  constructor(marks: Marks) {
    super();
    this.#marks = marks;
    this.#opened(this.epoll);
  }

  override [Symbol.dispose](): void {
    this.#marks[this.epoll] = 0;
    super[Symbol.dispose]();
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

  // The mark goes first: between a close and its mark another thread may get the number.
  override close(fd: number): void {
    this.#marks[fd] = 0;
    super.close(fd);
  }

  override reset(fd: number): void {
    this.#marks[fd] = 0;
    super.reset(fd);
  }

  #opened(fd: number): number {
    if (fd >= 0) this.#marks[fd] = 1;
    return fd;
  }
}

/** Closes what a thread left open when it died, but for `kept`. The thread must run no more. */
export function closeMarked(libc: Libc, marks: Marks, kept: number): void {
  for (let fd = marks.indexOf(1); fd !== -1; fd = marks.indexOf(1, fd + 1)) {
    if (fd === kept) continue;
    marks[fd] = 0;
    libc.close(fd);
  }
}
