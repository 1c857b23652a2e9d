/**
 * Messages with descriptors between two processes, over a unix socket (SCM_RIGHTS, unix(7), cmsg(3)). The receiver
 * gets descriptors of its own for the same open sockets, which stay open until both processes have closed theirs.
 *
 * The socket keeps the bounds of messages (SOCK_SEQPACKET), so a message is sent whole or not at all, and always
 * together with its descriptors. What one side has sent before it died is still received by the other side, and then
 * the end: therefore a message that was sent counts as said. As in `libc.ts`, calls return negated error numbers.
 */
import { EAGAIN, ECONNRESET, EINTR, EMSGSIZE, ENOTCONN, ETIMEDOUT, ETOOMANYREFS } from "./errno.ts";
import { LIBC_OF_MESSAGES } from "./libc_table.ts";
import { MessageMemory, type TakenMessage } from "./message_memory.ts";
import { unixSockaddr } from "./sockaddr.ts";
import { removeSocketFile, setSocketMode } from "./socket_file.ts";

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const NONBLOCK = 0o4000;
const CLOEXEC = 0o2000000;
const SHUT_RDWR = 2;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const POLLIN = 0x001;
const POLLOUT = 0x004;

/** How long to wait before another try while too many descriptors are under way, in milliseconds. */
const IN_FLIGHT_MS = 5;
/** Clients of a listener that may wait to be accepted. */
const BACKLOG = 4;

/** A message that was received. The receiver owns its descriptors, and closes each exactly once. */
export interface DescriptorMessage {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly descriptors: readonly number[];
  /**
   * This process could not take all descriptors of the message, because it has too many open (MSG_CTRUNC, recvmsg(2)):
   * those that came were closed, and `descriptors` is empty.
   */
  readonly isCut: boolean;
}

type Library = Deno.DynamicLibrary<typeof LIBC_OF_MESSAGES>;

/** The functions of libc, open while there is a connection or a listener: most processes never hand anything over. */
let opened: Library | undefined;
let users = 0;
let errno: Int32Array;

/** Throws what `Deno.dlopen` throws. Each call needs one of `leave`. */
function enter(): Library["symbols"] {
  if (users++ > 0) return opened!.symbols;
  opened = Deno.dlopen("libc.so.6", LIBC_OF_MESSAGES);
  errno = new Int32Array(
    Deno.UnsafePointerView.getArrayBuffer(opened.symbols.__errno_location()!, 4),
  );
  return opened.symbols;
}

function leave(): void {
  if (--users === 0) opened!.close();
}

/** The functions, for those who have entered. */
function libc(): Library["symbols"] {
  return opened!.symbols;
}

/** Closes descriptors that were received. */
export function closeDescriptors(descriptors: readonly number[]): void {
  const { close } = enter();
  for (const fd of descriptors) close(fd);
  leave();
}

/** One end of a connection for messages with descriptors. Its owner must call `close` in the end. */
export class DescriptorSocket implements Disposable {
  readonly #fd: number;
  readonly #memory = new MessageMemory();
  #waits = 0;
  #isClosed = false;

  /** Two connected ends, or a negated error number. */
  static pair(): readonly [DescriptorSocket, DescriptorSocket] | number {
    const ends = new Int32Array(2);
    const { socketpair } = enter();
    try {
      const result = socketpair(AF_UNIX, SOCK_SEQPACKET | NONBLOCK | CLOEXEC, 0, ends);
      if (result === -1) return -errno[0]!;
      return [new DescriptorSocket(ends[0]!), new DescriptorSocket(ends[1]!)];
    } finally {
      leave();
    }
  }

  /** Connects to a `DescriptorListener`. Never waits; -EAGAIN if too many others wait to be accepted. */
  static connect(path: string): DescriptorSocket | number {
    const { connect, close } = enter();
    try {
      const fd = seqpacket();
      if (fd < 0) return fd;
      const address = unixSockaddr(path);
      const result = connect(fd, address, address.length);
      if (result !== -1) return new DescriptorSocket(fd);
      const error = -errno[0]!;
      close(fd);
      return error;
    } finally {
      leave();
    }
  }

