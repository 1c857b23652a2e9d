/**
 * A kernel in memory, for tests: sockets with small buffers, pipes, edge-triggered reports, and descriptor
 * numbers that are reused at once and can run out. It does what Linux guarantees: a read that does not
 * fill its buffer has emptied the socket, and after EAGAIN a socket becomes writable when there is room.
 * With dice it does all else that Linux may do: interrupted calls, short writes, events in any order.
 *
 * The test holds the other end of each connection, a `Peer`. The time changes only when the test changes it.
 */
import { EADDRINUSE, EAGAIN, ECONNRESET, EINTR, EMFILE, EPIPE } from "../errno.ts";
import {
  FAILED,
  HUNG_UP,
  type Kernel,
  type ListenOptions,
  PEER_ENDED,
  type Pipe,
  READABLE,
  type SockAddr,
  type SocketOptions,
  URGENT,
  WRITABLE,
} from "../kernel.ts";
import { endpointOf, ipSockaddr } from "../sockaddr.ts";
import type { Dice } from "../../base/testing/dice.ts";
import type { Bytes } from "../../base/bytes.ts";
import { type FakeAnswer, Peer, Queue } from "./fake_peer.ts";

interface Listener {
  readonly address: string;
  readonly queue: Peer[];
}

type Descriptor =
  | { readonly kind: "socket"; readonly peer: Peer }
  | { readonly kind: "listener"; readonly listener: Listener }
  | { readonly kind: "pipe"; readonly queue: Queue };

export interface FakeOptions {
  readonly dice?: Dice;
  readonly scratchBytes?: number;
  readonly bufferBytes?: number;
}

export class FakeKernel implements Kernel {
  readonly scratch: Bytes;
  /** The test's clock, in milliseconds. */
  time = 1_000;
  /** The maximum number of open descriptors. */
  fdMax = Infinity;
  /** How addresses answer a connect, as printed by `endpointName`; others refuse. */
  readonly answers = new Map<string, FakeAnswer>();
  /** The other ends of the connects so far, oldest first. */
  readonly upstreams: Peer[] = [];
  /** Sockets of which `keepAlive` was called. */
  readonly keptAlive = new Set<number>();
  /** Bytes that went through `scratch`, and through pipes. */
  copied = 0;
  spliced = 0;
  readonly #dice: Dice | undefined;
  readonly #bufferBytes: number;
  #accepted = -1;
  readonly #descriptors: (Descriptor | undefined)[] = [];
  readonly #listeners = new Map<string, Listener>();
  readonly #marks = new Map<number, number>();
  readonly #changed = new Set<number>();
  #clientPort = 40_000;
  #events: number[] = [];
  #eventMarks: number[] = [];
  #eventFlags: number[] = [];

  constructor(options: FakeOptions = {}) {
    this.#dice = options.dice;
    this.scratch = new Uint8Array(options.scratchBytes ?? 64);
    this.#bufferBytes = options.bufferBytes ?? 256;
  }

  /** How many descriptors are open. */
  get open(): number {
    return this.#descriptors.filter((descriptor) => descriptor !== undefined).length;
  }

