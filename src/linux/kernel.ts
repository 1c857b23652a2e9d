/**
 * The calls a relay makes to the kernel, as an interface: `libc.ts` is the real side, `fake_kernel.ts`
 * the one that tests drive into every short count and error. It knows descriptors, nothing of proxies.
 *
 * No call blocks but `poll`, and none throws for what the kernel says: a result below zero is an error
 * number, negated (`errno.ts`). Whoever gets a descriptor from here owns it and closes it exactly once.
 */

/** A `struct sockaddr` as bytes, made and read by `sockaddr.ts`. */
export type SockAddr = Uint8Array<ArrayBuffer>;

/** A kernel pipe: what splice moves bytes through. The owner closes both ends. */
export interface Pipe {
  readonly read: number;
  readonly write: number;
  /** Bytes that fit into it. */
  readonly capacity: number;
}

export interface SocketOptions {
  /** TCP_USER_TIMEOUT in milliseconds; 0 leaves it to the system (tcp(7)). */
  readonly userTimeoutMs: number;
}

/** How a listener stands to others on its port. */
export type PortShare = false | "first" | "join";

export interface ListenOptions extends SocketOptions {
  /** Connections that may wait to be accepted; the system's `somaxconn` limits it further. */
  readonly backlog: number;
  /**
   * Whether the port is shared by several listeners of this process (SO_REUSEPORT). The first one takes it
   * for itself before it lets others in, so that another process is told that the port is in use.
   */
  readonly reusePort: PortShare;
  /** Permission bits of a unix socket's file, set before anybody can connect. Without them umask(2) rules. */
  readonly socketMode?: number;
}

/** What `eventFlags` is made of (epoll_ctl(2)). */
export const READABLE = 0x001;
export const URGENT = 0x002;
export const WRITABLE = 0x004;
export const FAILED = 0x008;
export const HUNG_UP = 0x010;
export const PEER_ENDED = 0x2000;

export interface Kernel {
  /** Milliseconds that never go back. */
  now(): number;

  /** Reports each change of `fd` from now on, edge-triggered, until it is closed. `mark` comes back with it. */
  watch(fd: number, mark: number): number;
  /** Waits for changes, at most `timeoutMs`; how many there are. Valid until the next call. */
  poll(timeoutMs: number): number;
  eventFd(index: number): number;
  eventMark(index: number): number;
  eventFlags(index: number): number;

  /** A listening socket. Accepted sockets inherit its options. */
  listen(address: SockAddr, options: ListenOptions): number;
  accept(listener: number): number;
  /** A socket that begins to connect; WRITABLE or FAILED is reported when that has ended. */
  connect(address: SockAddr, options: SocketOptions): number;
  /** Takes the error that waits on a socket: 0, or an error number negated. */
  takeError(fd: number): number;
  localAddress(fd: number): SockAddr;
  /** The peer's address; empty when it is gone already. */
  peerAddress(fd: number): SockAddr;

  /**
   * Where `receive` puts bytes. One for all: what is in it must be used before the next call. A read
   * that does not fill it has emptied the socket.
   */
  readonly scratch: Uint8Array<ArrayBuffer>;
  /** Reads into `scratch`; 0 is the peer's end. */
  receive(fd: number): number;
  /** Reads into `buffer`; 0 is the peer's end. */
  receiveInto(fd: number, buffer: Uint8Array<ArrayBuffer>): number;
  /** As `receive`, with one byte that stays where it is. */
  peek(fd: number): number;
  send(fd: number, bytes: Uint8Array<ArrayBuffer>, from: number, to: number): number;
  /** Bytes that were sent and that the peer has not acknowledged; our end counts as one of them (tcp(7)). */
  unacked(fd: number): number;
  /** Bytes that the peer has acknowledged since the connection was made; an error where only TCP knows. */
  acked(fd: number): number;
  /** Moves up to `count` bytes between a pipe and a socket without showing them to us (splice(2)). */
  splice(from: number, to: number, count: number): number;
  /** A new pipe, as large as the system allows. */
  pipe(): Pipe | number;

  /** Sends the peer our end, after what was sent before. */
  shutdownWrite(fd: number): void;
  close(fd: number): void;
  /** Closes so that the peer sees a reset, and drops what was not sent yet. */
  reset(fd: number): void;
  /**
   * Removes the file of a unix socket, and no other kind of file. 0 also where it is not there; an error
   * number negated where it stays.
   */
  unlinkSocket(path: string): number;
}
