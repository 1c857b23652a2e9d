/**
 * The real kernel, called through libc and Deno's FFI: the layouts of the structures, and errno. This is the
 * only unsafe file: a wrong line here crashes the process, so `self_examination.ts` compares our layouts with the kernel's
 * before anything relies on them. No pointer leaves this file.
 *
 * errno is read right after each call, through a view of this thread's errno that is made once: the `Libc` of
 * one thread must not be used by another. It is read in the same function, therefore in a loop: when another
 * function is entered, V8 may compile it first, and its system calls change errno.
 */
import { EINPROGRESS, EINTR, EINVAL, errnoWords } from "./errno.ts";
import {
  type Kernel,
  type ListenOptions,
  PEER_ENDED,
  type Pipe,
  READABLE,
  type SockAddr,
  type SocketOptions,
  URGENT,
  WRITABLE,
} from "./kernel.ts";
import { closeLibc, openLibc } from "./open_libc.ts";
import { endpointOf, isIpv6, isUnix } from "./sockaddr.ts";
import { removeSocketFile, setSocketMode } from "./socket_file.ts";

type Symbols = ReturnType<typeof openLibc>;

const CLOEXEC = 0o2000000;
const NONBLOCK = 0o4000;
const F_GETFD = 1;
const SOCK_STREAM = 1;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_ERROR = 4;
const SO_KEEPALIVE = 9;
const SO_LINGER = 13;
const SO_ATTACH_FILTER = 26;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const TCP_KEEPIDLE = 4;
const TCP_KEEPINTVL = 5;
const TCP_INFO = 11;
const TCP_USER_TIMEOUT = 18;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const MSG_PEEK = 2;
const SIOCOUTQ = 0x5411;
const SHUT_WR = 1;
const SHUT_RDWR = 2;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLEXCLUSIVE = 0x1000_0000;
const EPOLLET = 0x8000_0000;
const F_SETPIPE_SZ = 1031;
const SPLICE_F_MOVE = 1;
const SPLICE_F_NONBLOCK = 2;

/** The first keep-alive probe after 60 s of silence, then one every 10 s; after nine the peer is gone (tcp(7)). */
const KEEPALIVE = { idleSec: 60, intervalSec: 10 };
/**
 * A filter for a listening TCP socket that drops packets with SYN in their TCP header, which the filter gets first
 * (socket(7), linux/filter.h): load byte 13; is bit 2 set? drop it : pass it whole.
 */
const WITHOUT_SYN = new BigUint64Array([
  0x0000000d_00000030n,
  0x00000002_01000045n,
  0x00000000_00000006n,
  0xffffffff_00000006n,
]);
/** `tcpi_bytes_acked` of `struct tcp_info`, a 64-bit number (linux/tcp.h, since Linux 4.1), in 32-bit words. */
const BYTES_ACKED_WORD = 30;
const SCRATCH_BYTES = 64 * 1024;
const EVENTS_MAX = 256;
const PIPE_BYTES = 256 * 1024;
/** What a new pipe holds when the system gives no more: 16 pages (pipe(7)). */
const PIPE_DEFAULT_BYTES = 64 * 1024;
/** The kernel packs `struct epoll_event` on x86-64 only (epoll_wait(2)); counted in 32-bit words. */
const EVENT_WORDS = Deno.build.arch === "x86_64" ? 3 : 4;
const DATA_WORD = EVENT_WORDS - 2;

/** The kernel as one thread calls it. Contracts that `Kernel` has are not repeated here. */
export class Libc implements Kernel {
  readonly scratch = new Uint8Array(SCRATCH_BYTES);
  readonly #c: Symbols;
  readonly #errno: Int32Array;
  readonly #epoll: number;
  readonly #events = new Int32Array(EVENTS_MAX * EVENT_WORDS);
  readonly #interest = new Int32Array(EVENT_WORDS);
  readonly #pollfd = new Int32Array(2);
  readonly #int = new Int32Array(1);
  readonly #sockaddr = new Uint8Array(128);
  readonly #pair = new Int32Array(2);
  readonly #length = new Uint32Array(1);
  readonly #count = new BigUint64Array(1);
  readonly #tcpInfo = new Uint32Array(BYTES_ACKED_WORD + 2);

