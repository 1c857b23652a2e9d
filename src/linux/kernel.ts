/**
 * The system calls that a relay needs, as an interface. `libc.ts` implements it; `testing/fake_kernel.ts`
 * imitates it, with every short count and error that a test asks for. It knows descriptors, nothing of proxies.
 *
 * Only `poll` blocks. No call throws for an error of the kernel: a result below zero is a negated error number
 * (`errno.ts`). The caller owns each descriptor that it gets from here, and closes it exactly once.
 */

/** A `struct sockaddr` as bytes, made and read by `sockaddr.ts`. */
export type SockAddr = Uint8Array<ArrayBuffer>;

/** A pipe, through which splice(2) moves bytes. The owner closes both ends. */
export interface Pipe {
  readonly read: number;
  readonly write: number;
  /** How many bytes it can hold. */
  readonly capacity: number;
}

/** Options of a socket, set before it is used. */
export interface SocketOptions {
  /** TCP_USER_TIMEOUT in milliseconds; 0 leaves it to the system (tcp(7)). */
  readonly userTimeoutMs: number;
  /** The caller calls `keepAlive` if the connection lives long enough to need it. */
  readonly keepAliveLater?: boolean;
}

/** Options of a listening socket; those of `SocketOptions` are for the sockets that it accepts. */
export interface ListenOptions extends SocketOptions {
  /** Length of the accept queue; `net.core.somaxconn` limits it further (listen(2)). */
  readonly backlog: number;
  /** Permission bits of a unix socket's file, set before a client can connect. Without them umask(2) decides. */
  readonly socketMode?: number;
}

/** What `eventFlags` is made of (epoll_ctl(2)). This one: bytes, an end or a client can be read, `EPOLLIN`. */
export const READABLE = 0x001;
/** Urgent data (TCP) can be read: `EPOLLPRI`. */
export const URGENT = 0x002;
/** The socket accepts bytes again, or a connect has ended: `EPOLLOUT`. */
export const WRITABLE = 0x004;
/** The socket has an error, which `takeError` tells: `EPOLLERR`. */
export const FAILED = 0x008;
/** Both directions have ended: `EPOLLHUP`. */
export const HUNG_UP = 0x010;
/** The peer has closed its sending side: `EPOLLRDHUP`. */
export const PEER_ENDED = 0x2000;

/** The system calls of one thread, with an epoll of its own. */
export interface Kernel {
  /**
   * True once another thread has taken the place of the one that calls: descriptors must not be used any more, also
   * not by OpenSSL. They are closed, and their numbers may be somebody else's.
   */
  readonly isOver?: boolean;

  /** A monotonic clock, in milliseconds. */
  now(): number;

  /** Reports changes of `fd`, edge-triggered, until it is closed; each with `mark` (epoll_ctl(2)). */
  watch(fd: number, mark: number): number;
  /**
   * As `watch`, for a listening socket that several threads watch: of those that sleep, one is woken for a new
   * client (EPOLLEXCLUSIVE, epoll_ctl(2)).
   */
  watchShared(listener: number, mark: number): number;
  /** Ends the reports for `fd`, which stays open. */
  unwatch(fd: number): void;
  /** Waits for changes, at most `timeoutMs` milliseconds. Returns their number; they are valid until the next call. */
  poll(timeoutMs: number): number;
  eventFd(index: number): number;
  eventMark(index: number): number;
  eventFlags(index: number): number;

  /** Returns a listening socket. Accepted sockets inherit its options. */
  listen(address: SockAddr, options: ListenOptions): number;
  accept(listener: number): number;
  /** The address of the client that the call just before this one has accepted. */
  acceptedAddress(): SockAddr;
  /** Returns a socket that begins to connect; WRITABLE or FAILED is reported when that has ended. */
  connect(address: SockAddr, options: SocketOptions): number;
  /**
   * Lets the system find out about a peer that vanished: it asks after 60 s of silence, and each 10 s after that
   * (SO_KEEPALIVE, tcp(7)). Accepted sockets inherit it from their listener.
   */
  keepAlive(fd: number): void;
  /** Reads and clears the pending error of a socket (SO_ERROR): 0, or a negated error number. */
  takeError(fd: number): number;
  localAddress(fd: number): SockAddr;
  /**
   * True if a socket that has just connected to `address` has that address as well. The kernel chooses the local
   * port; if `address` is a port of this machine on which nothing listens, it may choose that one, and the socket
   * connects to itself (simultaneous open, RFC 9293 section 3.5). The port is closed then.
   */
  isItsOwnPeer(fd: number, address: SockAddr): boolean;
  /** The peer's address; empty if the connection has ended already. */
  peerAddress(fd: number): SockAddr;

  /**
   * The buffer of `receive`. All sockets share it, so its bytes must be used before the next call. A read that
   * does not fill it has emptied the socket.
   */
  readonly scratch: Uint8Array<ArrayBuffer>;
  /** Reads into `scratch`. Returns the number of bytes; 0 means that the peer has ended. */
  receive(fd: number): number;
  /** Reads into `buffer`. Returns the number of bytes; 0 means that the peer has ended. */
  receiveInto(fd: number, buffer: Uint8Array<ArrayBuffer>): number;
  /** As `receive`, for one byte, which stays in the socket (MSG_PEEK). */
  peek(fd: number): number;
  send(fd: number, bytes: Uint8Array<ArrayBuffer>, from: number, to: number): number;
  /** Bytes that were sent and not acknowledged; a FIN counts as one (SIOCOUTQ, tcp(7)). */
  unacked(fd: number): number;
  /** Bytes that the peer has acknowledged since the connection was made (TCP_INFO); an error if it is not TCP. */
  acked(fd: number): number;
  /** Moves up to `count` bytes between a pipe and a socket inside the kernel (splice(2)). */
  splice(from: number, to: number, count: number): number;
  /** Returns a new pipe, as large as the system allows. */
  pipe(): Pipe | number;

  /**
   * No client can connect to this listening socket from now on, but those in its accept queue stay there. Their kernels
   * try again after a second, and are refused or accepted by whoever listens then. Returns 0, or a negated error number;
   * nothing has changed then. Missing where there is no such call.
   */
  ignoreClients?(listener: number): number;
  /** Closes the sending side: the peer gets a FIN after all bytes that were sent. */
  shutdownWrite(fd: number): void;
  close(fd: number): void;
  /** Closes with a RST, and drops bytes that were not sent yet. */
  reset(fd: number): void;
  /**
   * Removes the file of a unix socket, and no other kind of file. Returns 0, also if there is no such file; a
   * negated error number if the file cannot be removed.
   */
  unlinkSocket(path: string): number;
}