  /** A new client of our port, from port 40000 and up; undefined when nobody listens there. */
  client(port: number): Peer | undefined {
    const listener = this.#listeners.get(endpointName("127.0.0.1", port));
    if (listener === undefined) return undefined;
    const peer = new Peer(this, this.#bufferBytes, endpointName("10.0.0.1", this.#clientPort++));
    listener.queue.push(peer);
    this.#descriptors.forEach((descriptor, fd) => {
      if (descriptor?.kind === "listener" && descriptor.listener === listener) this.changed(fd);
    });
    return peer;
  }

  /** True if the next `poll` has something to report. */
  get hasChanges(): boolean {
    return this.#changed.size > 0;
  }

  /** Marks a descriptor that epoll is to report once. */
  changed(fd: number): void {
    if (this.#marks.has(fd)) this.#changed.add(fd);
  }

  now(): number {
    return this.time;
  }

  watch(fd: number, mark: number): number {
    this.#marks.set(fd, mark);
    if (this.#flags(fd) !== 0) this.#changed.add(fd);
    return 0;
  }

  watchShared(fd: number, mark: number): number {
    return this.watch(fd, mark);
  }

  unwatch(fd: number): void {
    this.#marks.delete(fd);
    this.#changed.delete(fd);
  }

  poll(): number {
    const fds = [...this.#changed];
    this.#changed.clear();
    if (this.#dice?.once(2)) fds.reverse();
    this.#events = fds;
    this.#eventMarks = fds.map((fd) => this.#marks.get(fd)!);
    this.#eventFlags = fds.map((fd) => this.#flags(fd));
    return fds.length;
  }

  eventFd(index: number): number {
    return this.#events[index]!;
  }

  eventMark(index: number): number {
    return this.#eventMarks[index]!;
  }

  eventFlags(index: number): number {
    return this.#eventFlags[index]!;
  }

  listen(address: SockAddr, _options?: ListenOptions): number {
    const name = nameOf(address);
    if (this.#listeners.has(name)) return -EADDRINUSE;
    const listener = { address: name, queue: [] };
    const fd = this.#add({ kind: "listener", listener });
    if (fd >= 0) this.#listeners.set(name, listener);
    return fd;
  }

  accept(fd: number): number {
    const descriptor = this.#descriptors[fd];
    if (descriptor?.kind !== "listener") throw new Error(`${fd} is not a listener`);
    if (this.#interrupted()) return -EINTR;
    const peer = descriptor.listener.queue[0];
    if (peer === undefined) return -EAGAIN;
    const accepted = this.#add({ kind: "socket", peer });
    if (accepted < 0) return accepted;
    peer.fd = accepted;
    descriptor.listener.queue.shift();
    this.#accepted = accepted;
    return accepted;
  }

  acceptedAddress(): SockAddr {
    return this.peerAddress(this.#accepted);
  }

  connect(address: SockAddr, _options: SocketOptions): number {
    const answer = this.answers.get(nameOf(address)) ?? "refuse";
    if (typeof answer === "number") return answer;
    const peer = new Peer(this, this.#bufferBytes, nameOf(address));
    const fd = this.#add({ kind: "socket", peer });
    if (fd < 0) return fd;
    peer.fd = fd;
    peer.isUp = answer === "accept" || answer === "itself";
    peer.isOurselves = answer === "itself";
    this.upstreams.push(peer);
    if (answer === "refuse") peer.refuse();
    return fd;
  }

  takeError(fd: number): number {
    const peer = this.#peer(fd);
    const { error } = peer;
    peer.error = 0;
    return -error;
  }

  localAddress(fd: number): SockAddr {
    const descriptor = this.#descriptors[fd];
    if (descriptor?.kind === "socket" && descriptor.peer.isOurselves) {
      return sockaddrOf(descriptor.peer.address);
    }
    if (descriptor?.kind !== "listener") return ipSockaddr("127.0.0.1", 9_999)!;
    return sockaddrOf(descriptor.listener.address);
  }

  keepAlive(fd: number): void {
    this.keptAlive.add(fd);
  }

  isItsOwnPeer(fd: number): boolean {
    return this.#peer(fd).isOurselves;
  }

  peerAddress(fd: number): SockAddr {
    return sockaddrOf(this.#peer(fd).address);
  }

  receive(fd: number): number {
    return this.receiveInto(fd, this.scratch);
  }

  receiveInto(fd: number, buffer: Bytes): number {
    const peer = this.#peer(fd);
    const stopped = this.#unreadable(peer);
    if (stopped !== undefined) return stopped;
    const bytes = peer.takeToUs(buffer.length);
    // There was nothing but the urgent byte.
    if (bytes.length === 0) return this.#unreadable(peer) ?? -EAGAIN;
    buffer.set(bytes);
    this.copied += bytes.length;
    return bytes.length;
  }

  peek(fd: number): number {
    const peer = this.#peer(fd);
    if (peer.toUs.length > 0) return 1;
    if (peer.hasReset) return -ECONNRESET;
    return peer.hasEnded ? 0 : -EAGAIN;
  }

  send(fd: number, bytes: Bytes, from: number, to: number): number {
    return this.#sendTo(fd, bytes.subarray(from, to));
  }

  unacked(fd: number): number {
    return this.#peer(fd).unacked;
  }

  acked(fd: number): number {
    return this.#peer(fd).acked;
  }

  splice(from: number, to: number, count: number): number {
    const [source, sink] = [this.#descriptors[from], this.#descriptors[to]];
    if (source?.kind === "socket" && sink?.kind === "pipe") {
      const stopped = this.#unreadable(source.peer);
      if (stopped !== undefined) return stopped;
      if (sink.queue.room === 0) return -EAGAIN;
      // As on Linux: a read that stops at an urgent byte reports an end that has arrived, although there is
      // more.
      if (source.peer.readable === 0) return source.peer.hasEnded ? 0 : -EAGAIN;
      const most = Math.min(count, sink.queue.room, source.peer.readable);
      const bytes = source.peer.takeToUs(this.#partOf(most));
      sink.queue.put(bytes);
      this.spliced += bytes.length;
      return bytes.length;
    }
    if (source?.kind !== "pipe") throw new Error(`splice from ${from} to ${to}`);
    const given = this.#sendTo(to, source.queue.peek().subarray(0, count));
    if (given > 0) source.queue.take(given);
    return given;
  }

  pipe(): Pipe | number {
    const queue = new Queue(this.#bufferBytes);
    const read = this.#add({ kind: "pipe", queue });
    if (read < 0) return read;
    const write = this.#add({ kind: "pipe", queue });
    if (write >= 0) return { read, write, capacity: queue.max };
    this.close(read);
    return write;
  }

  shutdownWrite(fd: number): void {
    this.#peer(fd).weEnded = true;
  }

  close(fd: number): void {
    const descriptor = this.#descriptors[fd];
    if (descriptor === undefined) throw new Error(`${fd} was closed twice`);
    if (descriptor.kind === "listener") this.#listeners.delete(descriptor.listener.address);
    if (descriptor.kind === "socket") {
      const { peer } = descriptor;
      // As Linux does: bytes that nobody read turn the end into a reset.
      if (peer.toUs.length > 0) peer.resetByUs();
      peer.weEnded = peer.weClosed = true;
    }
    this.#descriptors[fd] = undefined;
    this.#marks.delete(fd);
    this.#changed.delete(fd);
  }

  reset(fd: number): void {
    this.#peer(fd).resetByUs();
    this.close(fd);
  }

  unlinkSocket(): number {
    return 0;
  }

  #peer(fd: number): Peer {
    const descriptor = this.#descriptors[fd];
    if (descriptor?.kind !== "socket") throw new Error(`${fd} is not an open socket`);
    return descriptor.peer;
  }

  #add(descriptor: Descriptor): number {
    if (this.open >= this.fdMax) return -EMFILE;
    const free = this.#descriptors.findIndex((open) => open === undefined);
    const fd = free === -1 ? this.#descriptors.length : free;
    this.#descriptors[fd] = descriptor;
    return fd;
  }

  #flags(fd: number): number {
    const descriptor = this.#descriptors[fd];
    if (descriptor === undefined || descriptor.kind === "pipe") return 0;
    if (descriptor.kind === "listener") {
      return descriptor.listener.queue.length > 0 ? READABLE : 0;
    }
    const { peer } = descriptor;
    if (peer.hasReset) {
      const failed = peer.error === 0 ? 0 : FAILED;
      const urgent = peer.urgentAt === undefined ? 0 : URGENT;
      return READABLE | WRITABLE | PEER_ENDED | HUNG_UP | failed | urgent;
    }
    if (!peer.isUp) return 0;
    let flags = peer.fromUs.room > 0 ? WRITABLE : 0;
    if (peer.toUs.length > 0) flags |= READABLE;
    if (peer.urgentAt !== undefined) flags |= URGENT;
    if (peer.hasEnded) flags |= READABLE | PEER_ENDED;
    if (peer.hasEnded && peer.weEnded) flags |= HUNG_UP;
    return flags;
  }

  /** The result of a read that finds no bytes; undefined if there are some. */
  #unreadable(peer: Peer): number | undefined {
    if (this.#interrupted()) return -EINTR;
    if (peer.toUs.length > 0) return undefined;
    // An orderly end is reported before an error that came after it.
    if (peer.hasEnded) return 0;
    if (peer.error !== 0) return this.#takePeerError(peer);
    return peer.hasReset ? 0 : -EAGAIN;
  }

  #sendTo(fd: number, bytes: Uint8Array): number {
    const peer = this.#peer(fd);
    if (this.#interrupted()) return -EINTR;
    if (peer.error !== 0) return this.#takePeerError(peer);
    if (peer.hasReset || peer.weEnded) return -EPIPE;
    const count = Math.min(this.#partOf(bytes.length), peer.fromUs.room);
    if (count < bytes.length && count === peer.fromUs.room) peer.isAwaited = true;
    if (count === 0) return -EAGAIN;
    if (peer.hasClosed) {
      peer.answerWithReset();
      return count;
    }
    peer.fromUs.put(bytes.subarray(0, count));
    return count;
  }

  /** A socket's error is returned once (socket(7), SO_ERROR). */
  #takePeerError(peer: Peer): number {
    const { error } = peer;
    peer.error = 0;
    return -error;
  }

  #interrupted(): boolean {
    return this.#dice?.once(20) ?? false;
  }

  /** At least one of `most`, usually all. */
  #partOf(most: number): number {
    return most > 1 && this.#dice?.once(4) ? 1 + this.#dice.under(most) : most;
  }
}

/** An endpoint as text: the key of `answers`. */
export function endpointName(ip: string, port: number): string {
  return `${ip}:${port}`;
}

function nameOf(address: SockAddr): string {
  const endpoint = endpointOf(address);
  return endpoint.kind === "ip" ? endpointName(endpoint.ip, endpoint.port) : endpoint.path;
}

function sockaddrOf(address: string): SockAddr {
  const colon = address.lastIndexOf(":");
  return ipSockaddr(address.slice(0, colon), Number(address.slice(colon + 1)))!;
}