  /** Throws what `Deno.dlopen` throws: no permission, or another libc than glibc's. */
  constructor() {
    this.#c = openLibc();
    const errno = this.#c.__errno_location();
    this.#errno = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(errno!, 4));
    const epoll = this.#c.epoll_create1(CLOEXEC);
    const result = epoll === -1 ? -this.#errno[0]! : epoll;
    if (result < 0) closeLibc();
    this.#epoll = opened(result);
  }

  /** Closes epoll and the library; descriptors handed out stay open. */
  [Symbol.dispose](): void {
    this.#c.close(this.#epoll);
    closeLibc();
  }

  /** The epoll descriptor that `poll` waits on, which this object owns. */
  get epoll(): number {
    return this.#epoll;
  }

  get isOver(): boolean {
    return false;
  }

  now(): number {
    return performance.now();
  }

  watch(fd: number, mark: number): number {
    this.#interest[0] = READABLE | URGENT | WRITABLE | PEER_ENDED | EPOLLET;
    this.#interest[DATA_WORD] = fd;
    this.#interest[DATA_WORD + 1] = mark;
    const result = this.#c.epoll_ctl(this.#epoll, EPOLL_CTL_ADD, fd, this.#interest);
    return result === -1 ? -this.#errno[0]! : result;
  }

  watchShared(listener: number, mark: number): number {
    this.#interest[0] = READABLE | EPOLLEXCLUSIVE | EPOLLET;
    this.#interest[DATA_WORD] = listener;
    this.#interest[DATA_WORD + 1] = mark;
    const result = this.#c.epoll_ctl(this.#epoll, EPOLL_CTL_ADD, listener, this.#interest);
    return result === -1 ? -this.#errno[0]! : result;
  }

  unwatch(fd: number): void {
    this.#c.epoll_ctl(this.#epoll, EPOLL_CTL_DEL, fd, this.#interest);
  }

  poll(timeoutMs: number): number {
    const result = this.#c.epoll_wait(this.#epoll, this.#events, EVENTS_MAX, timeoutMs);
    return result === -1 ? -this.#errno[0]! : result;
  }

  /**
   * Resolves when `poll` would report events, `wake` was called on a watched eventfd, or `timeoutMs`
   * milliseconds have passed. Waits in another thread, so this thread's event loop goes on. One call at a time.
   */
  async pollElsewhere(timeoutMs: number): Promise<void> {
    this.#pollfd[0] = this.#epoll;
    this.#pollfd[1] = READABLE; // POLLIN is the same bit; the upper half receives the result
    await this.#c.poll(this.#pollfd, 1, timeoutMs);
  }

  eventFlags(index: number): number {
    return this.#events[index * EVENT_WORDS]!;
  }

  eventFd(index: number): number {
    return this.#events[index * EVENT_WORDS + DATA_WORD]!;
  }

  eventMark(index: number): number {
    return this.#events[index * EVENT_WORDS + DATA_WORD + 1]!;
  }

  listen(address: SockAddr, options: ListenOptions): number {
    const fd = this.bind(address, options);
    if (fd < 0) return fd;
    if (this.#c.listen(fd, options.backlog) === 0) return fd;
    const error = -this.#errno[0]!;
    this.close(fd);
    return error;
  }

  /** Binds a socket that does not listen, so clients that connect are still refused. */
  bind(address: SockAddr, options: Omit<ListenOptions, "backlog">): number {
    const fd = this.#socket(address, options);
    if (fd < 0) return fd;
    this.#option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (isIpv6(address)) this.#option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    if (this.#c.bind(fd, address, address.length) === 0) {
      const endpoint = endpointOf(address);
      const { socketMode } = options;
      if (endpoint.kind === "ip" || socketMode === undefined) return fd;
      const error = setSocketMode(endpoint.path, socketMode);
      if (error === 0) return fd;
      this.close(fd);
      return error;
    }
    const error = -this.#errno[0]!;
    this.close(fd);
    return error;
  }