  /** Owns `fd`, a connected unix socket of the type SOCK_SEQPACKET. */
  constructor(fd: number) {
    this.#fd = fd;
    enter();
  }

  /** The descriptor of the connection, for instance to ask who the peer is. */
  get fd(): number {
    return this.#fd;
  }

  /**
   * Sends a message of at least one byte. Returns 0, or a negated error number: -EAGAIN if the queue is full, -EPIPE
   * or -ECONNRESET if the peer has gone. The caller keeps its descriptors and closes them when it likes.
   */
  trySend(bytes: Uint8Array, descriptors: readonly number[] = []): number {
    if (this.#isClosed) return -ENOTCONN;
    if (!this.#memory.put(bytes, descriptors)) return -EMSGSIZE;
    for (;;) {
      const result = libc().sendmsg(this.#fd, this.#memory.bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
      const error = result === -1 ? errno[0]! : 0;
      if (error !== EINTR) return -error;
    }
  }

  /**
   * Takes the next message. Returns 0 at the end, which comes after all messages that the peer has sent, also if it
   * was killed; else a negated error number, -EAGAIN if there is no message yet.
   */
  tryReceive(): DescriptorMessage | number {
    if (this.#isClosed) return -ENOTCONN;
    // An error of the connection is reported once and before the messages that came earlier, hence another try.
    for (let tries = 0;; tries++) {
      this.#memory.clear();
      const flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
      const count = libc().recvmsg(this.#fd, this.#memory.bytes, flags);
      const error = count === -1 ? errno[0]! : 0;
      if (error === EINTR || (error === ECONNRESET && tries === 0)) continue;
      if (error !== 0) return -error;
      return count === 0 ? 0 : this.#message(this.#memory.take(count));
    }
  }

  /** As `trySend`; waits while the queue is full, for at most `timeoutMs`: -ETIMEDOUT after that. */
  async send(
    bytes: Uint8Array,
    descriptors: readonly number[],
    timeoutMs: number,
  ): Promise<number> {
    const until = performance.now() + timeoutMs;
    for (;;) {
      const result = this.trySend(bytes, descriptors);
      // Too many descriptors are in messages that nobody has received yet; no event tells when that changes.
      const isCrowded = result === -ETOOMANYREFS;
      if (result !== -EAGAIN && !isCrowded) return result;
      const leftMs = until - performance.now();
      if (leftMs <= 0) return -ETIMEDOUT;
      await this.#wait(
        isCrowded ? 0 : POLLOUT,
        isCrowded ? Math.min(IN_FLIGHT_MS, leftMs) : leftMs,
      );
    }
  }

  /** As `tryReceive`; waits for a message for at most `timeoutMs`: -ETIMEDOUT after that. */
  async receive(timeoutMs: number): Promise<DescriptorMessage | number> {
    const until = performance.now() + timeoutMs;
    for (;;) {
      const message = this.tryReceive();
      if (message !== -EAGAIN) return message;
      const leftMs = until - performance.now();
      if (leftMs <= 0) return -ETIMEDOUT;
      await this.#wait(POLLIN, leftMs);
    }
  }

  /**
   * Nothing can be sent any more in either direction; what the peer sent before can still be received. Ends calls that
   * wait (shutdown(2)).
   */
  end(): void {
    if (!this.#isClosed) libc().shutdown(this.#fd, SHUT_RDWR);
  }

  /** Closes the connection, and ends calls that wait. May be repeated. */
  close(): void {
    if (this.#isClosed) return;
    this.end();
    this.#isClosed = true;
    // The number must not be used again while another thread still waits for the connection.
    if (this.#waits === 0) closeAndLeave(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #message(taken: TakenMessage): DescriptorMessage | number {
    const { bytes, descriptors, isTooLong, isCut } = taken;
    if (!isTooLong && !isCut) return { bytes, descriptors, isCut };
    closeDescriptors(descriptors);
    return isTooLong ? -EMSGSIZE : { bytes, descriptors: [], isCut };
  }

  async #wait(what: number, ms: number): Promise<void> {
    this.#waits++;
    await pollOne(this.#fd, what, ms);
    if (--this.#waits === 0 && this.#isClosed) closeAndLeave(this.#fd);
  }
}

/** Where another process connects, to exchange messages with descriptors. */
export class DescriptorListener implements Disposable {
  readonly #fd: number;
  readonly #path: string;
  #waits = 0;
  #hasEnded = false;
  #isClosed = false;

  /**
   * Listens on a path, whose file only this user may use. Returns a negated error number if it cannot; the file of a
   * process that has ended is the caller's to remove.
   */
  static listen(path: string): DescriptorListener | number {
    const { bind, listen, close } = enter();
    try {
      const fd = seqpacket();
      if (fd < 0) return fd;
      const address = unixSockaddr(path);
      const bound = bind(fd, address, address.length);
      let error = bound === -1 ? -errno[0]! : 0;
      const isBound = error === 0;
      if (isBound) error = setSocketMode(path, 0o600);
      if (error === 0) {
        const result = listen(fd, BACKLOG);
        error = result === -1 ? -errno[0]! : 0;
      }
      if (error === 0) return new DescriptorListener(fd, path);
      close(fd);
      if (isBound) removeSocketFile(path);
      return error;
    } finally {
      leave();
    }
  }

  private constructor(fd: number, path: string) {
    enter();
    this.#fd = fd;
    this.#path = path;
  }

  /** Waits for a process that connects, for at most `timeoutMs`; -ETIMEDOUT after that, or another error number. */
  async accept(timeoutMs: number): Promise<DescriptorSocket | number> {
    const until = performance.now() + timeoutMs;
    for (;;) {
      if (this.#isClosed) return -ENOTCONN;
      const fd = libc().accept4(this.#fd, null, null, NONBLOCK | CLOEXEC);
      const error = fd === -1 ? errno[0]! : 0;
      if (error === 0) return new DescriptorSocket(fd);
      if (error !== EAGAIN && error !== EINTR) return -error;
      if (this.#hasEnded && error === EAGAIN) return -ENOTCONN;
      const leftMs = until - performance.now();
      if (leftMs <= 0) return -ETIMEDOUT;
      this.#waits++;
      await pollOne(this.#fd, POLLIN, leftMs);
      if (--this.#waits === 0 && this.#isClosed) closeAndLeave(this.#fd);
    }
  }

  /** Nobody can connect any more. `accept` returns those that have connected before, and then an error number. */
  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    libc().shutdown(this.#fd, SHUT_RDWR);
  }

  /** Stops listening and removes the file. May be repeated. */
  close(): void {
    if (this.#isClosed) return;
    this.end();
    this.#isClosed = true;
    removeSocketFile(this.#path);
    if (this.#waits === 0) closeAndLeave(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function closeAndLeave(fd: number): void {
  libc().close(fd);
  leave();
}

function seqpacket(): number {
  const fd = libc().socket(AF_UNIX, SOCK_SEQPACKET | NONBLOCK | CLOEXEC, 0);
  return fd === -1 ? -errno[0]! : fd;
}

/** Waits in another thread until `what` is possible or the connection has ended, at most `ms` milliseconds. */
async function pollOne(fd: number, what: number, ms: number): Promise<void> {
  const pollfd = new Int32Array(2);
  pollfd[0] = fd;
  pollfd[1] = what; // the lower half; the upper half receives the result
  await libc().poll(pollfd, what === 0 ? 0 : 1, Math.ceil(ms));
}
