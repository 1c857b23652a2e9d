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

/**
 * The kernel, for a thread whose descriptors must be closed if it dies. When the thread is over, each call that uses a
 * descriptor or opens one throws.
 */
export class TrackedLibc extends Libc {
  readonly #marks: Marks;

  constructor(marks: Marks) {
    super();
    this.#marks = marks;
    this.#opened(this.epoll);
  }

  /** True once `markOver` was called: its descriptors were closed for it, and their numbers may be somebody else's. */
  override get isOver(): boolean {
    return this.#marks[FDS_MAX] === OVER;
  }

  override [Symbol.dispose](): void {
    if (this.isOver) return;
    this.#marks[this.epoll] = 0;
    super[Symbol.dispose]();
  }

  override watch(fd: number, mark: number): number {
    this.#mustOwn();
    return super.watch(fd, mark);
  }

  override watchShared(listener: number, mark: number): number {
    this.#mustOwn();
    return super.watchShared(listener, mark);
  }

  override poll(timeoutMs: number): number {
    this.#mustOwn();
    return super.poll(timeoutMs);
  }

  override bind(address: SockAddr, options: Omit<ListenOptions, "backlog">): number {
    this.#mustOwn();
    return this.#opened(super.bind(address, options));
  }

  override accept(listener: number): number {
    this.#mustOwn();
    return this.#opened(super.accept(listener));
  }

  override connect(address: SockAddr, options: SocketOptions): number {
    this.#mustOwn();
    return this.#opened(super.connect(address, options));
  }

  override takeError(fd: number): number {
    this.#mustOwn();
    return super.takeError(fd);
  }

  override receive(fd: number): number {
    this.#mustOwn();
    return super.receive(fd);
  }

  override receiveInto(fd: number, buffer: Uint8Array<ArrayBuffer>): number {
    this.#mustOwn();
    return super.receiveInto(fd, buffer);
  }

  override send(fd: number, bytes: Uint8Array<ArrayBuffer>, from: number, to: number): number {
    this.#mustOwn();
    return super.send(fd, bytes, from, to);
  }

  override splice(from: number, to: number, count: number): number {
    this.#mustOwn();
    return super.splice(from, to, count);
  }

  override pipe(): Pipe | number {
    this.#mustOwn();
    const pipe = super.pipe();
    if (typeof pipe === "number") return pipe;
    this.#opened(pipe.read);
    this.#opened(pipe.write);
    return pipe;
  }

  /** The eventfd is also that of the next thread, which must not miss what wakes it. */
  override settle(eventfd: number): void {
    this.#mustOwn();
    super.settle(eventfd);
  }

  // What follows ends something: it is called while an error is handled, so it does nothing instead of throwing.

  override unwatch(fd: number): void {
    if (!this.isOver) super.unwatch(fd);
  }

  override shutdownWrite(fd: number): void {
    if (!this.isOver) super.shutdownWrite(fd);
  }

  override shutdown(fd: number): void {
    if (!this.isOver) super.shutdown(fd);
  }

  // The mark is removed first: after the close another thread may get the same number.
  override close(fd: number): void {
    if (this.isOver) return;
    this.#marks[fd] = 0;
    super.close(fd);
  }

  override reset(fd: number): void {
    if (this.isOver) return;
    this.#marks[fd] = 0;
    super.reset(fd);
  }

  /** Throws when the thread is over: not an error number, which would be taken for a fault of the peer. */
  #mustOwn(): void {
    if (this.isOver) throw new Error("this thread was replaced");
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