  accept(listener: number): number {
    const [address, length] = [this.#sockaddr, this.#length];
    length[0] = address.length;
    const result = this.#c.accept4(listener, address, length, NONBLOCK | CLOEXEC);
    return result === -1 ? -this.#errno[0]! : result;
  }

  acceptedAddress(): SockAddr {
    return this.#sockaddr.slice(0, Math.min(this.#length[0]!, this.#sockaddr.length));
  }

  connect(address: SockAddr, options: SocketOptions): number {
    const fd = this.#socket(address, options);
    if (fd < 0) return fd;
    const result = this.#c.connect(fd, address, address.length);
    const error = result === -1 ? -this.#errno[0]! : 0;
    if (error === 0 || error === -EINPROGRESS || error === -EINTR) return fd;
    this.close(fd);
    return error;
  }

  keepAlive(fd: number): void {
    // On a unix socket these fail, and are not needed.
    this.#option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    this.#option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE.idleSec);
    this.#option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE.intervalSec);
  }

  takeError(fd: number): number {
    this.#length[0] = 4;
    const result = this.#c.getsockopt(fd, SOL_SOCKET, SO_ERROR, this.#int, this.#length);
    return result === -1 ? -this.#errno[0]! : -this.#int[0]!;
  }

  localAddress(fd: number): SockAddr {
    return this.#address(this.#c.getsockname, fd);
  }

  isItsOwnPeer(fd: number, address: SockAddr): boolean {
    if (isUnix(address)) return false;
    const local = this.#sockaddr;
    this.#length[0] = local.length;
    if (this.#c.getsockname(fd, local, this.#length) < 0) return false;
    if (this.#length[0] !== address.length) return false;
    for (let place = 0; place < address.length; place++) {
      if (local[place] !== address[place]) return false;
    }
    return true;
  }

  peerAddress(fd: number): SockAddr {
    return this.#address(this.#c.getpeername, fd);
  }

  receive(fd: number): number {
    const result = this.#c.recv(fd, this.scratch, SCRATCH_BYTES, 0);
    return result === -1 ? -this.#errno[0]! : result;
  }

  receiveInto(fd: number, buffer: Uint8Array<ArrayBuffer>): number {
    const result = this.#c.recv(fd, buffer, buffer.length, 0);
    return result === -1 ? -this.#errno[0]! : result;
  }

  peek(fd: number): number {
    const result = this.#c.recv(fd, this.scratch, 1, MSG_PEEK);
    return result === -1 ? -this.#errno[0]! : result;
  }

  send(fd: number, bytes: Uint8Array<ArrayBuffer>, from: number, to: number): number {
    const part = from === 0 ? bytes : bytes.subarray(from, to);
    const result = this.#c.send(fd, part, to - from, 0);
    return result === -1 ? -this.#errno[0]! : result;
  }

  unacked(fd: number): number {
    const result = this.#c.ioctl(fd, SIOCOUTQ, this.#int);
    return result === -1 ? -this.#errno[0]! : this.#int[0]!;
  }

  acked(fd: number): number {
    const info = this.#tcpInfo;
    this.#length[0] = info.byteLength;
    const result = this.#c.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, this.#length);
    if (result === -1) return -this.#errno[0]!;
    if (this.#length[0]! < info.byteLength) return -EINVAL;
    return info[BYTES_ACKED_WORD]! + info[BYTES_ACKED_WORD + 1]! * 2 ** 32;
  }

  /** The number of a network interface, or 0 when there is none of that name (if_nametoindex(3)). */
  interfaceIndex(name: string): number {
    return this.#c.if_nametoindex(new TextEncoder().encode(`${name}\0`));
  }

  splice(from: number, to: number, count: number): number {
    const flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
    const result = this.#c.splice(from, null, to, null, count, flags);
    return result === -1 ? -this.#errno[0]! : result;
  }

  pipe(): Pipe | number {
    const result = this.#c.pipe2(this.#pair, NONBLOCK | CLOEXEC);
    if (result === -1) return -this.#errno[0]!;
    const [read, write] = [this.#pair[0]!, this.#pair[1]!];
    const grown = this.#c.fcntl(write, F_SETPIPE_SZ, PIPE_BYTES);
    return { read, write, capacity: grown > 0 ? grown : PIPE_DEFAULT_BYTES };
  }

  ignoreClients(listener: number): number {
    const filter = Deno.UnsafePointer.value(Deno.UnsafePointer.of(WITHOUT_SYN));
    // struct sock_fprog: the number of instructions, and where they are.
    const program = new BigUint64Array([BigInt(WITHOUT_SYN.length), filter]);
    const result = this.#c.setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, program, 16);
    return result === -1 ? -this.#errno[0]! : 0;
  }

  shutdownWrite(fd: number): void {
    this.#c.shutdown(fd, SHUT_WR);
  }

  close(fd: number): void {
    // Not repeated after an error: Linux has freed the number even then (close(2)).
    this.#c.close(fd);
  }

  reset(fd: number): void {
    this.#pair[0] = 1;
    this.#pair[1] = 0;
    this.#c.setsockopt(fd, SOL_SOCKET, SO_LINGER, this.#pair, 8);
    this.#c.close(fd);
  }

  unlinkSocket(path: string): number {
    return removeSocketFile(path);
  }

  /** A descriptor that `wake` makes readable, for any thread of this process. */
  eventfd(): number {
    const fd = this.#c.eventfd(0, NONBLOCK | CLOEXEC);
    return opened(fd === -1 ? -this.#errno[0]! : fd);
  }

  wake(eventfd: number): void {
    this.#count[0] = 1n;
    this.#c.write(eventfd, this.#count, 8);
  }

  /** Makes an eventfd unreadable until the next `wake`. */
  settle(eventfd: number): void {
    this.#c.read(eventfd, this.#count, 8);
  }

  /**
   * Ends both directions of a connection, or refuses clients of a listening socket, those in its accept queue
   * included. The descriptor stays open (shutdown(2)).
   */
  shutdown(fd: number): void {
    this.#c.shutdown(fd, SHUT_RDWR);
  }

  isOpen(fd: number): boolean {
    return this.#c.fcntl(fd, F_GETFD, 0) !== -1;
  }

  #socket(address: SockAddr, options: SocketOptions): number {
    const family = address[0]!;
    const fd = this.#c.socket(family, SOCK_STREAM | NONBLOCK | CLOEXEC, 0);
    if (fd === -1) return -this.#errno[0]!;
    if (isUnix(address)) return fd;
    this.#option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (options.keepAliveLater !== true) this.keepAlive(fd);
    if (options.userTimeoutMs > 0) {
      this.#option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, options.userTimeoutMs);
    }
    return fd;
  }

  /** Sets an option of type int. If the kernel lacks the option, the program still works correctly. */
  #option(fd: number, level: number, name: number, value: number): void {
    this.#int[0] = value;
    this.#c.setsockopt(fd, level, name, this.#int, 4);
  }

  #address(ask: Symbols["getsockname"], fd: number): SockAddr {
    const bytes = this.#sockaddr;
    this.#length[0] = bytes.length;
    if (ask(fd, bytes, this.#length) < 0) return new Uint8Array(0);
    return bytes.slice(0, Math.min(this.#length[0]!, bytes.length));
  }
}

/** Throws for a descriptor that could not be had; `result` is a negated error number then. */
function opened(result: number): number {
  if (result < 0) throw new Error(errnoWords(result));
  return result;
}
