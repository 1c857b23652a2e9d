/**
 * The other end of a socket of the fake kernel, and what lies between the two: buffers with a maximum,
 * ends, resets, an urgent byte. The test acts through it; the kernel is notified of each change.
 *
 * What we send lies in two places, as on the real one: the first half of `fromUs` has reached the peer's
 * own buffer, which it may read whatever happens to us; the rest is still in our send queue, and lost
 * when we reset the connection or the peer answers with a reset.
 */
import type { Bytes } from "../../base/bytes.ts";
import { ECONNREFUSED, ECONNRESET, EPIPE } from "../errno.ts";

/** How an upstream takes a connect; `itself`: nobody listens, and our socket got the port that it dials. */
export type FakeAnswer = "accept" | "refuse" | "silence" | "itself" | number;

/** Bytes in order, with a maximum. */
export class Queue {
  #bytes: Bytes = new Uint8Array(0);

  constructor(readonly max: number) {}

  get length(): number {
    return this.#bytes.length;
  }

  get room(): number {
    return this.max - this.length;
  }

  put(bytes: Uint8Array): void {
    const joined = new Uint8Array(this.length + bytes.length);
    joined.set(this.#bytes);
    joined.set(bytes, this.length);
    this.#bytes = joined;
  }

  take(count: number): Bytes {
    const taken = this.#bytes.slice(0, count);
    this.#bytes = this.#bytes.slice(count);
    return taken;
  }

  look(): Bytes {
    return this.#bytes;
  }

  /** Drops all but the first `count` bytes. */
  cutTo(count: number): void {
    this.#bytes = this.#bytes.slice(0, count);
  }
}

/** Is notified when something has happened to a socket. */
export interface Changes {
  changed(fd: number): void;
}

/** The other end of one of our sockets, which the test controls. */
export class Peer {
  readonly #kernel: Changes;
  readonly #bufferMax: number;
  /** Bytes for us to read, and bytes that we sent. */
  readonly toUs: Queue;
  readonly fromUs: Queue;
  hasEnded = false;
  hasReset = false;
  /** It closed its socket: what we send to it from now on it answers with a reset. */
  hasClosed = false;
  /** Where in `toUs` the urgent byte is that we have not read past. */
  urgentAt: number | undefined;
  /** Bytes that it read. */
  readCount = 0;
  /** What our side did. */
  weEnded = false;
  weReset = false;
  weClosed = false;
  /** True if a send of ours found no room, and no room has been reported since. */
  isAwaited = false;
  /** There is no other end: our socket is connected to itself. */
  isOurselves = false;
  /** The connection is made. */
  isUp = true;
  /** An error that no call of ours has returned yet. */
  error = 0;
  fd = -1;

  constructor(kernel: Changes, bufferBytes: number, readonly address: string) {
    this.#kernel = kernel;
    this.toUs = new Queue(bufferBytes);
    this.fromUs = new Queue(bufferBytes);
    this.#bufferMax = bufferBytes >> 1;
  }

  /** True when nothing can come from it or go to it any more. */
  get isGone(): boolean {
    return this.weReset || this.hasReset || (this.weClosed && this.weEnded);
  }

  /** Sends what fits; how much that was. */
  send(bytes: Uint8Array): number {
    // To a socket of ours that is closed: we answer with a reset, and what we had not sent yet is lost.
    if (this.weClosed && !this.hasEnded && bytes.length > 0) this.weAreReset();
    const count = this.weClosed ? 0 : Math.min(bytes.length, this.toUs.room);
    if (count === 0 || this.hasEnded || this.hasReset) return 0;
    this.toUs.put(bytes.subarray(0, count));
    this.#kernel.changed(this.fd);
    return count;
  }

  /** Sends a byte out of band, if there is room; only one can be on its way. */
  sendUrgent(): void {
    if (this.urgentAt !== undefined || this.toUs.room === 0 || this.weClosed) return;
    if (this.hasEnded || this.hasReset) return;
    this.urgentAt = this.toUs.length;
    this.toUs.put(new Uint8Array([0]));
    this.#kernel.changed(this.fd);
  }

  /** Bytes to be had in one read: it stops before an urgent byte. */
  get readable(): number {
    return this.urgentAt ?? this.toUs.length;
  }

  /** Reads as recv(2) does, past an urgent byte that is next. */
  takeToUs(most: number): Bytes {
    if (this.urgentAt === 0) {
      this.toUs.take(1);
      this.urgentAt = undefined;
    }
    const bytes = this.toUs.take(Math.min(most, this.readable));
    if (this.urgentAt !== undefined) this.urgentAt -= bytes.length;
    return bytes;
  }

  /** Of what we sent, the bytes that are still in our own send queue. */
  get unacked(): number {
    return Math.max(0, this.fromUs.length - this.#bufferMax);
  }

  /** Of what we sent, the bytes that reached its buffer, read ones included. */
  get acked(): number {
    return this.readCount + this.fromUs.length - this.unacked;
  }

  /** We end with a reset: what did not reach its buffer is lost. */
  weAreReset(): void {
    this.weReset = true;
    this.fromUs.cutTo(this.#bufferMax);
  }

  /** We send to a peer that closed its socket, and so get a reset. */
  answerWithReset(): void {
    this.hasReset = true;
    this.error = this.hasEnded ? EPIPE : ECONNRESET;
    this.fromUs.cutTo(0);
    this.#kernel.changed(this.fd);
  }

  /** Closes its socket: an end, as long as we send nothing more. Unread bytes make it a reset (tcp(7)). */
  close(): void {
    if (this.fromUs.length > 0) return this.reset();
    this.hasClosed = true;
    this.end();
  }

  end(): void {
    this.hasEnded = true;
    this.#kernel.changed(this.fd);
  }

  reset(): void {
    this.hasReset = true;
    this.error = ECONNRESET;
    this.fromUs.cutTo(0);
    this.#kernel.changed(this.fd);
  }

  read(max = Infinity): Bytes {
    const bytes = this.fromUs.take(Math.min(max, this.fromUs.length));
    this.readCount += bytes.length;
    if (bytes.length > 0 && this.isAwaited) {
      this.isAwaited = false;
      this.#kernel.changed(this.fd);
    }
    return bytes;
  }

  /** Answers a connect of ours that is under way. */
  accept(): void {
    this.isUp = true;
    this.#kernel.changed(this.fd);
  }

  refuse(errno = ECONNREFUSED): void {
    this.error = errno;
    this.hasReset = true;
    this.#kernel.changed(this.fd);
  }
}
